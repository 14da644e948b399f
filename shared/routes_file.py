"""Reads routes.yaml, whole, and says of everything wrong in it on which line, at which key, and what would be right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import yaml

from shared.errors import RoutesError
from shared.routes import DEFAULT_BUDGET, STATUS, Require, Route, Routes, StepPlan, When
from shared.routes_checks import check_routes
from shared.routes_lines import Path, load_with_lines
from shared.routes_registries import check_loops, check_registries
from shared.routes_rules import Problems, Rules, one_of
from shared.routes_shapes import check_name, check_secret_name, convert
from shared.routes_sources import read_sources, source_names

MAX_BUDGET = 1_000_000


def parse_routes(text: str, file: str, rules: Rules) -> Routes:
    """Return the routes of a YAML text; `file` is its name in messages. Raises RoutesError with every problem."""
    try:
        data, lines = load_with_lines(text)
    except yaml.YAMLError as error:
        raise RoutesError([_yaml_problem(file, error)]) from None
    problems = Problems(file, lines)
    if not isinstance(data, dict):
        problems.add((), "expected a mapping with `sources` and `routes`")
        raise RoutesError(problems.found)
    for key in [key for key in data if key not in ("sources", "routes", "budget")]:
        problems.add((key,), "unknown key: the file holds `sources`, `routes` and `budget`")
    sources, routes = read_sources(data, rules, problems), _routes(data, rules, problems)
    budget = _budget(data, problems)
    check_routes(routes, source_names(data), rules, problems)
    if not problems.found:  # what follows needs sources and routes that are whole
        check_registries(routes, sources, rules, problems)
        check_loops(routes, sources, rules, problems)
    if problems.found:
        raise RoutesError(problems.found)
    read = tuple(routes.values())
    return Routes(sources=sources, routes=read, budget=budget, acts_on_registries=_act_on_registries(read, rules))


def _act_on_registries(routes: Sequence[Route], rules: Rules) -> bool:
    steps = (step for route in routes for step in (*route.steps, *route.on_failure))
    return any(rules.targets[step.target].caused_by(step.options) for step in steps)


def _budget(data: dict[Any, Any], problems: Problems) -> int:
    budget = data.get("budget", DEFAULT_BUDGET)
    if type(budget) is not int or not 1 <= budget <= MAX_BUDGET:
        problems.add(("budget",), f"expected how many routes a model version may start in 24 hours, 1 to {MAX_BUDGET}")
        return DEFAULT_BUDGET
    return budget


def _yaml_problem(file: str, error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"{file}:{mark.line + 1}" if mark else file
    return f"{where}: {getattr(error, 'problem', None) or error}"


def _routes(data: dict[Any, Any], rules: Rules, problems: Problems) -> dict[int, Route]:
    """Return the routes whose shape is right, by their place in the file."""
    bodies = data.get("routes", [])
    if not isinstance(bodies, list):
        problems.add(("routes",), "expected a list of routes")
        return {}
    read = {}
    for index, body in enumerate(bodies):
        before = len(problems.found)
        route = _route(("routes", index), body, rules, problems)
        if route is not None and len(problems.found) == before:
            read[index] = route
    return read


class _RouteBody(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    when: dict[str, Any]
    steps: list[dict[str, Any]]
    on_failure: list[dict[str, Any]] = []
    require: dict[str, Any] | None = None
    rounds: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0
    write_status: bool = False


def _route(path: Path, body: Any, rules: Rules, problems: Problems) -> Route | None:
    shape = convert(path, body, _RouteBody, problems)
    if shape is None:
        return None
    check_name((*path, "name"), shape.name, problems)
    when = convert((*path, "when"), shape.when, When, problems)
    if not shape.steps:
        problems.add((*path, "steps"), "expected at least one step")
    steps = _steps((*path, "steps"), shape.steps, rules, problems)
    on_failure = _steps((*path, "on_failure"), shape.on_failure, rules, problems)
    require = None
    if shape.require is not None:
        require = convert((*path, "require"), shape.require, Require, problems)
    if when is None:
        return None
    return Route(
        name=shape.name,
        when=when,
        steps=steps,
        on_failure=on_failure,
        require=require,
        rounds=shape.rounds,
        write_status=shape.write_status,
    )


def _steps(path: Path, bodies: list[dict[str, Any]], rules: Rules, problems: Problems) -> tuple[StepPlan, ...]:
    read = [_step((*path, index), body, rules, problems) for index, body in enumerate(bodies)]
    steps = tuple(step for step in read if step is not None)
    ids = [step.id for step in steps]
    for twice in sorted({id for id in ids if ids.count(id) > 1}):
        problems.add(path, f"two steps are called {twice!r}: give one of them another name with a key `id` beside it")
    return steps


def _step(path: Path, body: dict[str, Any], rules: Rules, problems: Problems) -> StepPlan | None:
    targets = [key for key in body if key != "id"]
    if len(targets) != 1 or targets[0] not in rules.targets:
        problems.add(path, f"a step is one target with its options; targets are {one_of(rules.targets)}")
        return None
    target, options = targets[0], body[targets[0]]
    rule = rules.targets[target]
    step_id = body.get("id", target)
    check_name((*path, "id"), step_id, problems)
    if step_id == STATUS:
        problems.add((*path, "id"), f"{STATUS!r} is taken: the step of `write_status` is called so")
    if convert((*path, target), options, rule.options, problems) is None:
        return None
    for key, name in rule.secrets_in(options).items():
        check_secret_name((*path, target, *key.split(".")), name, problems)
    return StepPlan(id=step_id, target=target, options=options)
