"""The values that placeholders stand for, and the options of a step with all of them filled in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import msgspec

from shared.ledger import Story
from shared.messages import EVENT_FIELDS, Event
from shared.routes import StepPlan
from shared.steps import Step
from shared.templates import fill_all


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
    options = {**_defaults(module), **_plan(story, step).options}
    filled = {name: _filled(name, value, values, module) for name, value in options.items()}
    return msgspec.convert(filled, type=module.Options)


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


def _plan(story: Story, step: Step) -> StepPlan:
    route = story.routes[step.route]
    plans = route.on_failure if step.on_failure_of else route.steps
    return next(plan for plan in plans if plan.id == step.name)


def _values(story: Story, step: Step) -> dict[str, str]:
    values = {**_of_event(story.event), "route": step.route}
    for other in story.steps.values():
        if other.route == step.route and not other.on_failure_of:
            values[f"steps.{other.name}.link"] = other.link
            values[f"steps.{other.name}.ref"] = other.ref
            values[f"steps.{other.name}.outcome"] = other.outcome
    failed = story.steps.get(step.on_failure_of)
    if failed is not None:
        values |= {"failed.step": failed.name, "failed.reason": failed.reason, "failed.link": failed.link}
    return values


def _of_event(event: Event) -> dict[str, str]:
    values = {name: str(getattr(event, name)) for name in EVENT_FIELDS}
    return values | {f"tags.{key}": value for key, value in event.tags.items()}
