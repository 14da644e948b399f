"""Spans, lines and metrics as OpenTelemetry takes them. Imported once the exporters are to be set up."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

from opentelemetry import context, metrics, trace
from opentelemetry.context import Context
from opentelemetry.metrics import Counter, Histogram
from opentelemetry.sdk.trace import Tracer
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shared.telemetry_export import set_up
from shared.telemetry_held import PastSpan, open_span

_KINDS = {kind.name.lower(): kind for kind in trace.SpanKind}


class Exported:
    """What is told, told to the exporters; `scope` is the name that all of it stands under."""

    def __init__(self, scope: str) -> None:
        """Set the exporters up. Raises what they raise."""
        self._scope = scope
        self.handlers = set_up()
        self._tracer = trace.get_tracer(scope)
        if isinstance(self._tracer, Tracer):  # else OTEL_SDK_DISABLED is set
            self._tracer.id_generator = _Ids(self._tracer.id_generator)

    @contextmanager
    def span(self, name: str, kind: str, parent: str, about: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """As shared.telemetry_held.Told."""
        told: dict[str, Any] = {}
        current = self._tracer.start_span(name, _within(parent), _KINDS[kind], {**about})
        token = context.attach(trace.set_span_in_context(current))
        try:
            yield told
        except BaseException as error:
            _fail(current, type(error).__name__)
            raise
        finally:
            current.set_attributes(told)
            context.detach(token)
            current.end()

    def past_span(self, span: PastSpan) -> None:
        """As shared.telemetry_held.Exporters."""
        around = _context_of(span.parent) if span.parent else Context()
        token = _own.set(span.own)
        try:
            past = self._tracer.start_span(span.name, around, _KINDS[span.kind], span.attributes, start_time=span.began)
        finally:
            _own.reset(token)
        if span.failed:
            _fail(past, span.failed)
        past.end(span.ended)

    def line(self, record: logging.LogRecord, around: str) -> None:
        """As shared.telemetry_held.Exporters."""
        token = context.attach(_context_of(around) if around else Context())
        try:
            for handler in self.handlers:
                handler.handle(record)
        finally:
            context.detach(token)

    def traceparent(self) -> str:
        """As shared.telemetry_held.Told."""
        now = trace.get_current_span().get_span_context()
        if not now.is_valid:
            return open_span.get()
        return f"00-{now.trace_id:032x}-{now.span_id:016x}-{now.trace_flags:02x}"

    def count(self, what: str, dimensions: Mapping[str, Any], measured: Mapping[str, float]) -> None:
        """As shared.telemetry_held.Told."""
        self._counter(what).add(1, {**dimensions})
        for name, value in measured.items():
            self._histogram(what, name).record(value, {**dimensions})

    @cache  # noqa: B019  # there is one for as long as the process lives
    def _counter(self, what: str) -> Counter:
        return metrics.get_meter(self._scope).create_counter(f"{self._scope}.{what}")

    @cache  # noqa: B019
    def _histogram(self, what: str, name: str) -> Histogram:
        measure, _, unit = name.rpartition("_")
        full = f"{self._scope}.{what}.{measure}"
        return metrics.get_meter(self._scope).create_histogram(full, unit="ms" if unit == "ms" else "s")


_own: ContextVar[str] = ContextVar("own", default="")
"""The traceparent of a span that has its ids already."""


class _Ids(IdGenerator):
    """Gives a span the ids that it has already, any other new ones."""

    def __init__(self, others: IdGenerator) -> None:
        self._others = others

    def generate_trace_id(self) -> int:
        known = _own.get()
        return int(known.split("-")[1], 16) if known else self._others.generate_trace_id()

    def generate_span_id(self) -> int:
        known = _own.get()
        return int(known.split("-")[2], 16) if known else self._others.generate_span_id()


def _within(parent: str) -> Context | None:
    """The context of a span's parent; None for that of the span around, which may have been begun while it was held."""
    if not parent and (held := open_span.get()) and not trace.get_current_span().get_span_context().is_valid:
        parent = held
    return _context_of(parent) if parent else None


def _context_of(parent: str) -> Context:
    return TraceContextTextMapPropagator().extract({"traceparent": parent})


def _fail(span: trace.Span, why: str) -> None:
    span.set_status(trace.StatusCode.ERROR, why)
