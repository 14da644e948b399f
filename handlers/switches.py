"""The kill switches: a route that an operator has stopped parks its steps instead of acting."""

from __future__ import annotations

import threading
import time

import msgspec

from shared.brakes import Stop, stopped_routes

LOOK_AGAIN_SECONDS = 5.0


class _Known(msgspec.Struct):
    stops: dict[str, Stop] = {}
    looked: float = -LOOK_AGAIN_SECONDS


_known = _Known()
_lock = threading.Lock()


def why_stopped(route: str) -> str:
    """Return why the route may not act now, empty if it may. A switch is noticed within 5 s.

    Raises storage errors: whether a route may act has to be known before it does.
    """
    with _lock:
        if time.monotonic() - _known.looked >= LOOK_AGAIN_SECONDS:
            _known.stops, _known.looked = stopped_routes(), time.monotonic()
        stop = _known.stops.get(route)
    return f"route {route} was stopped at {stop.since:%Y-%m-%d %H:%M} UTC: {stop.reason}" if stop else ""
