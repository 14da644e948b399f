"""What a routes file may not say although its shape is right: checks that need more than one key at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from shared.messages import EVENT_FIELDS
from shared.routes import APPROVAL, EVENT_TYPES, OneOrMore, Route, StepPlan, When, matches, next_approval
from shared.routes_lines import Path
from shared.routes_rules import Problems, Rules, one_of
from shared.templates import names

STEP_FIELDS = frozenset({"link", "ref", "outcome"})
FAILED_FIELDS = frozenset({"failed.step", "failed.reason", "failed.link"})
MAX_ROUTE_BYTES = 30_000  # a route is kept with each event in a table property, which holds 32 Ki characters
_STAGED = frozenset({"model_version.stage_changed", "transition_request.created"})
_ALIASED = frozenset(type for type in EVENT_TYPES if "_alias." in type)


def check_routes(routes: Mapping[int, Route], sources: Sequence[str], rules: Rules, problems: Problems) -> None:
    """Note a problem for each name that is used twice, each condition that can never hold, each unknown placeholder."""
    seen: set[str] = set()
    for index, route in routes.items():
        path: Path = ("routes", index)
        if route.name in seen:
            problems.add((*path, "name"), f"two routes are called {route.name!r}")
        seen.add(route.name)
        if len(msgspec.json.encode(route)) > MAX_ROUTE_BYTES:
            problems.add(path, f"the route is too long: {MAX_ROUTE_BYTES} bytes at most")
        _check_globs((*path, "when"), route.when, problems)
        _check_when(path, route, sources, problems)
        _check_placeholders(path, route, rules, problems)
        _check_approvals(path, route, problems)


def _check_globs(path: Path, when: When, problems: Problems) -> None:
    fields: dict[Path, OneOrMore | None] = {(name,): getattr(when, name) for name in When.__struct_fields__[:-1]}
    fields |= {("tags", tag): wanted for tag, wanted in when.tags.items()}
    for field, wanted in fields.items():
        if wanted == []:
            problems.add((*path, *field), "an empty list matches nothing")


def _check_when(path: Path, route: Route, sources: Sequence[str], problems: Problems) -> None:
    when = (*path, "when")
    for glob in _globs(route.when.source):
        if not any(matches(glob, name) for name in sources):
            problems.add((*when, "source"), f"no source is called {glob!r}: sources are {one_of(sources)}")
    for glob in _globs(route.when.event):
        if not any(matches(glob, type) for type in EVENT_TYPES):
            problems.add((*when, "event"), f"{glob!r} is no event type{_nearest(glob)}")
    types = {type for type in EVENT_TYPES if matches(route.when.event, type)}
    for field, bearers in (("from_stage", _STAGED), ("to_stage", _STAGED), ("alias", _ALIASED)):
        if types and getattr(route.when, field) is not None and not types & bearers:
            problems.add((*when, field), f"never given by {one_of(types)}, only by {one_of(bearers)}")


def _nearest(glob: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(glob, EVENT_TYPES, n=1)
    return f": did you mean {near[0]!r}?" if near else f": types are {one_of(EVENT_TYPES)}"


def _globs(wanted: OneOrMore) -> list[str]:
    return [wanted] if isinstance(wanted, str) else wanted


def _check_placeholders(path: Path, route: Route, rules: Rules, problems: Problems) -> None:
    known = {*EVENT_FIELDS, "route"}
    for index, step in enumerate(route.steps):
        asking = {"approval.link"} if next_approval(route, step.id) else set()
        _check_step((*path, "steps", index), step, known | asking, rules, problems)
        known |= {f"steps.{step.id}.{field}" for field in STEP_FIELDS}
    for index, step in enumerate(route.on_failure):
        _check_step((*path, "on_failure", index), step, {*EVENT_FIELDS, "route", *FAILED_FIELDS}, rules, problems)


def _check_approvals(path: Path, route: Route, problems: Problems) -> None:
    """An approval that nobody is told of would wait for nothing."""
    told = False
    for index, step in enumerate(route.steps):
        if step.target == APPROVAL:
            if not told and step.options.get("by", "link") == "link":
                at = (*path, "steps", index, APPROVAL)
                problems.add(
                    at,
                    "nobody would be asked: no step since the start of the route, or since the approval "
                    "before, has {approval.link} in its text",
                )
            told = False
        elif any("{approval.link}" in text for _, text in _texts((), step.options)):
            told = True


def _check_step(path: Path, step: StepPlan, known: set[str], rules: Rules, problems: Problems) -> None:
    templated = rules.targets[step.target].templated
    for field, value in step.options.items():
        at = (*path, step.target, field)
        for where in _templated_keys(at, value):
            problems.add(where, "takes no placeholders: only what stands after a key does")
        for where, text in _texts(at, value):
            try:
                used = list(names(text)) if field in templated else []
            except ValueError as error:
                problems.add(where, f"{error}: write a brace that is meant as text twice, `{{{{`")
                continue
            for name in used:
                if name not in known and not name.startswith("tags."):
                    problems.add(where, f"unknown placeholder {{{name}}}: known here are {one_of(known)}, `tags.NAME`")
            if field not in templated and _looks_templated(text):
                problems.add(where, "takes no placeholders: it comes from this file, never from a delivery")


def _templated_keys(path: Path, value: Any) -> Iterator[Path]:
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(key, str) and _looks_templated(key):
                yield (*path, key)
            yield from _templated_keys((*path, key), item)


def _looks_templated(text: str) -> bool:
    try:
        return any(name for name in names(text))
    except ValueError:
        return False


def _texts(path: Path, value: Any) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts((*path, key), item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts((*path, index), item)
