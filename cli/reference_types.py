"""How types, defaults and bounds of the schema read in a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from shared.errors import PermanentFailure

SECRET = "name of a secret"  # noqa: S105  what is said of one
HUGE = 2**31 - 1
HOSTILE = "$(id)"
SIMPLE = {"string": "text", "boolean": "`true` or `false`", "object": "mapping", "array": "list"}


def type_of(schema: Mapping[str, Any]) -> str:
    """Return what a key takes, as a phrase."""
    if "$ref" in schema:
        return _linked(schema["$ref"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        return _any_of([one for one in schema["anyOf"] if one.get("type") != "null"])
    kind = schema.get("type", "")
    if kind in ("integer", "number"):
        return _number(schema)
    if kind == "array" and "items" in schema:
        return f"list of {_plural(schema['items'])}"
    if kind == "object" and "additionalProperties" in schema:
        return f"names with {_plural(schema['additionalProperties'])}"
    return _text(schema) if kind == "string" else SIMPLE[kind]


def default_of(key: str, schema: Mapping[str, Any], shape: Mapping[str, Any]) -> str:
    """Return what holds without the key: `required`, a value, or nothing."""
    if key in shape.get("required", ()):
        return "required"
    default = schema.get("default")
    if default in (None, "", [], {}) or isinstance(default, dict):
        return ""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def takes(safe: Callable[[str], str] | None) -> str:
    """Return whether a field takes placeholders, and which values: found out by giving it one that is not harmless."""
    if safe is None:
        return ""
    try:
        safe(HOSTILE)
    except PermanentFailure:
        return "checked"
    return "any"


def _linked(reference: str) -> str:
    name = reference.rsplit("/", 1)[-1]
    return f"`{name.split('.', 1)[1]}`, below" if "." in name else f"[{name}](#{name})"


def _any_of(kinds: list[Mapping[str, Any]]) -> str:
    if len(kinds) == 1:
        return type_of(kinds[0])
    if {"type": "array", "items": {"type": "string"}} in kinds and {"type": "string"} in kinds:
        return "glob, or list of globs"
    if any("enum" in str(one) for one in kinds):
        return "type or glob, or list of them"
    return " or ".join(type_of(one) for one in kinds)


def _number(schema: Mapping[str, Any]) -> str:
    whole = "whole number" if schema["type"] == "integer" else "number"
    top, above = schema.get("maximum"), schema.get("exclusiveMinimum")
    least = f"above {above}" if above is not None else f"from {schema.get('minimum')}"
    if top is None or top >= HUGE:
        return f"{whole} {least}"
    return f"{whole} {least} to {top}"


def _text(schema: Mapping[str, Any]) -> str:
    pattern = schema.get("pattern", "")
    if "{1,127}" in pattern or "{0,127}" in pattern:
        return SECRET
    if pattern.endswith("[smhd]$"):
        return f"a number and s, m, h or d, such as {' or '.join(f'`{each}`' for each in schema['examples'])}"
    return "name" if pattern else "text"


def _plural(schema: Mapping[str, Any]) -> str:
    told = type_of(schema)
    if told == "[step](#step)":
        return "[steps](#targets)"
    words = {"text": "texts", "mapping": "mappings", "glob, or list of globs": "globs, or lists of them"}
    return words.get(told, told)
