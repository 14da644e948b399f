"""What a routes file may not say of registries: gates and steps without a registry to ask, copies, and loops."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

from shared.loops import cycle, may_start
from shared.routes import EVENT_TYPES, STATUS_TAG, Route, Source, StepPlan, matches
from shared.routes_lines import Path
from shared.routes_rules import Problems, Rules, one_of

JOBS = "databricks_jobs"
METRIC = re.compile(r"(>=|<=|>|<|==) *(-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)")


def check_registries(
    routes: Mapping[int, Route], sources: Mapping[str, Source], rules: Rules, problems: Problems
) -> None:
    """Note a problem where a route asks or acts on a registry whose address the file does not give, or on none at all,
    and where a source of jobs has what only a registry has."""
    for name, source in sources.items():
        if source.kind == JOBS and source.authorization_secret:
            reason = "a source of jobs takes none: `secret`, `user:password`, is what the Authorization header bears"
            problems.add(("sources", name, "authorization_secret"), reason)
    for index, route in routes.items():
        path: Path = ("routes", index)
        starting = [name for name in sources if matches(route.when.source, name)]
        silent = [name for name in starting if not sources[name].address]
        _check_asking(path, route, [sources[name] for name in starting], silent, problems)
        for name, condition in (route.require.metrics if route.require else {}).items():
            if not METRIC.fullmatch(condition):
                problems.add((*path, "require", "metrics", name), f"{condition!r} is no condition such as `>= 0.9`")
        for place, step in _steps(path, route):
            _check_step(place, step, silent, sources, rules, problems)
            if step.target == "copy_model":
                _check_copy(place, step, starting, sources, problems)


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


def _check_asking(path: Path, route: Route, starting: list[Source], silent: list[str], problems: Problems) -> None:
    for key in ("require", "write_status"):
        if getattr(route, key) and _only_jobs(route, starting):
            problems.add((*path, key), "only jobs start this route, and a job is no model version: leave it out")
        elif getattr(route, key) and silent:
            problems.add((*path, key), _without_address(silent))


def _only_jobs(route: Route, starting: list[Source]) -> bool:
    """Tell whether nothing else can start the route: no source of another kind, or no event of another type."""
    types = [type for type in EVENT_TYPES if matches(route.when.event, type)]
    by_source = bool(starting) and all(source.kind == JOBS for source in starting)
    return by_source or (bool(types) and all(type.startswith("job.") for type in types))


def _check_copy(
    path: Path, step: StepPlan, starting: list[str], sources: Mapping[str, Source], problems: Problems
) -> None:
    """What a copy needs of the registry that it goes to, and that this is no copy to the model itself."""
    to = sources.get(step.options["to"])
    experiment = step.options.get("experiment", "")
    if to is not None and to.workspace and experiment and not experiment.startswith("/"):
        reason = f"in a Databricks workspace an experiment is a path such as `/Shared/{experiment}`"
        problems.add((*path, "experiment"), reason)
    named = step.options.get("registry", "")
    origins = [sources[name] for name in ([named] if named else starting) if name in sources]
    same = step.options.get("name", "{model}") == step.options.get("model", "{model}")
    if to is not None and to.address and same and any(origin.address == to.address for origin in origins):
        problems.add((*path, "to"), "it would be copied to the model itself: give it another `name`, or another `to`")


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
