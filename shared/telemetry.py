"""What the app tells of itself while it runs: lines with dimensions, spans of one trace per event, and metrics.

Each call of `tell` is one line of the log, one count and, of what it measured, one value each. Its dimensions are named
`relay.…`; infra/monitoring/dimensions.json lists them for the queries of alerts and workbook. Nothing of OpenTelemetry
is imported until a setting says where to send it: without one, the lines go to the host's log and that is all. With
one, it is set up a second after the first word, in a thread, so that no first answer waits for it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any

from shared.errors import SettingError
from shared.settings import settings
from shared.telemetry_held import Held, Told

if TYPE_CHECKING:
    from shared.messages import Event
    from shared.telemetry_exported import Exported

NAMESPACE = "relay"
HELD_SECONDS = 1.0
THREAD = "telemetry"
"""The name of the thread that sets the exporters up."""
_COUNTED_BY = {name: f"{NAMESPACE}.{name}" for name in ("source", "route", "target", "status", "outcome")}
"""The dimensions of which there are few values: what a metric may be split by."""
_MEASURED = ("_ms", "_seconds")
_NOTHING: Mapping[str, str] = {}
_CHATTY = "azure.core.pipeline.policies.http_logging_policy"
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
    told = _told()
    logger = _logger(what)
    heard = logger.isEnabledFor(level)
    if not heard and told is None:
        return
    known = {name: value for name, value in {**about, **more}.items() if value != ""}
    if heard:
        # not by log(): it looks for the line of code that tells, and that is always this one
        record = logger.makeRecord(logger.name, level, __file__, 0, _one_line(message), (), None, "tell")
        record.__dict__ |= {_full(name): value for name, value in known.items()} | {_full("what"): what}
        logger.handle(record)
    if told:
        _count(told, what, known)


def span(
    name: str, parent: str = "", about: Mapping[str, str] = _NOTHING, *, asks: bool = False
) -> AbstractContextManager[dict[str, Any]]:
    """Time what happens inside as a part of the trace. `parent` is a W3C traceparent; without it, the span around it.

    `about` are its dimensions; `asks` marks a call of another service. Yields a dict: what is put in becomes an
    attribute at the end, as given.
    An exception marks the span as failed, with its type alone: its text may hold what a service has echoed.
    """
    told = _told()
    if told is None:
        return nullcontext({})
    kind = "client" if asks else "consumer" if parent else "internal"
    return told.span(name, kind, parent, {_full(key): value for key, value in about.items() if value != ""})


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
    told = _told()
    return told.traceparent() if told else ""


class _State:
    """Whether it was looked where telemetry goes, and where it goes now; None is nowhere but to the host's log."""

    known = False
    told: Told | None = None


def _told() -> Told | None:
    if not _State.known:
        with _starting:
            if not _State.known:
                _State.told = _start()
                _State.known = True
    return _State.told


def _start() -> Told | None:
    """Begin to hold what is told if a setting asks for exporters. Never raises: work goes before telling."""
    logging.getLogger(_CHATTY).setLevel(logging.WARNING)  # at INFO it tells of every request to Azure, in 20 lines
    try:
        if not settings().exports_telemetry:
            return None
    except SettingError:  # whoever needs the setting tells of it, and of no telemetry there is nothing to tell
        return None
    held = Held()
    logger = logging.getLogger(NAMESPACE)
    logger.setLevel(logging.INFO)
    logger.addHandler(held)
    threading.Thread(target=_export, args=(held,), name=THREAD, daemon=True).start()
    return held


def _export(held: Held) -> None:
    """Set the exporters up once the first answer is out, and tell them what was held until then."""
    time.sleep(HELD_SECONDS)
    exported = _set_up()
    _State.told = exported
    logger = logging.getLogger(NAMESPACE)
    others = [handler for handler in logger.handlers if handler is not held]
    logger.handlers = [*others, *(exported.handlers if exported else ())]  # at once: no line goes to both, or to none
    held.hand_over(exported)


def _set_up() -> Exported | None:
    try:
        from shared.telemetry_exported import Exported

        return Exported(NAMESPACE)
    except Exception:
        logging.getLogger(NAMESPACE).exception("telemetry can't be sent; the relay works on without")
        return None


def _one_line(message: str) -> str:
    """A line break in a model's name would else begin a line that looks like one of ours."""
    if message.isprintable():
        return message
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in message)


def _count(told: Told, what: str, dimensions: Mapping[str, str | int | float]) -> None:
    by = {full: dimensions[name] for name, full in _COUNTED_BY.items() if name in dimensions}
    measured = {name: value for name, value in dimensions.items() if name.endswith(_MEASURED)}
    told.count(what, by, {name: value for name, value in measured.items() if not isinstance(value, str)})


@cache
def _full(name: str) -> str:
    return f"{NAMESPACE}.{name}"


@cache
def _logger(what: str) -> logging.Logger:
    return logging.getLogger(f"{NAMESPACE}.{what}")
