"""Run one step: whose turn it is, and what goes on in the same hand.

A turn has the event's story before it, does what the step's state asks for (handlers/state_machine.py), and writes what
came of it. Whatever is lost on the way (this worker, the message, the reply of the target) leaves a row from which
another turn goes on.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from datetime import timedelta
from functools import cache

from handlers.outcomes import retry
from handlers.state_machine import advance, start
from handlers.turn import Clock, Turn, point_to, tell_of_step
from shared import ledger
from shared.errors import ClaimLost, TransientFailure, UnknownStep
from shared.messages import StepMessage, decode_step_message
from shared.steps import State
from shared.telemetry import span

log = logging.getLogger("relay.run")
IN_HAND = timedelta(seconds=20)  # what becomes ready later gets a message of its own: a function's time is limited


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
    return _go_on(turn, advance)


def act(turn: Turn) -> list[StepMessage]:
    """Let a step act that was recorded as claimed by this turn, and go on as `take` does."""
    tell_of_step(turn.story, turn.step, turn.clock())
    return _go_on(turn, start)


def _go_on(turn: Turn, first: Callable[[Turn], list[StepMessage]]) -> list[StepMessage]:
    begun, do = turn.clock(), first
    try:
        while True:
            with span("run_step", turn.story.trace, turn.dimensions):
                pointers = do(turn)
            do = advance
            following = turn.of_follower()
            if not following or pointers != [point_to(following.step)] or turn.clock() - begun > IN_HAND:
                _spare_loaded()
                return pointers
            turn = following
    except (ClaimLost, UnknownStep) as error:
        log.info("%s", error)
        return []


@cache
def _spare_loaded() -> None:
    """Take what is there when the first step is done out of the garbage collector's sight, once.

    It is 100,000 objects, nearly all of them modules, classes and clients that live as long as the worker. Each time
    that the collector goes through them, the whole process stands still for 60 ms.
    """
    gc.freeze()


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
