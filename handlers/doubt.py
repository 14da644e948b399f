"""A step of which nobody knows whether it was done, and of which its target does not tell."""

from __future__ import annotations

from handlers.outcomes import end, retry
from handlers.turn import Turn, point_later
from shared.errors import AmbiguousFailure, Failure, PermanentFailure
from shared.messages import StepMessage
from shared.steps import State
from shared.telemetry import tell

MAX_DOUBT_SECONDS = 24 * 3600.0


def tell_of_probe(turn: Turn, outcome: str) -> None:
    """Tell what the target was asked, and what came of it: found, missing or failed."""
    line = f"step {turn.step.id} of event {turn.step.event_id}: whether it was done: {outcome}"
    tell("probe", line, turn.dimensions, outcome=outcome)


def without_probe(turn: Turn, doubt: AmbiguousFailure) -> list[StepMessage]:
    """Go on where the target can't be asked: act once more, or park what may be done once at most."""
    if not getattr(turn.options, "at_most_once", False):
        return retry(turn, doubt)
    reason = f"it may have happened, and {turn.step.target} can't be asked: {doubt.reason}"
    return end(turn, State.PARKED, PermanentFailure(reason))


def stay_in_doubt(turn: Turn, failure: Failure) -> list[StepMessage]:
    """Ask later, ever more seldom, since the target could not be asked; after a day park the step."""
    if turn.age > MAX_DOUBT_SECONDS:
        reason = f"it may have happened, and {turn.step.target} could not be asked: {failure.reason}"
        return end(turn, State.PARKED, PermanentFailure(reason))
    due = turn.later(max(failure.retry_after, min(max(turn.age / 2, 5.0), 3600.0)))
    turn.move(State.IN_DOUBT, due=due, reason=f"could not ask whether it happened: {failure.reason}")
    return point_later(turn)
