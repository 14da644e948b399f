"""The newest event that has come to a place outside, such as an endpoint: its high-water mark, kept in the ledger.

A service that has no conditional write can't be asked to hold an older event back, nor undo what one had under way
when it was overtaken. So each step takes the mark before it acts, and again before each request that changes
something; whoever finds a newer event's there gives way. Table `relay`, partition `newest`, a row for each place.
"""

from __future__ import annotations

import hashlib

import msgspec

from shared import ledger, rows
from shared.errors import UnknownStep
from shared.markers import RELAY
from shared.steps import ENDED


class Mark(msgspec.Struct, frozen=True):
    """`time` is the event's, in milliseconds; `steps` are the event's steps that came to the place, the first first;
    `last_word` is the last of those that decide what only one can, such as an endpoint's traffic."""

    time: int = 0
    event: str = ""
    steps: tuple[str, ...] = ()
    last_word: str = ""

    def is_of(self, step: str) -> bool:
        """Tell whether it is that of the step's event; `step` is an event id / step id."""
        return self.event == step.partition("/")[0]


def take(place: str, time: int, step: str, *, decides: bool) -> Mark:
    """Note that a step (event id / step id) has come to a place, of an event of this time; return the newest mark.

    That is the event's own unless a newer one has been there; of two of the same time, one is taken for the newer.
    """
    event, _, name = step.partition("/")

    def taken(mark: Mark) -> Mark:
        own = mark.event == event
        if name in mark.steps if own else (time, event) < (mark.time, mark.event):
            return mark
        word = name if decides else mark.last_word if own else ""
        return Mark(time, event, (*(mark.steps if own else ()), name), word)

    return rows.change(RELAY, _key(place), "mark", Mark(), taken)


def find(place: str) -> Mark:
    """Return the newest mark of a place; an empty one if nobody has been there."""
    return rows.read(RELAY, _key(place), "mark", Mark())


def is_under_way(mark: Mark) -> bool:
    """Tell whether a step of the event may still act at the place; none does if the ledger has forgotten the event."""
    try:
        steps = ledger.read(mark.event).steps
    except UnknownStep:
        return False
    return any(steps[name].state not in ENDED for name in mark.steps if name in steps)


def _key(place: str) -> rows.Key:
    return "newest", hashlib.sha256(place.encode()).hexdigest()
