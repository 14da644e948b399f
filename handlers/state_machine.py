"""The state machine: what the state of a step asks for, one arrow after the other.

Each function writes what came of it and returns the pointers to the steps that may run now. ClaimLost passes through:
another worker has taken the step further.
"""

from __future__ import annotations

from typing import Any

from handlers.doubt import stay_in_doubt, tell_of_probe, without_probe
from handlers.echoes import expect_echoes
from handlers.gates import check_gates
from handlers.give_way import give_way
from handlers.outcomes import check_delay, end, follow_up, give_up, hold, is_exhausted, note, retry
from handlers.switches import why_stopped
from handlers.turn import Turn, point_later
from shared.errors import AmbiguousFailure, Failure, PermanentFailure, Superseded, TransientFailure
from shared.messages import StepMessage
from shared.settings import settings
from shared.steps import ENDED, State, Step, moved

MISSES = 2  # not found so often, a settle time apart, counts as not done


def advance(turn: Turn) -> list[StepMessage]:
    """Do what the step's state asks for, if it is due."""
    state = turn.step.state
    if state in ENDED:
        return follow_up(turn)
    if state is not State.READY and turn.step.due > turn.clock():
        return point_later(turn)
    if state in (State.READY, State.RETRY):
        return _begin(turn)
    if state is State.WAITING:
        return _check(turn)
    if state is State.RUNNING:
        reason = "the worker that ran it did not come back"
        turn.move(State.IN_DOUBT, fence=turn.step.fence + 1, due=turn.clock(), misses=0, reason=reason)
    return _clear_doubt(turn)


def start(turn: Turn) -> list[StepMessage]:
    """Let the target of a step act that this turn has claimed."""
    try:
        return note(turn, turn.ask(turn.module.start))
    except Superseded as gone:
        return give_way(turn, gone)
    except PermanentFailure as failure:
        return end(turn, State.DEAD, failure)
    except TransientFailure as failure:
        return retry(turn, failure)
    except AmbiguousFailure as failure:
        turn.move(State.IN_DOUBT, due=turn.later(failure.retry_after), misses=0, reason=failure.reason)
        return point_later(turn) if failure.retry_after else _clear_doubt(turn)


def as_claimed(turn: Turn) -> Step | None:
    """Make a first step ready to act as soon as its event is recorded; return it as claimed by that same write.

    None for what asks a registry first, or is about to cause an event in one: it is claimed when it comes to that. So
    is what fails here.
    """
    if turn.story.routes[turn.step.route].require is not None or why_stopped(turn.step.route):
        return None
    try:
        turn.load()
        if hasattr(turn.module, "causes"):
            return None
        turn.prepare()
    except Failure:
        return None
    claim = _claim(turn)
    return moved(turn.step, claim["claimed"], State.RUNNING, **claim)


def _begin(turn: Turn) -> list[StepMessage]:
    try:
        turn.prepare()
    except PermanentFailure as failure:
        return end(turn, State.DEAD, failure)
    except Failure as failure:
        return retry(turn, failure)
    return _act_if_allowed(turn)


def _act_if_allowed(turn: Turn) -> list[StepMessage]:
    """Act unless an operator has stopped the route, or the registry has moved on, or lacks what the route requires."""
    if stopped := why_stopped(turn.step.route):
        return hold(turn, stopped)
    try:
        check_gates(turn)
    except Superseded as gone:
        return give_way(turn, gone)
    except PermanentFailure as failure:
        return end(turn, State.DEAD, failure)
    except Failure as failure:
        return retry(turn, failure)
    expect_echoes(turn)
    turn.move(State.RUNNING, **_claim(turn))
    return start(turn)


def _claim(turn: Turn) -> dict[str, Any]:
    """What a claim changes of a step."""
    step = turn.step
    return {
        "fence": step.fence + 1,
        "attempts": step.attempts + 1,
        "claimed": step.claimed or turn.clock(),
        "due": turn.later(settings().step_lease_seconds),
        "misses": 0,
    }


def _check(turn: Turn) -> list[StepMessage]:
    try:
        turn.prepare()
        return note(turn, turn.ask(turn.module.check))
    except Superseded as gone:
        return give_way(turn, gone)
    except PermanentFailure as failure:
        return end(turn, State.DEAD, failure)
    except Failure as failure:  # asking changes nothing at the target: an unclear answer is as good as none
        due = turn.later(max(check_delay(turn), failure.retry_after))
        turn.move(State.WAITING, due=due, reason=failure.reason)
        return point_later(turn)


def _clear_doubt(turn: Turn) -> list[StepMessage]:
    doubt = AmbiguousFailure(turn.step.reason)
    try:
        turn.prepare()
        if not hasattr(turn.module, "probe"):
            return without_probe(turn, doubt)
        answer = turn.ask(turn.module.probe)
    except Superseded as gone:
        return give_way(turn, gone)
    except Failure as failure:
        tell_of_probe(turn, "failed")
        return stay_in_doubt(turn, failure)
    tell_of_probe(turn, "missing" if answer is None else "found")
    if answer is not None:
        return note(turn, answer)
    if turn.step.misses + 1 < MISSES:
        due = turn.later(settings().settle_seconds)
        turn.move(State.IN_DOUBT, misses=turn.step.misses + 1, due=due, reason=doubt.reason)
        return point_later(turn)
    if is_exhausted(turn.step.attempts):
        return give_up(turn, doubt, turn.step.attempts)
    return _act_if_allowed(turn)
