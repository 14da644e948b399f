"""A model version to a stage, or an alias to a version, in the event's registry or another one.

Read before write: what is so already is left alone, and so is what somebody else has changed since the first attempt.
Contract: shared.registries. MLflow's stages are deprecated, but its server still moves versions; it tells no one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from shared.attempts import Access, Answer, Attempt, Caused, Succeeded, caused_by_transition
from shared.errors import PermanentFailure
from shared.registries import Registry, check_stage, existing, link, named, read_alias, set_alias, transition
from shared.templates import Safe, as_is


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Either `stage` or `alias`. `registry` is a source's name, empty for the event's."""

    registry: str = ""
    model: str = "{model}"
    version: str = "{version}"
    stage: str = ""
    alias: str = ""
    archive_existing_versions: bool = False
    comment: str = ""

    def __post_init__(self) -> None:
        """Refuse both, neither, and what an alias has not."""
        if bool(self.stage) == bool(self.alias):
            raise ValueError("give either a `stage` or an `alias`")
        if self.alias and (self.archive_existing_versions or self.comment):
            raise ValueError("`archive_existing_versions` and `comment` belong to a `stage`")
        if self.stage:
            check_stage(self.stage)
        if self.archive_existing_versions and self.stage in ("None", "Archived"):
            raise ValueError("`archive_existing_versions` goes with Staging and Production only")


TEMPLATED: Mapping[str, Safe] = {"model": named, "version": named, "stage": named, "alias": named, "comment": as_is}


def connect(options: Options, access: Access) -> Registry:
    """Return the registry."""
    return access.registry(options.registry)


def causes(options: Options) -> list[Caused]:
    """A stage that changes, others that are archived; or an alias that is set."""
    what = (options.registry, options.model, options.version)
    if options.alias:
        return [Caused("model_version_alias.created", *what, alias=options.alias)]
    return caused_by_transition(*what, options.stage, archives=options.archive_existing_versions)


def start(attempt: Attempt) -> Answer:
    """Move it, unless it is there. Raises PermanentFailure if somebody else has moved it since the first attempt."""
    options: Options = attempt.options
    standing = _standing(attempt)
    if standing == _wanted(options):
        return _succeeded(attempt, "was already so")
    before = attempt.progress.get("before", standing)
    if before != standing:
        reason = f"{_what(options)} was {before or 'unset'} at first and is {standing or 'unset'} now"
        raise PermanentFailure(f"{reason}: somebody else has changed it, and it is left so")
    attempt.save({"before": standing})
    if options.alias:
        set_alias(attempt.connection, **_alias(options))
    else:
        transition(attempt.connection, **_move(options))
    return _succeeded(attempt, f"was {standing or 'unset'}")


def preview(attempt: Attempt) -> dict[str, Any]:
    """Return what is moved where, unless it is there already."""
    options: Options = attempt.options
    where = f"at {attempt.connection.url}, read first"
    if options.alias:
        return {"request": f"set an alias {where}", "body": _alias(options)}
    return {"request": f"transition to a stage {where}", "body": _move(options)}


def _alias(options: Options) -> dict[str, str]:
    return {"model": options.model, "version": options.version, "alias": options.alias}


def _move(options: Options) -> dict[str, Any]:
    wanted = {"model": options.model, "version": options.version, "stage": options.stage}
    return {**wanted, "archive": options.archive_existing_versions, "comment": options.comment}


def probe(attempt: Attempt) -> Answer | None:
    """Tell whether it stands as wished."""
    return _succeeded(attempt, "is so") if _standing(attempt) == _wanted(attempt.options) else None


def _standing(attempt: Attempt) -> str:
    """The stage of the version, or the version that bears the alias, as they are now."""
    options: Options = attempt.options
    version = existing(attempt.connection, options.model, options.version)
    return read_alias(attempt.connection, options.model, options.alias) if options.alias else version.stage


def _wanted(options: Options) -> str:
    return options.version if options.alias else options.stage


def _what(options: Options) -> str:
    if options.alias:
        return f"the alias {options.alias} of {options.model}"
    return f"the stage of {options.model} version {options.version}"


def _succeeded(attempt: Attempt, how: str) -> Succeeded:
    options: Options = attempt.options
    outcome = f"{_what(options)} is {_wanted(options)}: it {how}"
    return Succeeded(
        outcome=outcome, ref=options.version, link=link(attempt.connection, options.model, options.version)
    )
