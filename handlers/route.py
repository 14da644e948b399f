"""Route one event: write it to the ledger with the first step of every route that matches, and run or point to it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from handlers.current_routes import current_routes
from handlers.decide import decide
from handlers.reconcile_same import same_act
from handlers.run import act, take
from handlers.state_machine import as_claimed
from handlers.turn import Clock, Turn, point_to
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
from shared.settings import settings
from shared.steps import ENDED, State, Step
from shared.stories import Decision, Story
from shared.telemetry import dimensions_of, span, tell, traceparent

ROUTES_RETRY_SECONDS = 60.0
# Of the 24 events that a worker has in hand (host.json), so many may run their step: slow targets stop no routing.
_hands = threading.BoundedSemaphore(16)


def route_event(message: bytes, clock: Clock) -> list[StepMessage]:
    """Take one message of the queue `events`, return the pointers to the steps that may run now.

    A single step is run at once, and with it what follows: a message, and a second instance to be woken, are spared.
    A message that comes twice changes nothing. While the routes can't be used the message is put back for later, as
    often as it takes. Raises storage errors, and msgspec.DecodeError for a message that is none: the host retries
    and then hands it to the poison queue.
    """
    envelope = decode_event_message(message)
    event = _event(envelope)
    with span("route_event", envelope.trace, dimensions_of(event)):
        return _route(event, envelope.blob, message, clock)


def _route(event: Event, blob: str, message: bytes, clock: Clock) -> list[StepMessage]:
    now = clock()
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
    foreseen = ledger.foresee(event, decision, now, traceparent())
    with _in_hand(_of_single_step(foreseen, clock)) as turn:
        claimed = as_claimed(turn) if turn else None
        story, is_new = ledger.record(foreseen, blob, now, claimed)
        if matching and not decision.routes:
            ledger.close_all(event.id)
        _tell(event, decision, now)
        # one that comes again may have killed its worker: its steps get messages, which become poison by themselves
        if turn and is_new:
            turn.story, turn.step = story, story.steps[turn.step.id]
            return act(turn) if claimed else take(turn)
    return [point_to(step) for step in story.steps.values() if _waits(step, now)]


def _tell(event: Event, decision: Decision, now: datetime) -> None:
    routes_named = ", ".join(route.name for route in decision.routes) or "no route"
    tell(
        "event",
        f"event {event.id} ({event.type} of {event.source}) starts {routes_named}",
        dimensions_of(event),
        outcome="routed" if decision.routes else "unrouted",
        queue_ms=round((now.timestamp() - event.received) * 1000),
    )


def _of_single_step(story: Story, clock: Clock) -> Turn | None:
    """The turn of the step that is to run at once: a message, and a second instance to be woken, are spared."""
    ready = [step for step in story.steps.values() if step.state is State.READY]
    return Turn(story, ready[0], clock) if len(ready) == 1 and settings().runs_steps else None


def _waits(step: Step, now: datetime) -> bool:
    """Tell whether a step is in nobody's hand: it is ready, or the worker that has claimed it did not come back."""
    return step.state is State.READY or (step.state not in ENDED and step.due <= now)


@contextmanager
def _in_hand(turn: Turn | None) -> Iterator[Turn | None]:
    """Hold the turn in one of the hands while the block runs; yield None where there is no turn, or no free hand."""
    held = turn is not None and _hands.acquire(blocking=False)
    try:
        yield turn if held else None
    finally:
        if held:
            _hands.release()


def _event(envelope: EventMessage) -> Event:
    return envelope.event or decode_event(storage.read_blob(envelope.blob))
