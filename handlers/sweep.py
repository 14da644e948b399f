"""Sweep: point once more to every step that is due or stranded, so that no lost message matters."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta

from handlers.turn import point_to
from shared import ledger
from shared.errors import UnknownStep
from shared.ledger import Story
from shared.messages import StepMessage
from shared.steps import ENDED

log = logging.getLogger("relay.sweep")
GRACE = timedelta(seconds=30)  # a message that is under way arrives by then


def sweep(now: datetime) -> Iterator[StepMessage]:
    """Yield a pointer to each step whose time was over half a minute ago, and take ended events from the list."""
    for event_id in list(ledger.open_events()):
        try:
            yield from _overdue(ledger.read(event_id), now)
        except UnknownStep:
            continue  # noted as open, its rows not written yet: its message is still in the queue `events`
        except Exception:  # one event that can't be read may not strand the others
            log.exception("event %s can't be swept", event_id)


def _overdue(story: Story, now: datetime) -> Iterator[StepMessage]:
    if story.has_ended:
        ledger.close(story.event.id)
        return
    for step in story.steps.values():
        if step.state not in ENDED and step.due + GRACE < now:
            log.info("step %s of event %s is overdue", step.id, step.event_id)
            yield point_to(step)
