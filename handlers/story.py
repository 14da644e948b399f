"""What operators are told of events, as plain data for JSON."""

from __future__ import annotations

from typing import Any

import msgspec

from shared.steps import State, Step
from shared.stories import Story

_ORDER = (
    State.DEAD,
    State.PARKED,
    State.IN_DOUBT,
    State.RETRY,
    State.WAITING,
    State.RUNNING,
    State.READY,
    State.SUPERSEDED,
)


def summary_of(story: Story) -> dict[str, Any]:
    """Return one line's worth: what happened, which routes it started, and the state that wants attention most."""
    event = story.event
    return {
        "event": event.id,
        "received": event.received,
        "source": event.source,
        "type": event.type,
        "model": event.model,
        "version": event.version,
        "routes": sorted(story.routes),
        "state": state_of(story),
    }


def state_of(story: Story) -> str:
    """Return the event's state: that of the step that wants attention most, `unrouted` if there is none."""
    states = {step.state for step in story.steps.values()}
    if not states:
        return "unrouted"
    return next((state.value for state in _ORDER if state in states), State.SUCCEEDED.value)


def story_of(story: Story) -> dict[str, Any]:
    """Return all that the ledger knows: the summary, the event with its payload, each step with its history."""
    steps = sorted(story.steps.values(), key=lambda step: (step.created, step.id))
    event = msgspec.to_builtins(story.event)
    told: dict[str, Any] = {**summary_of(story), "details": event, "steps": [_step(step) for step in steps]}
    if story.cause:
        told["cause"] = msgspec.to_builtins(story.cause)
    if story.skipped:
        told["skipped"] = story.skipped
    return told


def _step(step: Step) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(step)
    for name in ("event_id", "etag", "progress"):
        told.pop(name)
    return {key: value for key, value in told.items() if value not in (None, "")} | {"step": told["id"]}
