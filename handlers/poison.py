"""The poison queues: what no function could take is kept, visible, with its reason."""

from __future__ import annotations

import hashlib
import logging
from datetime import datetime

import msgspec

from handlers.route import route_event
from handlers.run import fail_attempt
from handlers.turn import Clock
from shared import poison, storage
from shared.errors import UnknownStep
from shared.messages import EVENTS_QUEUE, STEPS_QUEUE, StepMessage, decode_event_message
from shared.telemetry import tell

log = logging.getLogger("relay.operate")
GAVE_UP = "the host gave up on its message: every run ended in an error; the function's log says which"


def route_poisoned_event(message: bytes, clock: Clock) -> list[StepMessage]:
    """Route an event once more whose message the host gave up on; return pointers as route_event does.

    Workers that died on it for reasons of their own make a message poison just as well as an event that can't be
    routed. What can't be routed here either is kept whole in the table `poison`, with the reason, for a replay.
    """
    try:
        return route_event(message, clock)
    except Exception as error:  # a message that is none, a fault of ours: whatever it is, the message has to be kept
        log.exception("an event can't be routed: it is kept in the table poison")
        _keep(EVENTS_QUEUE, message, f"{type(error).__name__}: {error}", clock())
        return []


def retry_poisoned_step(message: bytes, clock: Clock) -> list[StepMessage]:
    """Count a pointer that run_step could not take as a failed attempt: its step is tried again later, or dies.

    The host gives up after minutes; a storage outage that made run_step fail may last longer.
    """
    try:
        return fail_attempt(message, GAVE_UP, clock)
    except (msgspec.DecodeError, UnknownStep):
        _keep(STEPS_QUEUE, message, GAVE_UP, clock())
        return []


def replay_poison(since: datetime) -> int:
    """Put the kept events since then back on their queue; return how many. What is no event stays where it is."""
    count = 0
    for row in list(poison.kept(EVENTS_QUEUE, since)):
        if not _is_event(row["message"]):
            continue
        storage.send(EVENTS_QUEUE, row["message"])
        poison.drop(row)  # after it was sent: twice is recognised, not at all would be lost
        count += 1
    return count


def _is_event(text: str) -> bool:
    try:
        decode_event_message(text.encode())
    except msgspec.DecodeError:
        return False
    return True


def _keep(queue: str, message: bytes, reason: str, now: datetime) -> None:
    tell("poison", f"a message of queue {queue} is kept: {reason}", level=logging.ERROR, reason=reason)
    key = hashlib.sha256(message).hexdigest()
    poison.keep(queue, key, message.decode("utf-8", "backslashreplace"), reason, now)
