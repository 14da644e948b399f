"""Gates: what has to hold in the registry just before a step acts. Whoever can't be asked lets nothing pass."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING

from handlers.current_registries import registry_of
from handlers.targets import rules_of_targets
from handlers.turn import Turn
from shared import registries
from shared.errors import (
    PermanentFailure,
    RoutesError,
    RoutesUnavailable,
    SecretUnusable,
    Superseded,
    TransientFailure,
    VaultUnavailable,
)
from shared.routes import Require, any_of, matches
from shared.routes_registries import METRIC
from shared.steps import ENDED

if TYPE_CHECKING:
    from shared.registries import Registry, Version

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
}


def check_gates(turn: Turn) -> None:
    """Let the step pass, or raise why not.

    Superseded if the registry has moved on; PermanentFailure if a requirement does not hold; TransientFailure if the
    registry can't be asked now, or another write of the route's status is under way.
    """
    if turn.step.tells_of:
        _wait_for_elders(turn)
        return
    require = turn.story.routes[turn.step.route].require
    if require is None:
        return
    event = turn.story.event
    try:
        registry = registry_of(event.source)
    except (VaultUnavailable, RoutesError, RoutesUnavailable) as error:
        raise TransientFailure(str(error)) from None
    except SecretUnusable as error:
        raise PermanentFailure(str(error)) from None
    version = registries.read_version(registry, event.model, event.version)
    if version is None:
        raise Superseded(f"{event.model} {event.version} is not in the registry any more")
    if require.still and not _has_acted_on_it(turn):
        _check_still(turn, registry, version)
    for reason in filter(None, (_unmet(require, version), _unmet_alias(require, registry, version))):
        raise PermanentFailure(f"the route requires more: {reason}")
    _check_metrics(require, registry, version)
    _check_requester(turn, require, registry, version)


def _wait_for_elders(turn: Turn) -> None:
    """Two writes of one route's status at once could leave the older one standing."""
    step = turn.step
    for other in turn.story.steps.values():
        is_elder = other.target == step.target and other.name == step.name and other.route == step.route
        if is_elder and other.id != step.id and other.created < step.created and other.state not in ENDED:
            raise TransientFailure("an earlier write of the same is under way", retry_after=1.0)


def _has_acted_on_it(turn: Turn) -> bool:
    """Whether the route itself has already moved what its event told of."""
    rules, done = rules_of_targets(), {step.name for step in turn.story.steps.values() if step.route == turn.step.route}
    plans = turn.story.routes[turn.step.route].steps
    before = plans[: [plan.id for plan in plans].index(turn.step.name)]
    return any(rules[plan.target].caused_by(plan.options) for plan in before if plan.id in done)


def _check_still(turn: Turn, registry: Registry, version: Version) -> None:
    event = turn.story.event
    if event.type == "model_version.stage_changed" and version.stage != event.to_stage:
        raise Superseded(f"{event.model} {event.version} is in stage {version.stage!r} now, not {event.to_stage!r}")
    if event.type == "model_version_alias.created":
        bearer = registries.read_alias(registry, event.model, event.alias)
        if bearer != event.version:
            raise Superseded(f"alias {event.alias!r} of {event.model} is at version {bearer or 'none'} now")
    if event.type == "model_version_tag.set":
        for key, value in event.tags.items():
            if version.tags.get(key) != value:
                raise Superseded(f"tag {key!r} of {event.model} {event.version} is {version.tags.get(key)!r} now")


def _unmet(require: Require, version: Version) -> str:
    if require.stage is not None and not matches(require.stage, version.stage):
        return f"stage is {version.stage!r}, not {any_of(require.stage)}"
    for key, wanted in require.tags.items():
        if key not in version.tags:
            return f"tag {key!r} is missing"
        if not matches(wanted, version.tags[key]):
            return f"tag {key!r} is {version.tags[key]!r}, not {any_of(wanted)}"
    return ""


def _unmet_alias(require: Require, registry: Registry, version: Version) -> str:
    if require.alias is None:
        return ""
    if any(matches(require.alias, alias) for alias in version.aliases):
        return ""
    return f"aliases are {', '.join(version.aliases) or 'none'}, not {any_of(require.alias)}"


def _check_metrics(require: Require, registry: Registry, version: Version) -> None:
    if not require.metrics:
        return
    if not version.run_id:
        raise PermanentFailure("the route requires more: metrics, and the version names no run")
    found = registries.metrics(registry, version.run_id)
    for name, condition in require.metrics.items():
        match = METRIC.fullmatch(condition)
        if match is None or name not in found:
            raise PermanentFailure(f"the route requires more: metric {name!r} {condition}, and its run has none")
        if not COMPARISONS[match[1]](found[name], float(match[2])):
            raise PermanentFailure(f"the route requires more: metric {name!r} is {found[name]:g}, not {condition}")


def _check_requester(turn: Turn, require: Require, registry: Registry, version: Version) -> None:
    if require.requester is None:
        return
    stage = turn.story.event.to_stage
    open_now = registries.open_requests(registry, version.model, version.version) if stage else []
    users = [request.user for request in open_now if request.to_stage == stage] or [version.user]
    if not any(user and matches(require.requester, user) for user in users):
        names = ", ".join(filter(None, users)) or "unknown"
        raise PermanentFailure(f"the route requires more: requester is {names}, not {any_of(require.requester)}")
