"""What is known of an event: its story, what was decided when it came, and what caused it."""

from __future__ import annotations

import msgspec

from shared.messages import Event
from shared.routes import Route
from shared.steps import ENDED, Step


class Cause(msgspec.Struct, frozen=True):
    """The step of another event that caused this one; `chain` are the routes that led here, the oldest first."""

    event_id: str
    step: str
    chain: tuple[str, ...]


class Story(msgspec.Struct, frozen=True):
    """All that the ledger knows of one event. `skipped` are routes that match but were not started, with the reason;
    `trace` is the W3C traceparent under which it was routed, for what its steps tell."""

    event: Event
    routes: dict[str, Route]
    steps: dict[str, Step]
    cause: Cause | None = None
    skipped: dict[str, str] = {}
    trace: str = ""

    @property
    def chain(self) -> tuple[str, ...]:
        """The routes that led to this event."""
        return self.cause.chain if self.cause else ()

    @property
    def has_ended(self) -> bool:
        """Whether every step that came to its turn has ended: the next one's row comes with its predecessor's end."""
        return all(step.state in ENDED for step in self.steps.values())


class Decision(msgspec.Struct, frozen=True):
    """What an event starts: the `routes` that do, those of them whose first step is `parked` at once and why, and the
    routes that are `skipped` although they match, and why; `cause` if a step of ours caused the event."""

    routes: tuple[Route, ...]
    parked: dict[str, str] = {}
    skipped: dict[str, str] = {}
    cause: Cause | None = None
