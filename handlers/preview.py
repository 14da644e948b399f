"""The preview: what an event would start, gates and requests included, made by the code that acts; nothing is sent.

What only earlier steps, the ledger or the registry can tell stays a placeholder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from handlers.current_registries import registry_in
from handlers.targets import target_module
from handlers.values import render
from shared.attempts import Access, Attempt
from shared.errors import PermanentFailure
from shared.messages import Event
from shared.routes import STATUS_TAG, Route, Routes, StepPlan, mismatch
from shared.steps import Step, new_step
from shared.stories import Story

MARKER = "{marker of this step, 32 digits}"
"""As long as a marker, which is made with a key that stands in the ledger alone: texts are cut to a length."""
_LATER = re.compile(r"\{\{|\}\}|\{(?:steps\.|failed\.|approval\.)[^{}]*\}")


def preview_of(routes: Routes, event: Event) -> list[dict[str, Any]]:
    """Return one entry for each route, in the file's order.

    Each tells `route`, whether it `matches`, and `because` (why not); of one that matches, its gates (`require`) and
    `steps` and `on_failure` with what each would send first (`request`, `body`, …), or `refused`: why it would not.
    """
    return [_entry(routes, route, event) for route in routes.routes]


def attempts_of(routes: Routes, event: Event, target: str) -> Iterator[tuple[str, Attempt]]:
    """Yield each step of the target that the event would start, by its id, as its first attempt; it is not connected.

    Raises PermanentFailure for one that would be refused.
    """
    for route in routes.matching(event):
        for plan in route.steps:
            if plan.target == target:
                yield f"{route.name}.{plan.id}", _attempt(routes, route, plan, event, on_failure=False)


def _entry(routes: Routes, route: Route, event: Event) -> dict[str, Any]:
    because = mismatch(route.when, event)
    entry: dict[str, Any] = {"route": route.name, "matches": not because}
    if because:
        return {**entry, "because": because}
    if route.require is not None:
        given = msgspec.to_builtins(route.require)
        entry["require"] = {key: value for key, value in given.items() if value not in (None, {}, False)}
    if route.write_status:
        entry["status_tag"] = f"{STATUS_TAG}{route.name}"
    entry["steps"] = [_told(routes, route, plan, event, on_failure=False) for plan in route.steps]
    entry["on_failure"] = [_told(routes, route, plan, event, on_failure=True) for plan in route.on_failure]
    return entry


def _told(routes: Routes, route: Route, plan: StepPlan, event: Event, *, on_failure: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"step": plan.id, "target": plan.target}
    module = target_module(plan.target)
    try:
        attempt = _attempt(routes, route, plan, event, on_failure=on_failure)
        if not hasattr(module, "preview"):
            return {**told, "options": msgspec.to_builtins(attempt.options)}
        found = module.preview(attempt)
    except (PermanentFailure, msgspec.ValidationError) as error:
        return {**told, "refused": str(error)}
    return {**told, "requests": found if isinstance(found, list) else [found]}


def _attempt(routes: Routes, route: Route, plan: StepPlan, event: Event, *, on_failure: bool) -> Attempt:
    """Return the first attempt of a step, its options rendered by the code that renders them for a real one."""
    now, known = datetime.now(UTC), _known(plan)
    alone = msgspec.structs.replace(route, steps=() if on_failure else (known,), on_failure=(known,))
    step = new_step(event.id, route, known, now, _failed(route, event, now) if on_failure else None)
    options = render(Story(event=event, routes={route.name: alone}, steps={}), step, target_module(plan.target))
    return Attempt(
        options=options,
        connection=_connection(routes, plan.target, options, event),
        key=step.key,
        marker=MARKER,
        progress={},
        started=now,
        step=f"{event.id}/{step.id}",
        save=lambda _: None,
    )


def _connection(routes: Routes, target: str, options: Any, event: Event) -> Any:
    """Return the registry of a target that acts on one, its credentials as names. The others need none to be told."""
    if not hasattr(options, "registry"):
        return None

    access = Access(_named, lambda name: registry_in(routes, name or event.source, _named))
    return target_module(target).connect(options, access)


def _named(secret: str) -> str:
    return f"{{secret {secret}}}" if secret else ""


def _failed(route: Route, event: Event, now: datetime) -> Step:
    return new_step(event.id, route, route.steps[0], now)


def _known(plan: StepPlan) -> StepPlan:
    """Return the step with each placeholder that nobody can fill yet as a text that stands for itself."""
    fields = {
        name: _kept(value) if name in target_module(plan.target).TEMPLATED else value
        for name, value in plan.options.items()
    }
    return msgspec.structs.replace(plan, options=fields)


def _kept(value: Any) -> Any:
    if isinstance(value, str):
        return _LATER.sub(lambda match: match[0] if match[0] in ("{{", "}}") else f"{{{match[0]}}}", value)
    if isinstance(value, list):
        return [_kept(item) for item in value]
    if isinstance(value, dict):
        return {key: _kept(item) for key, item in value.items()}
    return value
