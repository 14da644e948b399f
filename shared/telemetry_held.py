"""What is told before telemetry is set up: held for a moment, then told on as if the exporters had been there.

To import OpenTelemetry and its exporters takes a quarter to two fifths as long as all else that a cold start does until
its first answer, so that goes out before. Spans get their ids here: they travel on in messages, and are kept.
"""

from __future__ import annotations

import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Protocol

import msgspec

MOST = 2000  # OpenTelemetry's own queues hold as many, and drop what is more
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})")

open_span: ContextVar[str] = ContextVar("open_span", default="")
"""The span around, as a W3C traceparent, if it was begun while it had to be held; else empty."""


class PastSpan(msgspec.Struct, kw_only=True):
    """A span whose end is known. `own` and `parent` are W3C traceparents, `parent` empty for the first of a trace;
    `kind` is client, consumer or internal; times in nanoseconds since 1970; `failed` is the type of an exception."""

    name: str
    kind: str
    own: str
    parent: str
    began: int
    ended: int = 0
    attributes: dict[str, Any]
    failed: str = ""


class Told(Protocol):
    """Where telemetry goes: to the exporters, or first into what is held."""

    def span(self, name: str, kind: str, parent: str, about: Mapping[str, Any]) -> AbstractContextManager[Any]:
        """Time what happens inside; yield a dict of further attributes. `parent` is a traceparent, or empty."""

    def traceparent(self) -> str:
        """Return the span around as a W3C traceparent, empty if there is none."""

    def count(self, what: str, dimensions: Mapping[str, Any], measured: Mapping[str, float]) -> None:
        """Count once, and record what was measured."""


class Exporters(Told, Protocol):
    """Where what was held is told on to: as `Told`, but of what is over."""

    def past_span(self, span: PastSpan) -> None:
        """Tell of a span that is over, under its own ids."""

    def line(self, record: logging.LogRecord, around: str) -> None:
        """Tell of a line, within the span that was around it: a traceparent, or empty."""


Telling = Callable[[Exporters], None]


class Held(logging.Handler):
    """Holds what is told, of the lines those of the loggers it is added to, until `hand_over`."""

    def __init__(self) -> None:
        super().__init__()
        self._things: list[Telling] = []
        self._holding = True
        self._exporters: Exporters | None = None
        self._guard = threading.Lock()

    def hand_over(self, exporters: Exporters | None) -> None:
        """Tell all on, and from now on at once; without exporters forget it."""
        with self._guard:
            things, self._things = self._things, []
            self._holding, self._exporters = False, exporters
        for thing in things:
            with suppress(Exception):  # one that can't be told takes no other with it
                _tell(thing, exporters)

    @contextmanager
    def span(self, name: str, kind: str, parent: str, about: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """As `Told`."""
        own, parent = _child_of(parent or open_span.get())
        span = PastSpan(name=name, kind=kind, own=own, parent=parent, began=time.time_ns(), attributes={**about})
        told: dict[str, Any] = {}
        token = open_span.set(own)
        try:
            yield told
        except BaseException as error:
            span.failed = type(error).__name__
            raise
        finally:
            open_span.reset(token)
            span.attributes.update(told)
            span.ended = time.time_ns()
            self._keep(lambda exporters: exporters.past_span(span))

    def traceparent(self) -> str:
        """As `Told`."""
        return open_span.get()

    def count(self, what: str, dimensions: Mapping[str, Any], measured: Mapping[str, float]) -> None:
        """As `Told`."""
        self._keep(lambda exporters: exporters.count(what, dimensions, measured))

    def emit(self, record: logging.LogRecord) -> None:
        """Hold a line."""
        around = open_span.get()
        self._keep(lambda exporters: exporters.line(record, around))

    def _keep(self, thing: Telling) -> None:
        with self._guard:
            if self._holding:
                if len(self._things) < MOST:
                    self._things.append(thing)
                return
        _tell(thing, self._exporters)


def _tell(thing: Telling, exporters: Exporters | None) -> None:
    if exporters:
        thing(exporters)


def _child_of(parent: str) -> tuple[str, str]:
    """Return the traceparent of a new span, and that of its parent: empty if there is none, or if it is none."""
    found = _TRACEPARENT.fullmatch(parent)
    trace, flags = found.groups() if found else (secrets.token_hex(16), "01")
    return f"00-{trace}-{secrets.token_hex(8)}-{flags}", parent if found else ""
