"""The values that placeholders stand for, and the options of a step with all of them filled in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import msgspec

from shared import approvals
from shared.messages import EVENT_FIELDS, Event
from shared.routes import STATUS, StepPlan, next_approval, status_plan
from shared.shapes import converted
from shared.steps import ENDED, State, Step
from shared.stories import Story
from shared.templates import fill_all

MAX_REASON = 200  # of what goes into a tag


class _Values(defaultdict[str, str]):
    """A tag that the event does not bear is empty, as any other field is that its type does not have."""

    def __missing__(self, key: str) -> str:
        if key.startswith("tags."):
            return ""
        raise KeyError(key)


def render(story: Story, step: Step, module: Any) -> Any:
    """Return the step's options with placeholders filled, as the Options of its target.

    Each value is made safe as the target's TEMPLATED says for the field it goes into. Raises PermanentFailure if one
    can't be, msgspec.ValidationError if the options don't fit the target of this version of the app any more.
    """
    values = _Values(str, _values(story, step))
    options = {**_defaults(module), **plan_of(story, step).options}
    filled = {name: _filled(name, value, values, module) for name, value in options.items()}
    return converted(filled, module.Options)


def _defaults(module: Any) -> dict[str, str]:
    """A default may hold placeholders as well as what the file says."""
    fields = msgspec.structs.fields(module.Options)
    return {
        field.name: field.default
        for field in fields
        if field.name in module.TEMPLATED and isinstance(field.default, str)
    }


def _filled(name: str, value: Any, values: _Values, module: Any) -> Any:
    safe: Callable[[str], str] | None = module.TEMPLATED.get(name)
    return value if safe is None else fill_all(value, values, safe)


def plan_of(story: Story, step: Step) -> StepPlan:
    """Return the step as the routes file had it when its event was routed."""
    route = story.routes[step.route]
    if step.name == STATUS:
        return status_plan(route)
    plans = route.on_failure if step.tells_of else route.steps
    return next(plan for plan in plans if plan.id == step.name)


def _values(story: Story, step: Step) -> dict[str, str]:
    values = {**_of_event(story.event), "route": step.route}
    if step.name == STATUS:
        values["status"] = _status(story, step)
    if question := next_approval(story.routes[step.route], step.name):
        values["approval.link"] = approvals.link(story.event.id, f"{step.route}.{question}")
    for other in story.steps.values():
        if other.route == step.route and not other.tells_of:
            values[f"steps.{other.name}.link"] = other.link
            values[f"steps.{other.name}.ref"] = other.ref
            values[f"steps.{other.name}.outcome"] = other.outcome
    failed = story.steps.get(step.tells_of)
    if failed is not None:
        values |= {"failed.step": failed.name, "failed.reason": failed.reason, "failed.link": failed.link}
    return values


def _status(story: Story, step: Step) -> str:
    """How the route stands now, whatever it was that this write of it tells of."""
    steps = [other for other in story.steps.values() if other.route == step.route and not other.tells_of]
    latest = max(steps, key=lambda other: [plan.id for plan in story.routes[step.route].steps].index(other.name))
    link = next(
        (other.link for other in sorted(steps, key=lambda other: other.created, reverse=True) if other.link), ""
    )
    is_last = latest.name == story.routes[step.route].steps[-1].id
    if latest.state not in ENDED or (latest.state is State.SUCCEEDED and not is_last):
        return f"running {link}".strip()
    reason = "" if latest.state is State.SUCCEEDED else latest.reason[:MAX_REASON]
    return " ".join(filter(None, (f"{latest.state}{':' if reason else ''}", reason, link)))


def _of_event(event: Event) -> dict[str, str]:
    values = {name: str(getattr(event, name)) for name in EVENT_FIELDS}
    return values | {f"tags.{key}": value for key, value in event.tags.items()}
