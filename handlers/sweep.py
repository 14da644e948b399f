"""Sweep: point once more to every step that is due or stranded, so that no lost message matters."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

from handlers.turn import point_to
from shared import ledger, open_events, poison
from shared.errors import UnknownStep
from shared.messages import StepMessage
from shared.steps import ENDED, State, Step
from shared.stories import Story
from shared.telemetry import tell

log = logging.getLogger("relay.sweep")
GRACE = timedelta(seconds=30)  # a message that is under way arrives by then


def sweep(now: datetime) -> Iterator[StepMessage]:
    """Yield a pointer to each step whose time was over half a minute ago, take ended events from the list, and tell
    how things stand."""
    found = list(open_events.ids())
    steps: list[Step] = []
    for event_id in found:
        try:
            story = ledger.read(event_id)
            steps += story.steps.values()
            yield from _overdue(story, now)
        except UnknownStep:
            continue  # noted as open, its rows not written yet: its message is still in the queue `events`
        except Exception:  # one event that can't be read may not strand the others
            log.exception("event %s can't be swept", event_id)
    _tell(len(found), steps, now)


def _tell(count: int, steps: list[Step], now: datetime) -> None:
    late = [(now - step.due).total_seconds() for step in steps if step.state not in ENDED]
    states = Counter(step.state for step in steps)
    kept = poison.count()
    tell(
        "sweep",
        f"{count} events have not ended; {kept} messages are poison",
        open=count,
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
