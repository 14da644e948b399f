"""What the app tells of itself while it runs: lines with dimensions, spans of one trace per event, and metrics.

Each call of `tell` is one line of the log, one count and, of what it measured, one value each. Its dimensions are named
`relay.…`; infra/monitoring/dimensions.json lists them for the queries of alerts and workbook. Nothing of OpenTelemetry
is imported until a setting says where to send it: without one, the lines go to the host's log and that is all.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any

from shared.errors import SettingError
from shared.settings import settings

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import Counter, Histogram
    from opentelemetry.trace import Tracer

    from shared.messages import Event

NAMESPACE = "relay"
_COUNTED_BY = {name: f"{NAMESPACE}.{name}" for name in ("source", "route", "target", "status", "outcome")}
"""The dimensions of which there are few values: what a metric may be split by."""
_MEASURED = ("_ms", "_seconds")
_NOTHING: Mapping[str, str] = {}
_starting = threading.Lock()


def tell(
    what: str,
    message: str,
    about: Mapping[str, str] = _NOTHING,
    *,
    level: int = logging.INFO,
    **more: str | int | float,
) -> None:
    """Write a line about a delivery, an event, a step, a sweep and so on (`what`), and count it.

    The dimensions are those of `about` (see `dimensions_of`) and `more`; empty ones are left out. Names that end in
    `_ms` or `_seconds` are measured as well. The line is one, whatever a registry or a service has put into it.
    """
    start()
    logger = _logger(what)
    heard = logger.isEnabledFor(level)
    if not heard and not _exporting():
        return
    known = {name: value for name, value in {**about, **more}.items() if value != ""}
    if heard:
        extra = {f"{NAMESPACE}.{name}": value for name, value in known.items()}
        extra[f"{NAMESPACE}.what"] = what
        # not by log(): it looks for the line of code that tells, and that is always this one
        record = logger.makeRecord(logger.name, level, __file__, 0, _one_line(message), (), None, "tell", extra)
        logger.handle(record)
    if _exporting():
        _count(what, known)


def span(
    name: str, parent: str = "", about: Mapping[str, str] = _NOTHING, *, asks: bool = False
) -> AbstractContextManager[dict[str, Any]]:
    """Time what happens inside as a part of the trace. `parent` is a W3C traceparent; without it, the span around it.

    `about` are its dimensions; `asks` marks a call of another service. Yields a dict: what is put in becomes an
    attribute at the end, as given.
    An exception marks the span as failed, with its type alone: its text may hold what a service has echoed.
    """
    start()
    return _exported_span(name, parent, about, asks) if _exporting() else nullcontext({})


@contextmanager
def _exported_span(name: str, parent: str, about: Mapping[str, str], asks: bool) -> Iterator[dict[str, Any]]:
    from opentelemetry import context, trace

    around = _context_of(parent) if parent else None
    kind = trace.SpanKind.CLIENT if asks else trace.SpanKind.CONSUMER if parent else trace.SpanKind.INTERNAL
    told: dict[str, Any] = {}
    attributes = {f"{NAMESPACE}.{key}": value for key, value in about.items() if value != ""}
    current = _tracer().start_span(name, around, kind, attributes)
    token = context.attach(trace.set_span_in_context(current))
    try:
        yield told
    except BaseException as error:
        current.set_status(trace.StatusCode.ERROR, type(error).__name__)
        raise
    finally:
        current.set_attributes(told)
        context.detach(token)
        current.end()


def _context_of(parent: str) -> Context:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": parent})


def dimensions_of(event: Event) -> dict[str, str]:
    """Return the dimensions under which telemetry tells of an event."""
    return {
        "event": event.id,
        "event_type": event.type,
        "model": event.model,
        "version": event.version,
        "source": event.source,
    }


def traceparent() -> str:
    """Return the current span as a W3C traceparent, empty if there is none: what a message takes along."""
    if not _exporting():
        return ""
    from opentelemetry import trace

    now = trace.get_current_span().get_span_context()
    return f"00-{now.trace_id:032x}-{now.span_id:016x}-{now.trace_flags:02x}" if now.is_valid else ""


def start() -> None:
    """Set the exporters up, once per process, if a setting asks for them. Never raises: work goes before telling."""
    if _started():
        return
    with _starting:
        if not _started():
            _state["exporting"] = _set_up()
            _state["started"] = True


_state = {"started": False, "exporting": False}


def _started() -> bool:
    return _state["started"]


def _exporting() -> bool:
    return _state["exporting"]


def _set_up() -> bool:
    try:
        if not settings().exports_telemetry:
            return False
        from shared.telemetry_export import set_up

        set_up()
    except SettingError:  # whoever needs the setting tells of it, and of no telemetry there is nothing to tell
        return False
    except Exception:
        logging.getLogger(NAMESPACE).exception("telemetry can't be sent; the relay works on without")
        return False
    return True


def _one_line(message: str) -> str:
    """A line break in a model's name would else begin a line that looks like one of ours."""
    if message.isprintable():
        return message
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in message)


def _count(what: str, dimensions: dict[str, str | int | float]) -> None:
    by = {full: dimensions[name] for name, full in _COUNTED_BY.items() if name in dimensions}
    _counter(what).add(1, by)
    for name, value in dimensions.items():
        if name.endswith(_MEASURED) and not isinstance(value, str):
            _histogram(what, name).record(value, by)


@cache
def _logger(what: str) -> logging.Logger:
    return logging.getLogger(f"{NAMESPACE}.{what}")


@cache
def _tracer() -> Tracer:
    from opentelemetry import trace

    return trace.get_tracer(NAMESPACE)


@cache
def _counter(what: str) -> Counter:
    from opentelemetry import metrics

    return metrics.get_meter(NAMESPACE).create_counter(f"{NAMESPACE}.{what}")


@cache
def _histogram(what: str, name: str) -> Histogram:
    from opentelemetry import metrics

    measure, _, unit = name.rpartition("_")
    return metrics.get_meter(NAMESPACE).create_histogram(
        f"{NAMESPACE}.{what}.{measure}", unit="ms" if unit == "ms" else "s"
    )
