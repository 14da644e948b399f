"""Decide what an event starts: the routes that match, less those that would run in a loop or may not run now."""

from __future__ import annotations

import logging
from datetime import datetime

from handlers.switches import why_stopped
from shared import brakes
from shared.loops import echo_key, is_status
from shared.messages import Event
from shared.routes import BUDGET_HOURS, Route, Routes
from shared.stories import Cause, Decision
from shared.telemetry import dimensions_of, tell


def decide(routes: Routes, matching: list[Route], event: Event, now: datetime) -> Decision:
    """Return which of the `matching` routes the event starts, which of them are parked at once, which are skipped, and
    why.

    Counts the routes against the model version's budget. Asked again for the same event, the answer is the same, but
    for what operators have changed meanwhile.
    """
    if not matching:
        return Decision(())
    if is_status(event):
        return Decision((), skipped={route.name: "the relay's own status, written back" for route in matching})
    cause = _cause(routes, event, now)
    skipped = _loops(matching, cause)
    starting = tuple(route for route in matching if route.name not in skipped)
    return Decision(starting, _parked(routes, starting, event, now), skipped, cause)


def _cause(routes: Routes, event: Event, now: datetime) -> Cause | None:
    source = routes.sources.get(event.source)
    if source is None or not source.address or not routes.acts_on_registries:
        return None
    return brakes.take_echo(echo_key(source.address, event), event.id, now)


def _loops(matching: list[Route], cause: Cause | None) -> dict[str, str]:
    if cause is None:
        return {}
    return {
        route.name: f"its own doing: {' -> '.join(cause.chain)} has caused this event (event {cause.event_id})"
        for route in matching
        if cause.chain.count(route.name) > route.rounds
    }


def _parked(routes: Routes, starting: tuple[Route, ...], event: Event, now: datetime) -> dict[str, str]:
    if not starting:
        return {}
    spent = brakes.spend(event, len(starting), now)
    if spent > routes.budget:
        reason = f"{event.model} {event.version} has started {spent} routes in {BUDGET_HOURS} h: more than the budget"
        named = ", ".join(route.name for route in starting)
        line = f"event {event.id} is parked: {reason} of {routes.budget}"
        tell("budget", line, dimensions_of(event), level=logging.ERROR, route=named, reason=reason)
        return {route.name: f"{reason} of {routes.budget}" for route in starting}
    stopped = {route.name: why_stopped(route.name) for route in starting}
    return {name: reason for name, reason in stopped.items() if reason}
