"""The plan: what an event would start and what not, and why, without doing anything."""

from __future__ import annotations

from typing import Any

import msgspec

from shared.messages import Event
from shared.routes import Route, Routes, matches, mismatch


def plan_of(routes: Routes, event: Event, test: bool = False) -> list[dict[str, Any]]:
    """Return one entry for each route that listens to the event's source, in the file's order.

    Each tells `route`, whether it `matches`, `because` (why not) and its `steps` with their options as the file has
    them. A test call names no real model, so for a `test` the entry tells whether an event of this type from this
    source could start the route, and `if` the conditions that a real one has to meet.
    """
    return [_entry(route, event, test) for route in routes.routes if matches(route.when.source, event.source)]


def _entry(route: Route, event: Event, test: bool) -> dict[str, Any]:
    when = route.when
    if test:  # all but source and type are left to the real event
        when = msgspec.structs.replace(when, model="*", from_stage=None, to_stage=None, alias=None, tags={})
    because = mismatch(when, event)
    entry: dict[str, Any] = {"route": route.name, "matches": not because}
    if because:
        return {**entry, "because": because}
    if test:
        entry["if"] = _conditions(route)
    entry["steps"] = [{"step": step.id, "target": step.target, "options": step.options} for step in route.steps]
    return entry


def _conditions(route: Route) -> dict[str, Any]:
    given = msgspec.to_builtins(route.when)
    return {
        key: value
        for key, value in given.items()
        if key not in ("source", "event") and value not in (None, {}) and (key, value) != ("model", "*")
    }
