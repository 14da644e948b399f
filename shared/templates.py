"""Placeholders: `{model}` in a route's options becomes the event's model, made safe for where it goes."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from shared.errors import PermanentFailure

Safe = Callable[[str], str]
"""Takes a value that came from outside, returns it made safe; raises PermanentFailure if it can't be."""

_PLACEHOLDER = re.compile(r"\{[^{}]*\}")
_HARMLESS = re.compile(r"[A-Za-z0-9_](?: (?!-)|[A-Za-z0-9_.:/@+,=-])*")


def names(text: str) -> Iterator[str]:
    """Yield the names of the placeholders in a text. Raises ValueError for a brace that is not closed."""
    for _, name, spec, conversion in string.Formatter().parse(text):
        if name is not None:
            if spec or conversion:
                raise ValueError(f"{{{name}}} takes no format")
            yield name


def without(text: str, placeholder: str) -> str:
    """Return the text with `placeholder` in the place of each placeholder, to check what stands around them."""
    return _PLACEHOLDER.sub(placeholder, text)


def fill(text: str, values: Mapping[str, str], safe: Safe) -> str:
    """Return the text with each placeholder replaced by its value, each value passed through `safe` first.

    `{{` and `}}` stand for braces. Raises PermanentFailure from `safe`, and KeyError for an unknown name,
    which the check at load leaves no room for.
    """
    parts: list[str] = []
    for literal, name, _, _ in string.Formatter().parse(text):
        parts.append(literal)
        if name is not None:
            parts.append(safe(values[name]))
    return "".join(parts)


def fill_all(value: Any, values: Mapping[str, str], safe: Safe) -> Any:
    """Return the same value with every text in it filled, however deep in lists and mappings."""
    if isinstance(value, str):
        return fill(value, values, safe)
    if isinstance(value, list):
        return [fill_all(item, values, safe) for item in value]
    if isinstance(value, dict):
        return {key: fill_all(item, values, safe) for key, item in value.items()}
    return value


def harmless(value: str) -> str:
    """Let through only what no shell, pipeline macro or URL reads as more than text (default-deny).

    Azure Pipelines puts `$(name)` into scripts as text before the shell sees it, so a model's name could
    otherwise bring a command along. Raises PermanentFailure that names the character; `..` as a part of a path is
    refused, since scripts make paths of names, and so is an empty value: a deployment of nothing is nobody's wish.
    """
    if not value:
        raise PermanentFailure("a placeholder has no value in this event, and its target needs one")
    if _HARMLESS.fullmatch(value) is None:
        wrong = next(
            (char for char in value if not _HARMLESS.fullmatch("a" + char)), " -" if " -" in value else value[0]
        )
        raise PermanentFailure(
            f"the value {value[:80]!r} holds {wrong!r} where it may not stand: values that go into a pipeline are "
            "letters, digits, spaces and _ . : / @ + , = - and begin with a letter, a digit or _"
        )
    if ".." in re.split("[/:]", value):
        raise PermanentFailure(
            f"the value {value[:80]!r} holds '..' where it may not stand: a path would lead elsewhere"
        )
    return value


def as_is(value: str) -> str:
    """Let every value through: for fields that are shown as plain text and read by nothing."""
    return value
