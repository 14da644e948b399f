"""From what stands in the routes file to the shapes it must have; whatever does not fit is noted with its place."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from shared.routes_lines import Path
from shared.routes_rules import Problems, one_of
from shared.shapes import converted

Shape = TypeVar("Shape")

_NAME = re.compile(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?")
_SECRET_NAME = re.compile(r"[0-9A-Za-z-]{1,127}")
_MSGSPEC_PATH = re.compile(r"(?P<what>.*?)(?: - at (?:`key` in )?`\$(?P<path>.*)`)?", re.DOTALL)


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


def check_name(path: Path, name: Any, problems: Problems) -> None:
    """Note a problem unless the name is one that a source, a route or a step may have."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        problems.add(path, f"{name!r} is no name: lower-case letters, digits, `-` and `_`, 63 at most")


def check_secret_name(path: Path, name: str, problems: Problems) -> None:
    """Note a problem unless the name is one that Key Vault takes for a secret."""
    if not _SECRET_NAME.fullmatch(name):
        problems.add(path, f"{name!r} is no name of a Key Vault secret: letters, digits and `-`, 127 at most")


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
