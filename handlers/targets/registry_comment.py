"""A comment on a model version in a Databricks workspace registry.

The registry documents no way to ask for comments, so it comes at least once, or at most once with `at_most_once`.
Contract: ModelRegistryAPI.create_comment of databricks-sdk. MLflow has no comments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from shared.attempts import Access, Answer, Attempt, Caused, Succeeded
from shared.registries import Registry, link, named
from shared.registries_databricks import comment, needed
from shared.templates import Safe, as_is


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`registry` is a source's name, empty for the event's."""

    registry: str = ""
    model: str = "{model}"
    version: str = "{version}"
    text: str
    at_most_once: bool = False

    def __post_init__(self) -> None:
        """Refuse a comment of nothing: the registry does."""
        if not self.text.strip():
            raise ValueError("a comment needs a `text`")


TEMPLATED: Mapping[str, Safe] = {"model": named, "version": named, "text": as_is}


def connect(options: Options, access: Access) -> Registry:
    """Return the registry. Raises PermanentFailure for one that knows no comments."""
    registry = access.registry(options.registry)
    needed(registry, "comments")
    return registry


def causes(options: Options) -> list[Caused]:
    """A comment."""
    return [Caused("comment.created", options.registry, options.model, options.version)]


def start(attempt: Attempt) -> Answer:
    """Write the comment."""
    options: Options = attempt.options
    written = comment(attempt.connection, **_comment(options))
    return Succeeded(
        outcome=f"commented on {options.model} version {options.version}",
        ref=written,
        link=link(attempt.connection, options.model, options.version),
    )


def preview(attempt: Attempt) -> dict[str, Any]:
    """Return the comment."""
    return {"request": f"comment on a model version at {attempt.connection.url}", "body": _comment(attempt.options)}


def _comment(options: Options) -> dict[str, str]:
    return {"model": options.model, "version": options.version, "text": options.text}
