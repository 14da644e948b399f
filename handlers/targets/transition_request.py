"""A transition request in a Databricks workspace registry: asks for a stage, approves or rejects what was asked for.

Read before write: a version that is in the stage, a request that is open or gone, is left alone.
Contract: ModelRegistryAPI of databricks-sdk (transition requests). MLflow has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from shared import registries_databricks
from shared.attempts import Access, Answer, Attempt, Caused, Succeeded, caused_by_transition
from shared.errors import PermanentFailure
from shared.registries import Registry, check_stage, existing, link, named, open_requests
from shared.templates import Safe, as_is


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`registry` is a source's name, empty for the event's."""

    action: Literal["approve", "reject", "create"]
    stage: str
    registry: str = ""
    model: str = "{model}"
    version: str = "{version}"
    archive_existing_versions: bool = False
    comment: str = ""

    def __post_init__(self) -> None:
        """Refuse what is no stage, and archiving where nothing is moved."""
        check_stage(self.stage)
        if self.archive_existing_versions and (self.action != "approve" or self.stage in ("None", "Archived")):
            raise ValueError("`archive_existing_versions` goes with approving Staging and Production only")


TEMPLATED: Mapping[str, Safe] = {"model": named, "version": named, "stage": named, "comment": as_is}


def connect(options: Options, access: Access) -> Registry:
    """Return the registry. Raises PermanentFailure for one that knows no transition requests."""
    registry = access.registry(options.registry)
    registries_databricks.needed(registry, "transition requests")
    return registry


def causes(options: Options) -> list[Caused]:
    """A stage that changes once it is approved, a request once it is made. Of a rejection no registry tells."""
    what = (options.registry, options.model, options.version, options.stage)
    if options.action == "create":
        return [Caused("transition_request.created", *what)]
    if options.action == "reject":
        return []
    return caused_by_transition(*what, archives=options.archive_existing_versions)


def start(attempt: Attempt) -> Answer:
    """Ask, approve or reject, unless there is nothing to be done. Raises PermanentFailure if there is no request to
    approve."""
    options: Options = attempt.options
    done = probe(attempt)
    if done is not None:
        return done
    if options.action == "create":
        registries_databricks.request_transition(attempt.connection, **_wanted(options))
        return _succeeded(attempt, f"{options.stage} was asked for")
    if options.action == "reject":
        registries_databricks.reject(attempt.connection, **_wanted(options))
        return _succeeded(attempt, f"the request for {options.stage} was rejected")
    if not _is_open(attempt):
        raise PermanentFailure(
            f"there is no open request to approve: {options.model} version {options.version} to {options.stage}"
        )
    registries_databricks.approve(attempt.connection, **_wanted(options))
    return _succeeded(attempt, f"the request for {options.stage} was approved")


def preview(attempt: Attempt) -> dict[str, Any]:
    """Return what is asked for, approved or rejected, unless there is nothing to be done."""
    options: Options = attempt.options
    request = f"{options.action} a transition request at {attempt.connection.url}, read first"
    return {"request": request, "body": _wanted(options)}


def _wanted(options: Options) -> dict[str, Any]:
    wanted = {"model": options.model, "version": options.version, "stage": options.stage, "comment": options.comment}
    archive = {"archive": options.archive_existing_versions} if options.action == "approve" else {}
    return {**wanted, **archive}


def probe(attempt: Attempt) -> Answer | None:
    """Tell whether nothing is left to be done."""
    options: Options = attempt.options
    stage = existing(attempt.connection, options.model, options.version).stage
    if options.action != "reject" and stage == options.stage:
        return _succeeded(attempt, f"it is in {stage}")
    if options.action == "create" and _is_open(attempt):
        return _succeeded(attempt, f"{options.stage} is asked for")
    if options.action == "reject" and not _is_open(attempt):
        return _succeeded(attempt, f"no request for {options.stage} is open")
    return None


def _is_open(attempt: Attempt) -> bool:
    options: Options = attempt.options
    found = open_requests(attempt.connection, options.model, options.version)
    return any(each.to_stage == options.stage for each in found)


def _succeeded(attempt: Attempt, how: str) -> Succeeded:
    options: Options = attempt.options
    where = f"{options.model} version {options.version}"
    return Succeeded(outcome=f"{where}: {how}", link=link(attempt.connection, options.model, options.version))
