"""Route one event: write it to the ledger with the first step of every route that matches, and point to those steps."""

from __future__ import annotations

import logging
from datetime import datetime

from handlers.current_routes import current_routes
from handlers.decide import decide
from handlers.reconcile_same import same_act
from handlers.turn import point_to
from shared import ledger, storage
from shared.beside import beside
from shared.errors import RoutesError, RoutesUnavailable, SettingError
from shared.messages import (
    EVENTS_QUEUE,
    Event,
    EventMessage,
    StepMessage,
    decode_event,
    decode_event_message,
)
from shared.telemetry import dimensions_of, span, tell, traceparent

ROUTES_RETRY_SECONDS = 60.0


def route_event(message: bytes, now: datetime) -> list[StepMessage]:
    """Take one message of the queue `events`, return the pointers to the steps that may run now.

    A message that comes twice changes nothing. While the routes can't be used the message is put back for later, as
    often as it takes. Raises storage errors, and msgspec.DecodeError for a message that is none: the host retries
    and then hands it to the poison queue.
    """
    envelope = decode_event_message(message)
    event = _event(envelope)
    with span("route_event", envelope.trace, dimensions_of(event)):
        return _route(event, envelope.blob, message, now)


def _route(event: Event, blob: str, message: bytes, now: datetime) -> list[StepMessage]:
    try:
        routes = current_routes()
    except (RoutesError, RoutesUnavailable, SettingError) as error:
        reason = f"event {event.id} waits, since the routes can't be used: {error}"
        tell("event", reason, dimensions_of(event), level=logging.ERROR, outcome="waiting", reason=str(error))
        storage.send(EVENTS_QUEUE, message.decode(), ROUTES_RETRY_SECONDS)
        return []
    event, blob, moment = same_act(routes, event, blob, now)
    matching = routes.matching(event)
    with beside(lambda: ledger.announce(event, now, opens=bool(matching))):
        decision = decide(routes, matching, event, moment)
    steps = ledger.record(event, blob, decision, now, traceparent())
    if matching and not decision.routes:
        ledger.close_all(event.id)
    routes_named = ", ".join(route.name for route in decision.routes) or "no route"
    tell(
        "event",
        f"event {event.id} ({event.type} of {event.source}) starts {routes_named}",
        dimensions_of(event),
        outcome="routed" if decision.routes else "unrouted",
        queue_ms=round((now.timestamp() - event.received) * 1000),
    )
    return [point_to(step) for step in steps]


def _event(envelope: EventMessage) -> Event:
    return envelope.event or decode_event(storage.read_blob(envelope.blob))
