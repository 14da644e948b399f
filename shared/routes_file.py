"""Reads routes.yaml, whole, and says of everything wrong in it on which line, at which key, and what would be right."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

import msgspec
import yaml

from shared.errors import RoutesError, SettingError
from shared.routes import DEFAULT_BUDGET, RECONCILE, STATUS, Require, Route, Routes, Source, StepPlan, When
from shared.routes_checks import check_routes
from shared.routes_lines import Path, load_with_lines
from shared.routes_registries import JOBS, check_loops, check_registries
from shared.routes_rules import Problems, Rules, one_of
from shared.settings import allowed_url
from shared.shapes import converted

Shape = TypeVar("Shape")

_NAME = re.compile(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?")
_SECRET_NAME = re.compile(r"[0-9A-Za-z-]{1,127}")
_AGE = re.compile(r"([0-9]{1,6})([smhd])")
MAX_AGE_DAYS = 30
MAX_BUDGET = 1_000_000
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_MSGSPEC_PATH = re.compile(r"(?P<what>.*?)(?: - at (?:`key` in )?`\$(?P<path>.*)`)?", re.DOTALL)


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
    sources, routes = _sources(data, rules, problems), _routes(data, rules, problems)
    budget = _budget(data, problems)
    check_routes(routes, _names(data), rules, problems)
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


def _names(data: dict[Any, Any]) -> list[str]:
    """The sources' names, also of those in which something is wrong."""
    sources = data.get("sources")
    return [name for name in sources if isinstance(name, str)] if isinstance(sources, dict) else []


def _sources(data: dict[Any, Any], rules: Rules, problems: Problems) -> dict[str, Source]:
    bodies = data.get("sources")
    if not isinstance(bodies, dict) or not bodies:
        problems.add(("sources",), "expected at least one source, such as `models: {kind: mlflow, secret: …}`")
        return {}
    read = {name: _source(name, body, rules, problems) for name, body in bodies.items()}
    return {name: source for name, source in read.items() if source is not None}


def _source(name: Any, body: Any, rules: Rules, problems: Problems) -> Source | None:
    path: Path = ("sources", name)
    _check_name(path, name, problems)
    if isinstance(body, dict) and "max_age" in body:
        body = {**body, "max_age": _age((*path, "max_age"), body["max_age"], problems)}
    if isinstance(body, dict) and "reconcile" in body:
        body = {**body, "reconcile": _reconcile((*path, "reconcile"), body["reconcile"], problems)}
    source = convert(path, body, Source, problems)
    if source is None:
        return None
    if source.kind not in rules.source_kinds:
        problems.add((*path, "kind"), f"{source.kind!r} is none of {one_of(rules.source_kinds)}")
        return None
    for key in ("secret", "authorization_secret", "token_secret"):
        if key == "secret" or getattr(source, key):
            check_secret_name((*path, key), getattr(source, key), problems)
    for key in ("workspace", "tracking_uri"):
        _check_url((*path, key), getattr(source, key), problems)
    if source.workspace and source.tracking_uri:
        problems.add(path, "a registry has a `workspace` (Databricks) or a `tracking_uri` (MLflow), not both")
    _check_reconcile((*path, "reconcile"), source, problems)
    return msgspec.structs.replace(source, max_age=source.max_age or rules.source_kinds[source.kind])


def _reconcile(path: Path, value: Any, problems: Problems) -> str:
    if value is False:  # which YAML reads an unquoted `off` as
        return "off"
    if value not in RECONCILE:
        problems.add(path, f"{value!r} is none of {one_of(RECONCILE)}")
        return "off"
    return str(value)


def _check_reconcile(path: Path, source: Source, problems: Problems) -> None:
    if source.reconcile == "off":
        return
    if source.kind == JOBS:
        problems.add(path, "a source of jobs has no registry to compare with: leave it out")
    elif not source.address:
        problems.add(path, "needs a registry to ask: add `workspace` or `tracking_uri` to the source")


def _age(path: Path, value: Any, problems: Problems) -> float:
    match = _AGE.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match[1]) == 0:
        problems.add(path, f"{value!r} is no age: give a number and s, m, h or d, such as `24h`")
        return 0.0
    seconds = float(int(match[1]) * _SECONDS[match[2]])
    if seconds > MAX_AGE_DAYS * 86400:
        problems.add(path, f"{value!r} is too long: {MAX_AGE_DAYS}d at most, since the ledger forgets in the end")
    return seconds


def _check_url(path: Path, url: str, problems: Problems) -> None:
    try:
        if url:
            allowed_url(url, "it")
    except SettingError as error:
        problems.add(path, str(error))


def _check_name(path: Path, name: Any, problems: Problems) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        problems.add(path, f"{name!r} is no name: lower-case letters, digits, `-` and `_`, 63 at most")


def check_secret_name(path: Path, name: str, problems: Problems) -> None:
    """Note a problem unless the name is one that Key Vault takes for a secret."""
    if not _SECRET_NAME.fullmatch(name):
        problems.add(path, f"{name!r} is no name of a Key Vault secret: letters, digits and `-`, 127 at most")


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
    _check_name((*path, "name"), shape.name, problems)
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
    _check_name((*path, "id"), step_id, problems)
    if step_id == STATUS:
        problems.add((*path, "id"), f"{STATUS!r} is taken: the step of `write_status` is called so")
    if convert((*path, target), options, rule.options, problems) is None:
        return None
    for key, name in rule.secrets_in(options).items():
        check_secret_name((*path, target, *key.split(".")), name, problems)
    return StepPlan(id=step_id, target=target, options=options)


def convert(path: Path, body: Any, shape: type[Shape], problems: Problems) -> Shape | None:
    """Return the body as an instance of the shape, or None after noting where it does not fit."""
    known = _fields(shape)
    if isinstance(body, dict):
        for key in [key for key in body if key not in known]:
            problems.add((*path, key), f"unknown key: {one_of(known)} are known")
        body = {key: value for key, value in body.items() if key in known}
    try:
        return converted(body, shape)
    except (msgspec.ValidationError, ValueError) as error:
        match = _MSGSPEC_PATH.fullmatch(str(error))
        what, inner = (match["what"], match["path"] or "") if match else (str(error), "")
        problems.add((*path, *_keys(inner)), _as_sentence(what))
        return None


def _keys(path: str) -> Path:
    return tuple(
        int(part[1:-1]) if part[0] == "[" and part[1:-1].isdigit() else part.lstrip(".")
        for part in re.findall(r"\[[^\]]*\]|\.[^.\[]+", path)
        if part != "[...]"  # msgspec does not say which key of a mapping
    )


def _as_sentence(what: str) -> str:
    missing = re.search(r"missing required field `(.*)`", what)
    unknown = re.search(r"unknown field `(.*)`", what)
    if missing:
        return f"the key `{missing[1]}` is missing"
    if unknown:
        return f"unknown key `{unknown[1]}`"
    if "Expected `str" in what and re.search("got `(bool|int|float|date|datetime)`", what):
        return f"{what}: put it in quotes"
    return what


def _fields(shape: type) -> list[str]:
    return list(getattr(shape, "__struct_fields__", ()))
