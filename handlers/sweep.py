"""Sweep: point once more to every step that is due or stranded, so that no lost message matters."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

from handlers.turn import point_to
from shared import ledger, poison
from shared.errors import UnknownStep
from shared.ledger import Story
from shared.messages import StepMessage
from shared.steps import ENDED, State, Step
from shared.telemetry import tell

log = logging.getLogger("relay.sweep")
GRACE = timedelta(seconds=30)  # a message that is under way arrives by then


def sweep(now: datetime) -> Iterator[StepMessage]:
    """Yield a pointer to each step whose time was over half a minute ago, take ended events from the list, and tell
    how things stand."""
    open_events: list[str] = list(ledger.open_events())
    steps: list[Step] = []
    for event_id in open_events:
        try:
            story = ledger.read(event_id)
            steps += story.steps.values()
            yield from _overdue(story, now)
        except UnknownStep:
            continue  # noted as open, its rows not written yet: its message is still in the queue `events`
        except Exception:  # one event that can't be read may not strand the others
            log.exception("event %s can't be swept", event_id)
    _tell(len(open_events), steps, now)


def _tell(open_events: int, steps: list[Step], now: datetime) -> None:
    late = [(now - step.due).total_seconds() for step in steps if step.state not in ENDED]
    states = Counter(step.state for step in steps)
    kept = poison.count()
    tell(
        "sweep",
        f"{open_events} events have not ended; {kept} messages are poison",
        open=open_events,
        oldest_due_seconds=round(max([*late, 0.0])),
        dead=states[State.DEAD],
        parked=states[State.PARKED],
        poison=kept,
    )


def _overdue(story: Story, now: datetime) -> Iterator[StepMessage]:
    if story.has_ended:
        ledger.close_all(story.event.id)
        return
    for step in story.steps.values():
        if step.state not in ENDED and step.due + GRACE < now:
            log.info("step %s of event %s is overdue", step.id, step.event_id)
            yield point_to(step)
