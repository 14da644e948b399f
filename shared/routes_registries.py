"""What a routes file may not say of registries: gates and steps without a registry to ask, and loops."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

from shared.loops import cycle, may_start
from shared.routes import STATUS_TAG, Route, Source, StepPlan, matches
from shared.routes_lines import Path
from shared.routes_rules import Problems, Rules, one_of

METRIC = re.compile(r"(>=|<=|>|<|==) *(-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)")


def check_registries(
    routes: Mapping[int, Route], sources: Mapping[str, Source], rules: Rules, problems: Problems
) -> None:
    """Note a problem where a route asks or acts on a registry whose address the file does not give."""
    for index, route in routes.items():
        path: Path = ("routes", index)
        silent = [name for name, source in sources.items() if matches(route.when.source, name) and not source.address]
        for key in ("require", "write_status"):
            if getattr(route, key) and silent:
                problems.add((*path, key), _without_address(silent))
        for name, condition in (route.require.metrics if route.require else {}).items():
            if not METRIC.fullmatch(condition):
                problems.add((*path, "require", "metrics", name), f"{condition!r} is no condition such as `>= 0.9`")
        for place, step in _steps(path, route):
            _check_step(place, step, silent, sources, rules, problems)


def check_loops(routes: Mapping[int, Route], sources: Mapping[str, Source], rules: Rules, problems: Problems) -> None:
    """Note a problem at each step that causes the event that starts its own route, or one that leads back to it."""
    edges = {route.name: list(_started(route, routes, sources, rules)) for route in routes.values()}
    bounded = {route.name for route in routes.values() if route.rounds}
    told: set[frozenset[str]] = set()
    for index, route in routes.items():
        loop = cycle({name: [to for to in edges[name] if to not in bounded] for name in edges}, route.name)
        if loop and route.name not in bounded and frozenset(loop) not in told:
            told.add(frozenset(loop))
            way = " -> ".join((*loop, route.name))
            problems.add(
                ("routes", index, "steps"),
                f"a loop: {way}: a step causes the event that starts it again. Narrow a `when`, or allow it so many "
                "times with `rounds: N` beside `name`",
            )


def _started(cause: Route, routes: Mapping[int, Route], sources: Mapping[str, Source], rules: Rules) -> Iterator[str]:
    caused = [each for _, step in _steps((), cause) for each in rules.targets[step.target].caused_by(step.options)]
    for route in routes.values():
        if any(may_start(each, cause, route, sources) for each in caused):
            yield route.name


def _steps(path: Path, route: Route) -> Iterator[tuple[Path, StepPlan]]:
    for key in ("steps", "on_failure"):
        for index, step in enumerate(getattr(route, key)):
            yield (*path, key, index, step.target), step


def _check_step(
    path: Path, step: StepPlan, silent: list[str], sources: Mapping[str, Source], rules: Rules, problems: Problems
) -> None:
    for key in _tags_of(step):
        if key.startswith(STATUS_TAG):
            problems.add((*path, "tags", key), f"tags that begin with `{STATUS_TAG}` are the relay's own")
    rule = rules.targets[step.target]
    fields = [field.name for field in msgspec.structs.fields(rule.options)] if rule.caused_by(step.options) else []
    for field in ("registry", "to"):
        if field not in fields:
            continue
        name = step.options.get(field, "")
        if name and name not in sources:
            problems.add((*path, field), f"no source is called {name!r}: sources are {one_of(sources)}")
        elif name and not sources[name].address:
            problems.add((*path, field), _without_address([name]))
        elif not name and field == "registry" and silent:
            problems.add(path, _without_address(silent))


def _tags_of(step: StepPlan) -> list[str]:
    tags, deleted = step.options.get("tags", {}), step.options.get("delete", [])
    return [key for key in (*tags, *deleted) if step.target == "registry_tag"]


def _without_address(names: list[str]) -> str:
    return f"needs a registry to ask, and {one_of(names)} has no `workspace` or `tracking_uri`: add it to the source"
