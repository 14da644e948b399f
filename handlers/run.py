"""Run one step: the state machine, one turn at a time.

A turn reads the event's story, does what the step's state asks for, and writes what came of it. Whatever is lost on
the way (this worker, the message, the reply of the target) leaves a row from which another turn goes on.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from handlers.targets import target_module
from handlers.values import render
from shared import ledger, storage, vault
from shared.attempts import Answer, Attempt, Succeeded
from shared.errors import (
    AmbiguousFailure,
    ClaimLost,
    Failure,
    PermanentFailure,
    SecretUnusable,
    SettingError,
    TransientFailure,
    UnknownStep,
    VaultUnavailable,
)
from shared.ledger import Story
from shared.messages import STEPS_QUEUE, StepMessage, decode_step_message, encode
from shared.settings import settings
from shared.steps import ENDED, State, Step, new_step

log = logging.getLogger("relay.run")
Clock = Callable[[], datetime]
MISSES = 2  # not found so often, a settle time apart, counts as not done
DOUBT_HOURS = 24.0
MAX_CHECK_SECONDS = 60.0


@dataclass
class _Turn:
    """One step in one worker's hands, with what its target needs."""

    story: Story
    step: Step
    clock: Clock
    module: Any = None
    options: Any = None
    connection: Any = None

    def move(self, state: State, **changes: Any) -> None:
        self.step = ledger.change(self.step, state, self.clock(), **changes)

    def later(self, seconds: float) -> datetime:
        return self.clock() + timedelta(seconds=seconds)


def run_step(message: bytes, clock: Clock) -> list[StepMessage]:
    """Take one message of the queue `steps`, return the pointers to the steps that may run now because of it.

    Returns normally when another worker holds the step. Raises storage errors, and msgspec.DecodeError for a message
    that is none: the host retries and then hands it to the poison queue.
    """
    pointer = decode_step_message(message)
    try:
        story = ledger.read(pointer.event_key)
        turn = _Turn(story, story.steps[pointer.step], clock)
        return _take(turn)
    except (UnknownStep, KeyError):
        log.warning("no step %s of event %s in the ledger", pointer.step, pointer.event_key)
    except ClaimLost as error:
        log.info("%s", error)
    return []


def fail_attempt(message: bytes, reason: str, clock: Clock) -> list[StepMessage]:
    """Count an attempt as failed that ended in an error before its step was claimed; return pointers as run_step does.

    A step that is running, waiting or in doubt is left to its lease or next check. Raises UnknownStep.
    """
    pointer = decode_step_message(message)
    story = ledger.read(pointer.event_key)
    if pointer.step not in story.steps:
        raise UnknownStep(f"event {pointer.event_key} has no step {pointer.step}")
    turn = _Turn(story, story.steps[pointer.step], clock)
    if turn.step.state not in (State.READY, State.RETRY):
        return []
    try:
        return _retry(turn, TransientFailure(reason))
    except ClaimLost:
        return []


def _take(turn: _Turn) -> list[StepMessage]:
    state = turn.step.state
    if state in ENDED:
        return _pointers_not_followed(turn.story)
    if state is not State.READY and turn.step.due > turn.clock():
        return _point_later(turn)
    if state in (State.READY, State.RETRY):
        return _begin(turn)
    if state is State.WAITING:
        return _check(turn)
    if state is State.RUNNING:
        reason = "the worker that ran it did not come back"
        turn.move(State.IN_DOUBT, fence=turn.step.fence + 1, due=turn.clock(), misses=0, reason=reason)
    return _clear_doubt(turn)


def _begin(turn: _Turn) -> list[StepMessage]:
    try:
        _prepare(turn)
    except PermanentFailure as failure:
        return _end(turn, State.DEAD, failure)
    except Failure as failure:
        return _retry(turn, failure)
    return _act(turn)


def _prepare(turn: _Turn) -> None:
    """Render the options and fetch the credentials: all that can fail without any doubt about the effect."""
    step = turn.step
    try:
        turn.module = target_module(step.target)
        turn.options = render(turn.story, step, turn.module)
        turn.connection = turn.module.connect(turn.options, vault.secret)
    except KeyError:
        raise PermanentFailure(f"this app knows no target {step.target!r} any more") from None
    except (SecretUnusable, SettingError, msgspec.ValidationError) as error:
        raise PermanentFailure(str(error)) from None
    except VaultUnavailable as error:
        raise TransientFailure(str(error)) from None


def _act(turn: _Turn) -> list[StepMessage]:
    step, now = turn.step, turn.clock()
    turn.move(
        State.RUNNING,
        fence=step.fence + 1,
        attempts=step.attempts + 1,
        claimed=step.claimed or now,
        due=turn.later(settings().step_lease_seconds),
        misses=0,
    )
    try:
        return _note(turn, turn.module.start(_attempt(turn)))
    except ClaimLost:
        raise
    except PermanentFailure as failure:
        return _end(turn, State.DEAD, failure)
    except TransientFailure as failure:
        return _retry(turn, failure)
    except AmbiguousFailure as failure:
        return _doubt(turn, failure.reason)
    except Exception as error:  # a fault of ours, or of an SDK: what it did at the target nobody knows
        log.exception("step %s of event %s failed unforeseen", step.id, step.event_id)
        return _doubt(turn, f"unforeseen {type(error).__name__}: {error}")


def _attempt(turn: _Turn) -> Attempt:
    def save(progress: dict[str, Any]) -> None:
        turn.move(turn.step.state, progress={**turn.step.progress, **progress})

    step = turn.step
    return Attempt(
        options=turn.options,
        connection=turn.connection,
        key=step.key,
        marker=ledger.marker(step),
        progress=dict(step.progress),
        started=step.claimed or step.created,
        save=save,
    )


def _note(turn: _Turn, answer: Answer) -> list[StepMessage]:
    if isinstance(answer, Succeeded):
        return _succeed(turn, answer)
    progress = {**turn.step.progress, **answer.progress}
    link = answer.link or turn.step.link
    due = turn.later(_check_delay(turn))
    turn.move(State.WAITING, progress=progress, due=due, outcome=answer.outcome, link=link)
    return _point_later(turn)


def _check_delay(turn: _Turn) -> float:
    """A quarter of the time it has taken so far: short operations are noticed soon, long ones cost few calls."""
    age = (turn.clock() - (turn.step.claimed or turn.step.created)).total_seconds()
    return min(max(age / 4, 1.0), MAX_CHECK_SECONDS)


def _check(turn: _Turn) -> list[StepMessage]:
    try:
        _prepare(turn)
        return _note(turn, turn.module.check(_attempt(turn)))
    except PermanentFailure as failure:
        return _end(turn, State.DEAD, failure)
    except Failure as failure:  # asking changes nothing at the target, so an unclear answer is as good as none
        turn.move(
            State.WAITING,
            due=turn.later(_check_delay(turn)),
            outcome=turn.step.outcome,
            reason=failure.reason,
        )
        return _point_later(turn)


def _doubt(turn: _Turn, reason: str) -> list[StepMessage]:
    turn.move(State.IN_DOUBT, due=turn.clock(), misses=0, reason=reason)
    return _clear_doubt(turn)


def _clear_doubt(turn: _Turn) -> list[StepMessage]:
    reason = turn.step.reason
    try:
        _prepare(turn)
        if not hasattr(turn.module, "probe"):
            return _without_probe(turn, reason)
        answer = turn.module.probe(_attempt(turn))
    except Failure as failure:
        return _still_in_doubt(turn, failure)
    if answer is not None:
        return _note(turn, answer)
    if turn.step.misses + 1 < MISSES:
        due = turn.later(settings().settle_seconds)
        turn.move(State.IN_DOUBT, misses=turn.step.misses + 1, due=due, reason=reason)
        return _point_later(turn)
    if _is_exhausted(turn.step):
        return _end(turn, State.DEAD, PermanentFailure(_gave_up(turn.step, reason)))
    return _act(turn)


def _without_probe(turn: _Turn, reason: str) -> list[StepMessage]:
    if getattr(turn.options, "at_most_once", False):
        return _end(
            turn,
            State.PARKED,
            PermanentFailure(f"it may have happened, and {turn.step.target} can't be asked: {reason}"),
        )
    return _retry(turn, AmbiguousFailure(reason))


def _still_in_doubt(turn: _Turn, failure: Failure) -> list[StepMessage]:
    age = (turn.clock() - (turn.step.claimed or turn.step.created)).total_seconds()
    if age > DOUBT_HOURS * 3600:
        return _end(
            turn,
            State.PARKED,
            PermanentFailure(f"it may have happened, and could not be asked: {failure.reason}"),
        )
    due = turn.later(min(max(age / 2, 5.0), 3600.0))
    turn.move(State.IN_DOUBT, due=due, reason=f"could not ask whether it happened: {failure.reason}")
    return _point_later(turn)


def _retry(turn: _Turn, failure: Failure) -> list[StepMessage]:
    step = turn.step
    # before the claim nothing was attempted, but it has to be counted all the same, or it would go on for ever
    attempts = step.attempts if step.state in (State.RUNNING, State.IN_DOUBT) else step.attempts + 1
    if _is_exhausted(step, attempts):
        return _end(turn, State.DEAD, PermanentFailure(_gave_up(step, failure.reason, attempts), failure.link))
    delay = settings().retry_delays[attempts - 1] * random.uniform(0.8, 1.2)  # noqa: S311  # jitter, not a secret
    due = turn.later(max(delay, getattr(failure, "retry_after", 0.0)))
    turn.move(State.RETRY, attempts=attempts, due=due, reason=failure.reason, link=failure.link)
    return _point_later(turn)


def _is_exhausted(step: Step, attempts: int | None = None) -> bool:
    return (step.attempts if attempts is None else attempts) > len(settings().retry_delays)


def _gave_up(step: Step, reason: str, attempts: int | None = None) -> str:
    return f"gave up after {step.attempts if attempts is None else attempts} attempts: {reason}"


def _succeed(turn: _Turn, answer: Succeeded) -> list[StepMessage]:
    following = [] if turn.step.on_failure_of else _next(turn)
    turn.move(State.SUCCEEDED, then=following, outcome=answer.outcome, ref=answer.ref, link=answer.link)
    return _ended(turn, following)


def _next(turn: _Turn) -> list[Step]:
    route = turn.story.routes[turn.step.route]
    ids = [plan.id for plan in route.steps]
    rest = route.steps[ids.index(turn.step.name) + 1 :]
    steps = [new_step(turn.step.event_id, route, plan, turn.clock()) for plan in rest[:1]]
    return [step for step in steps if step.id not in turn.story.steps]


def _end(turn: _Turn, state: State, failure: Failure) -> list[StepMessage]:
    step, route = turn.step, turn.story.routes[turn.step.route]
    following: list[Step] = []
    if not step.on_failure_of:
        told = [new_step(step.event_id, route, plan, turn.clock(), step.id) for plan in route.on_failure]
        following = [new for new in told if new.id not in turn.story.steps]
    log.error("step %s of event %s is %s: %s", step.id, step.event_id, state, failure.reason)
    link = failure.link or step.link
    turn.move(state, then=following, reason=failure.reason, link=link)
    return _ended(turn, following)


def _ended(turn: _Turn, following: list[Step]) -> list[StepMessage]:
    others = [step for step in turn.story.steps.values() if step.id != turn.step.id]
    if not following and all(step.state in ENDED for step in others):
        ledger.close(turn.step.event_id)
    return [StepMessage(event_key=step.event_id, step=step.id) for step in following]


def _pointers_not_followed(story: Story) -> list[StepMessage]:
    """A message came twice: the pointers that its first turn returned may have been lost with its worker."""
    ready = [step for step in story.steps.values() if step.state is State.READY]
    return [StepMessage(event_key=step.event_id, step=step.id) for step in ready]


def _point_later(turn: _Turn) -> list[StepMessage]:
    delay = max((turn.step.due - turn.clock()).total_seconds(), 0.0)
    pointer = StepMessage(event_key=turn.step.event_id, step=turn.step.id)
    storage.send(STEPS_QUEUE, encode(pointer), delay)
    return []
