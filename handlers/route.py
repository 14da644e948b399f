"""Route one event: write it to the ledger with the first step of every route that matches, and point to those steps."""

from __future__ import annotations

import logging
from datetime import datetime

from handlers.current_routes import current_routes
from handlers.decide import decide
from handlers.turn import point_to
from shared import ledger, storage
from shared.errors import RoutesError, RoutesUnavailable, SettingError
from shared.messages import (
    EVENTS_QUEUE,
    Event,
    EventMessage,
    StepMessage,
    decode_event,
    decode_event_message,
)

log = logging.getLogger("relay.route")
ROUTES_RETRY_SECONDS = 60.0


def route_event(message: bytes, now: datetime) -> list[StepMessage]:
    """Take one message of the queue `events`, return the pointers to the steps that may run now.

    A message that comes twice changes nothing. While the routes can't be used the message is put back for later, as
    often as it takes. Raises storage errors, and msgspec.DecodeError for a message that is none: the host retries
    and then hands it to the poison queue.
    """
    envelope = decode_event_message(message)
    event = _event(envelope)
    try:
        routes = current_routes()
    except (RoutesError, RoutesUnavailable, SettingError) as error:
        log.error("event %s waits, since the routes can't be used: %s", event.id, error)
        storage.send(EVENTS_QUEUE, message.decode(), ROUTES_RETRY_SECONDS)
        return []
    decision = decide(routes, event, now)
    if not decision.routes:
        log.info("event %s (%s of %s) starts no route", event.id, event.type, event.source)
    return [point_to(step) for step in ledger.record(event, envelope.blob, decision, now)]


def _event(envelope: EventMessage) -> Event:
    return envelope.event or decode_event(storage.read_blob(envelope.blob))
