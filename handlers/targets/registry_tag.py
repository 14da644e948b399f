"""Tags of a model version: sets some, deletes some, in the event's registry or another one.

Read before write: what is so already is left alone. Contract: shared.registries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from shared.attempts import Access, Answer, Attempt, Caused, Succeeded
from shared.registries import Registry, delete_tag, existing, link, named, set_tag
from shared.templates import Safe, as_is


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`tags` are set, those in `delete` are deleted. `registry` is a source's name, empty for the event's."""

    registry: str = ""
    model: str = "{model}"
    version: str = "{version}"
    tags: dict[str, str] = {}
    delete: list[str] = []

    def __post_init__(self) -> None:
        """Refuse no tags, tags without a name, and tags that are both set and deleted."""
        keys = [*self.tags, *self.delete]
        if not keys:
            raise ValueError("give `tags` to set, or names of tags to `delete`")
        if len(set(keys)) < len(keys):
            raise ValueError("a tag is named twice")
        if not all(keys):
            raise ValueError("a tag needs a name")


TEMPLATED: Mapping[str, Safe] = {"model": named, "version": named, "tags": as_is}


def connect(options: Options, access: Access) -> Registry:
    """Return the registry."""
    return access.registry(options.registry)


def causes(options: Options) -> list[Caused]:
    """One event for each tag: registries tell of them one by one. Of deletions only MLflow tells."""
    where = (options.registry, options.model, options.version)
    caused = [Caused("model_version_tag.set", *where, tags={key: value}) for key, value in options.tags.items()]
    return caused + [Caused("model_version_tag.deleted", *where, tags={key: ""}) for key in options.delete]


def start(attempt: Attempt) -> Answer:
    """Set and delete what is not so yet."""
    options: Options = attempt.options
    to_set, to_delete = _missing(attempt)
    for key, value in to_set.items():
        set_tag(attempt.connection, options.model, options.version, key, value)
    for key in to_delete:
        delete_tag(attempt.connection, options.model, options.version, key)
    done = [f"set {', '.join(to_set)}"] * bool(to_set) + [f"deleted {', '.join(to_delete)}"] * bool(to_delete)
    return _succeeded(attempt, "; ".join(done) or "were already so")


def preview(attempt: Attempt) -> dict[str, Any]:
    """Return which tags are set and deleted, unless they are so already."""
    options: Options = attempt.options
    wanted = {"model": options.model, "version": options.version, "tags": options.tags, "delete": options.delete}
    return {"request": f"set and delete tags at {attempt.connection.url}, read first", "body": wanted}


def probe(attempt: Attempt) -> Answer | None:
    """Tell whether all stands as wished."""
    return None if any(_missing(attempt)) else _succeeded(attempt, "are so")


def _missing(attempt: Attempt) -> tuple[dict[str, str], list[str]]:
    """Which tags are still to be set, which to be deleted."""
    options: Options = attempt.options
    tags = existing(attempt.connection, options.model, options.version).tags
    to_set = {key: value for key, value in options.tags.items() if tags.get(key) != value}
    return to_set, [key for key in options.delete if key in tags]


def _succeeded(attempt: Attempt, how: str) -> Succeeded:
    options: Options = attempt.options
    return Succeeded(
        outcome=f"tags of {options.model} version {options.version}: {how}",
        link=link(attempt.connection, options.model, options.version),
    )
