"""Run one step: the state machine, one turn at a time.

A turn has the event's story before it, does what the step's state asks for, and writes what came of it. Whatever is
lost on the way (this worker, the message, the reply of the target) leaves a row from which another turn goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from handlers.echoes import expect_echoes
from handlers.gates import check_gates
from handlers.give_way import give_way
from handlers.outcomes import check_delay, end, follow_up, give_up, hold, is_exhausted, note, retry
from handlers.switches import why_stopped
from handlers.turn import Clock, Turn, point_later, point_to, tell_of_step
from shared import ledger
from shared.errors import (
    AmbiguousFailure,
    ClaimLost,
    Failure,
    PermanentFailure,
    Superseded,
    TransientFailure,
    UnknownStep,
)
from shared.messages import StepMessage, decode_step_message
from shared.settings import settings
from shared.steps import ENDED, State, Step, moved
from shared.telemetry import span, tell

log = logging.getLogger("relay.run")
IN_HAND = timedelta(seconds=20)  # what becomes ready later gets a message of its own: a function's time is limited
MISSES = 2  # not found so often, a settle time apart, counts as not done
MAX_DOUBT_SECONDS = 24 * 3600.0


def run_step(message: bytes, clock: Clock) -> list[StepMessage]:
    """Take one message of the queue `steps`, return the pointers to the steps that may run now because of it.

    Returns normally when another worker holds the step. Raises storage errors, and msgspec.DecodeError for a message
    that is none: the host retries and then hands it to the poison queue.
    """
    try:
        turn = _turn(message, clock)
    except UnknownStep as error:
        log.info("%s", error)
        return []
    return take(turn)


def take(turn: Turn) -> list[StepMessage]:
    """Take a step one turn further; if its end makes one other step ready, go on with that one in the same hand.

    Returns pointers as run_step does. Two that are ready get a message each: neither waits for the other's target.
    """
    return _go_on(turn, _take)


def as_claimed(turn: Turn) -> Step | None:
    """Make a first step ready to act as soon as its event is recorded; return it as claimed by that same write.

    None for what asks a registry first, or is about to cause an event in one: it is claimed when it comes to that. So
    is what fails here.
    """
    if turn.story.routes[turn.step.route].require is not None or why_stopped(turn.step.route):
        return None
    try:
        turn.prepare()
    except Failure:
        return None
    if hasattr(turn.module, "causes"):
        return None
    claim = _claim(turn)
    return moved(turn.step, claim["claimed"], State.RUNNING, **claim)


def act(turn: Turn) -> list[StepMessage]:
    """Let a step act that was recorded as claimed by this turn, and go on as `take` does."""
    tell_of_step(turn.story, turn.step, turn.clock())
    return _go_on(turn, _start)


def _go_on(turn: Turn, first: Callable[[Turn], list[StepMessage]]) -> list[StepMessage]:
    begun, do = turn.clock(), first
    try:
        while True:
            with span("run_step", turn.story.trace, turn.dimensions):
                pointers = do(turn)
            do = _take
            following = turn.of_follower()
            if not following or pointers != [point_to(following.step)] or turn.clock() - begun > IN_HAND:
                return pointers
            turn = following
    except (ClaimLost, UnknownStep) as error:
        log.info("%s", error)
        return []


def fail_attempt(message: bytes, reason: str, clock: Clock) -> list[StepMessage]:
    """Count an attempt as failed that ended in an error before its step was claimed; return pointers as run_step does.

    A step that is running, waiting or in doubt is left to its lease or next check. Raises UnknownStep.
    """
    turn = _turn(message, clock)
    if turn.step.state not in (State.READY, State.RETRY):
        return []
    patience = (turn.step.due - clock()).total_seconds()  # what its service may have asked for is not cut short
    try:
        return retry(turn, TransientFailure(reason, retry_after=max(patience, 0.0)))
    except ClaimLost:
        return []


def _turn(message: bytes, clock: Clock) -> Turn:
    pointer = decode_step_message(message)
    story = ledger.read(pointer.event_key)
    if pointer.step not in story.steps:
        raise UnknownStep(f"the ledger holds no step {pointer.step} of event {pointer.event_key}")
    return Turn(story, story.steps[pointer.step], clock)


def _take(turn: Turn) -> list[StepMessage]:
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
    return _act(turn)


def _act(turn: Turn) -> list[StepMessage]:
    turn.move(State.RUNNING, **_claim(turn))
    return _start(turn)


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


def _start(turn: Turn) -> list[StepMessage]:
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
            return _without_probe(turn, doubt)
        answer = turn.ask(turn.module.probe)
    except Superseded as gone:
        return give_way(turn, gone)
    except Failure as failure:
        _tell_of_probe(turn, "failed")
        return _stay_in_doubt(turn, failure)
    _tell_of_probe(turn, "missing" if answer is None else "found")
    if answer is not None:
        return note(turn, answer)
    if turn.step.misses + 1 < MISSES:
        due = turn.later(settings().settle_seconds)
        turn.move(State.IN_DOUBT, misses=turn.step.misses + 1, due=due, reason=doubt.reason)
        return point_later(turn)
    if is_exhausted(turn.step.attempts):
        return give_up(turn, doubt, turn.step.attempts)
    return _act_if_allowed(turn)


def _tell_of_probe(turn: Turn, outcome: str) -> None:
    line = f"step {turn.step.id} of event {turn.step.event_id}: whether it was done: {outcome}"
    tell("probe", line, turn.dimensions, outcome=outcome)


def _without_probe(turn: Turn, doubt: AmbiguousFailure) -> list[StepMessage]:
    if not getattr(turn.options, "at_most_once", False):
        return retry(turn, doubt)
    reason = f"it may have happened, and {turn.step.target} can't be asked: {doubt.reason}"
    return end(turn, State.PARKED, PermanentFailure(reason))


def _stay_in_doubt(turn: Turn, failure: Failure) -> list[StepMessage]:
    if turn.age > MAX_DOUBT_SECONDS:
        reason = f"it may have happened, and {turn.step.target} could not be asked: {failure.reason}"
        return end(turn, State.PARKED, PermanentFailure(reason))
    due = turn.later(max(failure.retry_after, min(max(turn.age / 2, 5.0), 3600.0)))
    turn.move(State.IN_DOUBT, due=due, reason=f"could not ask whether it happened: {failure.reason}")
    return point_later(turn)
