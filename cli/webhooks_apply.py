"""Does what a plan says: create asleep, test, activate. What can be left half done is asleep, and is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cli.webhooks_plan import Change, Found
from cli.webhooks_registries import ACTIVE, Credentials, Tested, Webhooks
from cli.webhooks_wanted import Wanted
from shared.errors import Failure
from shared.redaction import redacted

AGAIN_SECONDS = 5.0
NOT_YET = (0, 401, 429, 503)  # the app may not have read a new secret yet, or is just starting


@dataclass(frozen=True)
class Done:
    """What came of one change, as a sentence; `tested` by event, where the app was asked."""

    change: Change
    is_done: bool
    outcome: str
    tested: tuple[tuple[str, Tested], ...] = ()


def apply(door: Webhooks, change: Change, credentials: Credentials | None, patience: float) -> Done:
    """Do one change. `patience` is for how many seconds a test is tried again that fails for what may pass."""
    try:
        if change.action == "create" and change.wanted and credentials:
            found = door.create(change.wanted, credentials)
            return _awake(door, change, found.id, patience)
        if change.action == "update" and change.wanted and change.found:
            return _update(door, change, change.found, change.wanted, credentials, patience)
        if change.action == "delete" and change.found:
            door.delete(change.found.id)
            return Done(change, True, "deleted")
    except Failure as failure:
        return Done(change, False, failure.reason)
    return Done(change, True, "as it should be")


def tests_of(door: Webhooks, id: str, events: tuple[str, ...], patience: float) -> tuple[tuple[str, Tested], ...]:
    """Let the registry send a test call for each event, until one is not accepted; return what the app answered."""
    tested = []
    for event in events:
        tested.append((event, _patient(lambda event=event: _tested(door, id, event), patience)))  # type: ignore[misc]
        if not tested[-1][1].is_accepted:
            break
    return tuple(tested)


def told(tested: tuple[tuple[str, Tested], ...]) -> str:
    """Say what came of the tests: the answer to the first that failed, empty if none did."""
    return next((_answer(event, each) for event, each in tested if not each.is_accepted), "")


def _update(
    door: Webhooks, change: Change, found: Found, wanted: Wanted, credentials: Credentials | None, patience: float
) -> Done:
    sent = credentials if change.with_secret else None
    if change.interrupts:
        door.update(found.id, wanted, sent, door.asleep)
        return _awake(door, change, found.id, patience)
    # it goes on sending meanwhile: a registry repeats no event that it has not told
    door.update(found.id, wanted, sent)
    tested = tests_of(door, found.id, wanted.events, patience)
    wrong = told(tested)
    return Done(change, not wrong, f"updated, and left {ACTIVE}, but {wrong}" if wrong else "updated, tested", tested)


def _awake(door: Webhooks, change: Change, id: str, patience: float) -> Done:
    events = change.wanted.events if change.wanted else ()
    tested = tests_of(door, id, events, patience)
    if wrong := told(tested):
        return Done(change, False, f"webhook {id} stays in {door.asleep}, where it sends nothing: {wrong}", tested)
    door.activate(id)
    verb = "created" if change.action == "create" else "updated"
    return Done(change, True, f"{verb}, tested, {ACTIVE}", tested)


def _tested(door: Webhooks, id: str, event: str) -> Tested:
    try:
        return door.test(id, event)
    except Failure as failure:
        return Tested(0, failure.reason)


def _patient(ask: Callable[[], Tested], patience: float) -> Tested:
    deadline = time.monotonic() + patience
    tested = ask()
    while not tested.is_accepted and tested.status in NOT_YET and time.monotonic() + AGAIN_SECONDS <= deadline:
        time.sleep(AGAIN_SECONDS)
        tested = ask()
    return tested


def _answer(event: str, tested: Tested) -> str:
    answer = redacted(" ".join(tested.body.split())[:300]) or "nothing"
    if tested.status == 0:
        return f"the test of {event} did not reach the app: {answer}"
    if tested.status == 202:
        return f"the test of {event} was answered 202, but not as the app answers a test: {answer}"
    return f"the test of {event} was answered {tested.status}, not 202: {answer}"


def plan_lines(tested: tuple[tuple[str, Tested], ...]) -> Iterator[str]:
    """Yield the plan of the app's answers: which routes each event may start, and on which conditions."""
    for event, each in tested:
        routes = [entry for entry in each.plan if entry.get("matches")]
        if not routes:
            yield f"{event}: starts no route"
        for entry in routes:
            steps = " -> ".join(str(step.get("target")) for step in entry.get("steps", ()) if isinstance(step, dict))
            conditions = ", ".join(f"{key} {value}" for key, value in (entry.get("if") or {}).items())
            yield f"{event}: {entry.get('route')}: {steps}" + (f"  (if {conditions})" if conditions else "")
