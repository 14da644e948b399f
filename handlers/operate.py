"""What operators see: the poison queues' messages, and the app's health."""

from __future__ import annotations

import hashlib
import logging
from datetime import datetime
from typing import Any

import msgspec

from handlers.current_routes import current_routes
from handlers.run import fail_attempt
from handlers.turn import Clock
from shared import ledger, vault
from shared.errors import RelayError, RoutesError, UnknownStep
from shared.messages import EVENTS_QUEUE, STEPS_QUEUE, StepMessage
from shared.settings import settings

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


def health() -> tuple[bool, dict[str, Any]]:
    """Return whether deliveries can be judged and stored, and why not: settings, routes, secrets, ledger."""
    problems = [*_problems_of_settings(), *_problems_of_routes(), *_problems_of_storage()]
    return not problems, {"status": "red" if problems else "green", "problems": problems}


def _problems_of_settings() -> list[str]:
    try:
        settings()
    except RelayError as error:
        return [str(error)]
    return []


def _problems_of_routes() -> list[str]:
    try:
        sources = current_routes().sources
    except RoutesError as error:
        return error.problems
    except RelayError as error:
        return [str(error)]
    problems = []
    for name, source in sources.items():
        for secret in filter(None, (source.secret, source.authorization_secret)):
            try:
                vault.versions(secret)
            except RelayError as error:
                problems.append(f"source {name}: {error}")
    return problems


def _problems_of_storage() -> list[str]:
    try:
        next(iter(ledger.open_events()), None)
    except Exception as error:  # whatever the storage SDK raises: the page has to come up and say so
        return [f"the storage account can't be used: {type(error).__name__}"]
    return []
