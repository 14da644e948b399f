"""The poison queues: what no function could take is kept, visible, with its reason."""

from __future__ import annotations

import hashlib
import logging
from datetime import datetime

import msgspec

from handlers.run import fail_attempt
from handlers.turn import Clock
from shared import ledger
from shared.errors import UnknownStep
from shared.messages import EVENTS_QUEUE, STEPS_QUEUE, StepMessage

log = logging.getLogger("relay.operate")
GAVE_UP = "the host gave up on its message: every run ended in an error; the function's log says which"


def keep_poisoned_event(message: bytes, now: datetime) -> None:
    """Keep a message of `events` that route_event could not take, whole, with its reason, in the table `poison`."""
    key = hashlib.sha256(message).hexdigest()
    log.error("message %s of the queue %s is poison", key, EVENTS_QUEUE)
    ledger.keep_poison(EVENTS_QUEUE, key, message.decode("utf-8", "backslashreplace"), GAVE_UP, now)


def retry_poisoned_step(message: bytes, clock: Clock) -> list[StepMessage]:
    """Count a pointer that run_step could not take as a failed attempt: its step is tried again later, or dies.

    The host gives up after minutes; a storage outage that made run_step fail may last longer.
    """
    try:
        return fail_attempt(message, GAVE_UP, clock)
    except (msgspec.DecodeError, UnknownStep):
        key = hashlib.sha256(message).hexdigest()
        text = message.decode("utf-8", "backslashreplace")
        ledger.keep_poison(STEPS_QUEUE, key, text, GAVE_UP, clock())
        return []
