"""Give way: a step ends since the registry, or a newer event at the same place, has moved on."""

from __future__ import annotations

import logging

from handlers.outcomes import supersede
from handlers.replay import look_again
from handlers.turn import Turn
from shared.errors import ClaimLost, NotNow, Superseded, UnknownStep
from shared.messages import StepMessage

log = logging.getLogger("relay.give_way")


def give_way(turn: Turn, gone: Superseded) -> list[StepMessage]:
    """End a step, and its route, that is not wanted any more; those that it names look again at what they have made.

    They are told first, also by a worker that has lost its claim: its request is why they have to look. Whoever comes
    back after a crash tells them once more, which does no harm. Raises ClaimLost if there is nobody to tell.
    """
    pointers = [pointer for name in gone.look_again if (pointer := _told(name, turn))]
    try:
        return [*pointers, *supersede(turn, gone.reason)]
    except ClaimLost:
        if not pointers:
            raise
        return pointers


def _told(name: str, turn: Turn) -> StepMessage | None:
    event_id, _, step_id = name.partition("/")
    why = f"step {turn.step.id} of event {turn.step.event_id}, which is older, may have acted after it"
    try:
        return look_again(event_id, step_id, why, turn.clock)
    except (ClaimLost, NotNow, UnknownStep) as error:  # it looks already, or the ledger has forgotten it
        log.info("%s", error)
        return None
