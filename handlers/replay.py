"""What operators do: replay a step that is dead or parked, or say of it that it was done.

A replay keeps the step key, so that whatever the first attempts have done at the target is found and counted, not done
again. With `force` the step gets a new key and is done once more, whatever was done before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import msgspec

from handlers.current_routes import current_routes
from handlers.decide import decide
from handlers.outcomes import note
from handlers.targets import target_module
from handlers.turn import Clock, Turn, point_to
from shared import ledger, open_events, recent
from shared.attempts import LOOKS_AGAIN, Succeeded
from shared.errors import NotNow, UnknownStep
from shared.messages import StepMessage
from shared.settings import settings
from shared.steps import ENDED, State, Step
from shared.stories import Story
from shared.telemetry import tell

MAX_BULK = 1000


def replay_step(event_id: str, step_id: str, force: bool, clock: Clock, by: str = "") -> StepMessage:
    """Make a step ready once more; return the pointer to it. `by` is who wants it, for its history.

    Raises UnknownStep; NotNow for a step that is under way, or has succeeded and is not to be forced; ClaimLost.
    """
    story = ledger.read(event_id)
    return _replay(_found(story, step_id), force, clock, by)


def replay_event(event_id: str, states: frozenset[State], clock: Clock, by: str = "") -> list[StepMessage]:
    """Replay all steps of an event that are in one of the states; return the pointers to them. Raises UnknownStep."""
    steps = [step for step in ledger.read(event_id).steps.values() if step.state in states]
    return [_replay(step, False, clock, by) for step in steps]


def replay_since(since: datetime, states: frozenset[State], clock: Clock, by: str = "") -> Iterator[StepMessage]:
    """Replay all steps in one of the states of the events since then, 1,000 events at most; yield the pointers."""
    for story in _recent(since, clock):
        for step in story.steps.values():
            if step.state in states:
                yield _replay(step, False, clock, by)


def route_again(event_id: str, clock: Clock) -> list[StepMessage]:
    """Start the routes that match the event now and that it has not started; return the pointers to their steps.

    Raises UnknownStep; RoutesError or RoutesUnavailable; ClaimLost.
    """
    story, now = ledger.read(event_id), clock()
    routes = current_routes()
    decision = decide(routes, routes.matching(story.event), story.event, now)
    fresh = tuple(route for route in decision.routes if route.name not in story.routes)
    if not fresh:
        return []
    return [point_to(step) for step in ledger.extend(story, msgspec.structs.replace(decision, routes=fresh), now)]


def route_unrouted_since(since: datetime, clock: Clock) -> Iterator[StepMessage]:
    """Route again those events since then, 1,000 at most, that have started nothing; yield the pointers."""
    for story in _recent(since, clock):
        if not story.steps:
            yield from route_again(story.event.id, clock)


def replay_route(route: str, since: datetime, clock: Clock) -> Iterator[StepMessage]:
    """Replay the steps of a route that were parked since then without having been claimed; yield the pointers."""
    for story in _recent(since - timedelta(days=2), clock):
        for step in story.steps.values():
            held = step.state is State.PARKED and step.route == route and step.reason.startswith(f"route {route} was")
            if held:
                yield _replay(step, False, clock)


def _recent(since: datetime, clock: Clock) -> Iterator[Story]:
    """The stories since then, but for those that are not written yet, or just being forgotten."""
    for event_id in recent.event_ids(since, clock(), MAX_BULK):
        with suppress(UnknownStep):
            yield ledger.read(event_id)


def resolve_step(event_id: str, step_id: str, outcome: str, clock: Clock, by: str = "") -> list[StepMessage]:
    """Note that a dead or parked step was done, as `outcome` tells; return the pointers to what follows.

    Raises UnknownStep; NotNow for a step in another state; ClaimLost.
    """
    story = ledger.read(event_id)
    step = _found(story, step_id)
    if step.state not in (State.DEAD, State.PARKED):
        raise NotNow(f"step {step.id} is {step.state}: only what is dead or parked can be resolved")
    open_events.add_again(event_id, clock())
    answer = Succeeded(outcome=f"resolved by {by or 'hand'}: {outcome}", ref=step.ref, link=step.link)
    pointers = note(Turn(story, step, clock), answer)
    if pointers:
        open_events.add_again(event_id, clock())  # once more, as for a replay
    return pointers


def _found(story: Story, step_id: str) -> Step:
    if step_id not in story.steps:
        raise NotNow(
            f"event {story.event.id} has no step {step_id!r}; it has {', '.join(sorted(story.steps)) or 'none'}"
        )
    return story.steps[step_id]


def look_again(event_id: str, step_id: str, why: str, clock: Clock) -> StepMessage | None:
    """Let a step that has succeeded see that what it has made still stands; return the pointer, None in other states.

    Its target finds LOOKS_AGAIN in its progress. Raises UnknownStep, NotNow, ClaimLost.
    """
    step = _found(ledger.read(event_id), step_id)
    if step.state is not State.SUCCEEDED:
        return None
    return _reopened(step, State.READY, clock, f"looks again: {why}", progress={**step.progress, LOOKS_AGAIN: True})


def _replay(step: Step, force: bool, clock: Clock, by: str = "") -> StepMessage:
    if step.state not in ENDED:
        raise NotNow(f"step {step.id} is {step.state}: it is still under way")
    if step.state in (State.SUCCEEDED, State.SUPERSEDED) and not force:
        raise NotNow(f"step {step.id} is {step.state}: only `force` does it once more")
    if force:
        again: dict[str, Any] = {"replays": step.replays + 1, "progress": {}, "claimed": None, "ref": "", "link": ""}
        return _reopened(step, State.READY, clock, _told("replayed by force", by), **again)
    if step.claimed and _can_be_asked(step):
        # the target is asked first; once is enough if the last attempt is longer ago than it takes to settle
        settled = step.ended is not None and (clock() - step.ended).total_seconds() > settings().settle_seconds
        return _reopened(step, State.IN_DOUBT, clock, _told("replayed", by), misses=int(settled))
    return _reopened(step, State.READY, clock, _told("replayed", by))


def _reopened(step: Step, state: State, clock: Clock, why: str, **changes: Any) -> StepMessage:
    now = clock()
    open_events.add_again(step.event_id, now)
    fresh: dict[str, Any] = {"attempts": 0, "due": now, "ended": None, "reopened": step.reopened + 1}
    ledger.change(step, state, now, **fresh, **changes, reason=why)
    open_events.add_again(step.event_id, now)  # once more: whoever saw the former end may have closed it in between
    line = f"step {step.id} of event {step.event_id} is {why}"
    tell("replay", line, event=step.event_id, route=step.route, step=step.id, target=step.target)
    return point_to(step)


def _told(done: str, by: str) -> str:
    return f"{done}, by {by}" if by else done


def _can_be_asked(step: Step) -> bool:
    try:
        return hasattr(target_module(step.target), "probe")
    except KeyError:
        return False
