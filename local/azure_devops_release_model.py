"""Classic releases as data: what is stored, how a request is read, which of them a list is asked for.

Confirmed by release.json (7.1): the filters of the list, and that `propertyFilters` filters nothing; the
types that a PropertiesCollection keeps. Assumed: 400 for an unknown artifact alias and for a variable that
may not be overridden; both ends of a time range belong to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from local.azure_devops_wire import invalid, listed, moment

Key = tuple[str, str]


@dataclass
class Definition:
    """A classic release pipeline. `settable` has the variables a release may override; None means all."""

    id: int
    name: str
    project: Key
    artifacts: list[str]
    environments: list[str]
    variables: dict[str, str]
    settable: set[str] | None
    releases: int = 0


@dataclass
class Release:
    """A release as it is stored; `started` is when it became active, None for a draft."""

    id: int
    name: str
    definition: Definition
    status: str
    created: float
    modified: float
    description: str
    reason: str
    properties: dict[str, Any]
    variables: dict[str, dict[str, Any]]
    artifacts: list[dict[str, Any]]
    manual: set[str]
    started: float | None = None
    result: str = "succeeded"
    comments: list[str] = field(default_factory=list)


def matches(release: Release, query: Mapping[str, str]) -> bool:
    """The filters of the list. `searchText` looks at the name alone, `propertyFilters` filters nothing."""
    wanted = query.get("definitionId")
    ids = listed(query.get("releaseIdFilter"))
    # Releases go by creation time in milliseconds, and both ends are taken to belong to the range (assumed).
    earliest = moment(query["minCreatedTime"]) if "minCreatedTime" in query else release.created
    latest = moment(query["maxCreatedTime"]) if "maxCreatedTime" in query else release.created
    return (
        (not wanted or release.definition.id == int(wanted))
        and (not ids or str(release.id) in ids)
        and query.get("statusFilter", release.status) == release.status
        and query.get("searchText", "").lower() in release.name.lower()
        and earliest <= release.created <= latest
    )


def properties(body: dict[str, Any]) -> dict[str, Any]:
    """PropertiesCollection: plain values, or the long form {"$type": "System.String", "$value": text}."""
    found: dict[str, Any] = {}
    for name, value in (body.get("properties") or {}).items():
        if (isinstance(value, dict) and "$value" not in value) or isinstance(value, list):
            raise invalid(f"The property '{name}' is not of a primitive type.")
        found[name] = value["$value"] if isinstance(value, dict) else value
    return found


def property_on_the_wire(value: Any) -> dict[str, Any]:
    """Int32, Double and String keep their type, other primitives come back as a string (spec)."""
    if isinstance(value, int) and not isinstance(value, bool):
        return {"$type": "System.Int32", "$value": value}
    if isinstance(value, float):
        return {"$type": "System.Double", "$value": value}
    return {"$type": "System.String", "$value": str(value)}


def variables(definition: Definition, body: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The definition's variables with those of the request laid over them."""
    given = body.get("variables") or {}
    if not all(isinstance(value, dict) for value in given.values()):
        raise invalid("Each variable has to be an object with a value.")
    fixed = sorted(set(given) - definition.settable) if definition.settable is not None else []
    if fixed:
        raise invalid(f"The following variables can't be overridden at release time: {', '.join(fixed)}.")
    defaults: dict[str, dict[str, Any]] = {name: {"value": text} for name, text in definition.variables.items()}
    return defaults | {name: dict(value) for name, value in given.items()}


def shown(variable: dict[str, Any]) -> dict[str, Any]:
    """A variable as replies have it: without its value if it is secret."""
    return variable | {"value": None} if variable.get("isSecret") else variable


def artifacts(definition: Definition, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The definition's artifacts, at the versions that the request names."""
    given = {each.get("alias"): each.get("instanceReference") or {} for each in body.get("artifacts") or []}
    unknown = [str(alias) for alias in given if alias not in definition.artifacts]
    if unknown:
        raise invalid(f"The release definition has no artifact with the alias {', '.join(unknown)}.")
    return [
        {"alias": alias, "type": "Build", "definitionReference": {"version": given.get(alias, {})}}
        for alias in definition.artifacts
    ]


def definition_body(definition: Definition) -> dict[str, Any]:
    """A release definition as its own API has it."""
    return {
        "id": definition.id,
        "name": definition.name,
        "path": "\\",
        "artifacts": [{"alias": alias, "type": "Build"} for alias in definition.artifacts],
        "environments": [
            {"id": rank + 1, "name": name, "rank": rank + 1} for rank, name in enumerate(definition.environments)
        ],
        "variables": {
            name: {
                "value": value,
                "allowOverride": definition.settable is None or name in definition.settable,
            }
            for name, value in definition.variables.items()
        },
    }
