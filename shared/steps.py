"""One step's life: its states, the arrows between them, and the row that holds it."""

from __future__ import annotations

import hashlib
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from shared.redaction import redacted
from shared.routes import STATUS, Route, StepPlan, status_plan

HISTORY_LENGTH = 40
MAX_TEXT = 2000


class State(StrEnum):
    """Where a step stands. What each one waits for is its row's `due`."""

    READY = "ready"  # due: now
    RUNNING = "running"  # due: the end of the lease
    WAITING = "waiting"  # a long operation runs at the target; due: the next check
    RETRY = "retry"  # due: not before
    IN_DOUBT = "in_doubt"  # nobody knows whether the target did it; due: the next probe
    SUCCEEDED = "succeeded"
    SUPERSEDED = "superseded"
    PARKED = "parked"  # a person has to say whether it happened, or whether it may
    DEAD = "dead"


ENDED = frozenset({State.SUCCEEDED, State.SUPERSEDED, State.PARKED, State.DEAD})

ARROWS: dict[State, frozenset[State]] = {
    # READY and RETRY reach RETRY and DEAD without a claim when the step fails before it acts (credentials, rendering)
    # and PARKED when an operator has stopped their route
    State.READY: frozenset({State.RUNNING, State.RETRY, State.DEAD, State.SUPERSEDED, State.PARKED}),
    State.RETRY: frozenset({State.RUNNING, State.RETRY, State.DEAD, State.SUPERSEDED, State.PARKED}),
    # RUNNING -> RUNNING notes progress without giving up the claim
    State.RUNNING: frozenset(
        {State.RUNNING, State.SUCCEEDED, State.WAITING, State.RETRY, State.DEAD, State.IN_DOUBT, State.PARKED}
        | {State.SUPERSEDED}  # a newer event has come to the same place
    ),
    State.WAITING: frozenset({State.WAITING, State.SUCCEEDED, State.DEAD, State.SUPERSEDED}),
    # IN_DOUBT -> SUPERSEDED when it was not done, and the registry has moved on meanwhile
    State.IN_DOUBT: frozenset(State) - {State.READY},
    # the arrows of operators: replay (IN_DOUBT where the target can be asked what was done before) and resolve
    State.PARKED: frozenset({State.READY, State.IN_DOUBT, State.SUCCEEDED}),
    State.DEAD: frozenset({State.READY, State.IN_DOUBT, State.SUCCEEDED}),
    # by force; or since an older event's request may have come later
    State.SUCCEEDED: frozenset({State.READY}),
    State.SUPERSEDED: frozenset({State.READY}),
}


class Moment(msgspec.Struct, frozen=True):
    """One line of a step's history: when it came to a state, and why."""

    at: datetime
    state: State
    note: str = ""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table `steps`. Changed only by the ledger, with a conditional write."""

    event_id: str
    id: str
    route: str
    name: str
    target: str
    tells_of: str = ""  # the step whose end it tells of; then nothing follows from its own end
    state: State = State.READY
    due: datetime
    created: datetime
    claimed: datetime | None = None
    ended: datetime | None = None
    fence: int = 0
    attempts: int = 0
    replays: int = 0  # with a new key
    reopened: int = 0  # with or without
    misses: int = 0
    progress: dict[str, Any] = {}
    outcome: str = ""
    reason: str = ""
    ref: str = ""
    link: str = ""
    history: tuple[Moment, ...] = ()
    etag: str = ""

    @property
    def key(self) -> str:
        """The step key K, 64 hex: one effect at the target per key."""
        text = "/".join((self.event_id, self.id, str(self.replays)))
        return hashlib.sha256(text.encode()).hexdigest()


def new_step(event_id: str, route: Route, plan: StepPlan, now: datetime, failed: Step | None = None) -> Step:
    """Return the row of a step whose turn has come; `failed` is the step it tells of, if it stands in `on_failure`."""
    step = Step(
        event_id=event_id,
        id=f"{route.name}.{plan.id}",
        route=route.name,
        name=plan.id,
        target=plan.target,
        due=now,
        created=now,
        history=(Moment(now, State.READY),),
    )
    if failed is None:
        return step
    return msgspec.structs.replace(step, id=f"{route.name}.on_failure.{plan.id}{_again(failed)}", tells_of=failed.id)


def status_step(route: Route, step: Step, now: datetime, *, ended: bool) -> Step:
    """Return the row of the step that writes the route's state to the registry: its `step` begins it, or ended it."""
    name = f"{route.name}.{STATUS}" + (f".{step.name}{_again(step)}" if ended else "")
    return msgspec.structs.replace(new_step(step.event_id, route, status_plan(route), now), id=name, tells_of=step.id)


def _again(step: Step) -> str:
    """A step that ends once more after a replay is told of once more."""
    return f".{step.reopened}" if step.reopened else ""


def held(step: Step, now: datetime, reason: str) -> Step:
    """Return a new step as parked from the start: it may not act until an operator replays it."""
    moment = Moment(now, State.PARKED, reason[:300])
    return msgspec.structs.replace(step, state=State.PARKED, reason=reason[:MAX_TEXT], ended=now, history=(moment,))


def moved(step: Step, now: datetime, state: State, **changes: Any) -> Step:
    """Return the step as it is after an arrow, its history told on. Raises ValueError for an arrow that is none."""
    if state not in ARROWS[step.state]:
        raise ValueError(f"no arrow leads from {step.state} to {state}")
    for name in ("outcome", "reason"):
        kept = getattr(step, name) if state is step.state else ""
        changes[name] = redacted(str(changes.get(name, kept)))[:MAX_TEXT]
    for name in {"ref", "link"} & changes.keys():
        changes[name] = redacted(changes[name])
    if state in ENDED:
        changes["ended"] = now
    history = step.history
    if state is not step.state or changes["reason"] != step.reason:
        note = changes["reason"] or changes["outcome"]
        history = (*step.history, Moment(now, state, note[:300]))[-HISTORY_LENGTH:]
    return msgspec.structs.replace(step, state=state, history=history, **changes)
