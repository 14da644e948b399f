"""The JSON Schema of routes.yaml, made from the structs that the app reads the file with.

An editor checks and completes with it as one types. It knows the shapes; what takes more than one key to see (loops,
placeholders, names that are used twice) only `check` knows.
"""

from __future__ import annotations

from inspect import cleandoc
from typing import Any

TEXT = {"type": "string"}
NAME = {"type": "string", "pattern": "^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$"}
SECRET = {"type": "string", "pattern": "^[0-9A-Za-z-]{1,127}$", "description": "Name of a Key Vault secret."}
AGE = {"type": "string", "pattern": "^[0-9]{1,6}[smhd]$", "examples": ["300s", "24h"]}
RELAYS_OWN = {("databricks_job", "event_fields")}  # the relay fills it in: no file may


def routes_schema() -> dict[str, Any]:
    """Return the schema of the whole file."""
    from handlers.current_routes import rules
    from shared.routes import DEFAULT_BUDGET, Require, Route, Source, When
    from shared.routes_file import MAX_BUDGET

    known, definitions = rules(), dict[str, Any]()
    for name, shape in (("source", Source), ("when", When), ("require", Require), ("route", Route)):
        definitions |= _defined(name, shape)
    for target, rule in sorted(known.targets.items()):
        definitions |= _defined(target, rule.options)
        _adapt(definitions[target]["properties"], {key: SECRET for key in sorted(rule.secrets) if "." not in key})
        for owner, field in RELAYS_OWN:
            if owner == target:
                del definitions[target]["properties"][field]
    _finish_source(definitions["source"], sorted(known.source_kinds))
    _finish_when(definitions["when"])
    _finish_route(definitions)
    definitions["step"] = _step(sorted(known.targets))
    budget = {"type": "integer", "minimum": 1, "maximum": MAX_BUDGET, "default": DEFAULT_BUDGET}
    sources = {"type": "object", "minProperties": 1, "propertyNames": NAME, "additionalProperties": _ref("source")}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Routes of Registry Relay",
        "description": "Made by `python -m cli check --schema`. `python -m cli check` sees more than this does.",
        "type": "object",
        "additionalProperties": False,
        "required": ["sources"],
        "properties": {"sources": sources, "budget": budget, "routes": {"type": "array", "items": _ref("route")}},
        "definitions": definitions,
    }


def _defined(name: str, shape: type) -> dict[str, Any]:
    """Return the definitions of a struct, under its name, and of the structs in it, under `name.Struct`."""
    import msgspec

    (whole,), parts = msgspec.json.schema_components([shape], ref_template=f"#/definitions/{name}.{{name}}")
    own = whole["$ref"].rsplit(".", 1)[-1]
    for part in parts.values():  # a docstring, which Python 3.13 takes its indentation off and others do not
        part["description"] = cleandoc(part.get("description", ""))
    renamed = {f"{name}.{part}": body for part, body in parts.items() if part != own}
    return {**renamed, name: parts[own]}


def _adapt(properties: dict[str, Any], better: dict[str, Any]) -> None:
    for field, schema in better.items():
        properties[field] = schema


def _finish_source(source: dict[str, Any], kinds: list[str]) -> None:
    optional = {**SECRET, "pattern": "^[0-9A-Za-z-]{0,127}$"}
    secrets = {"secret": SECRET, "authorization_secret": optional, "token_secret": optional}
    _adapt(source["properties"], {"kind": {"enum": kinds}, "max_age": AGE, **secrets})


def _finish_when(when: dict[str, Any]) -> None:
    from shared.routes import EVENT_TYPES

    one = {"anyOf": [{"enum": list(EVENT_TYPES)}, {**TEXT, "pattern": r"[*?\[]"}]}
    _adapt(when["properties"], {"event": {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}})


def _finish_route(definitions: dict[str, Any]) -> None:
    steps = {"type": "array", "items": _ref("step")}
    better = {"name": NAME, "when": _ref("when"), "steps": {**steps, "minItems": 1}, "on_failure": steps}
    require = {"anyOf": [{"type": "null"}, _ref("require")]}
    rounds = {"type": "integer", "minimum": 0, "maximum": 100, "default": 0}
    route = definitions["route"]
    _adapt(route["properties"], {**better, "require": require, "rounds": rounds})
    route["additionalProperties"] = False
    for part in [name for name in definitions if name.startswith("route.")]:
        del definitions[part]


def _step(targets: list[str]) -> dict[str, Any]:
    return {
        "description": "One target with its options; `id` where a route uses a target twice.",
        "type": "object",
        "additionalProperties": False,
        "properties": {"id": NAME, **{target: _ref(target) for target in targets}},
        "oneOf": [{"required": [target]} for target in targets],
    }


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/definitions/{name}"}
