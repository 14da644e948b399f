"""Approval: the route waits until a person approves or rejects.

`by: link` (the default): with the link `{approval.link}` in a message of an earlier step. The page behind it asks once
more, so that a chat's preview of the link decides nothing. `by: transition_request`: in the registry, where a request
for the stage is opened unless one is; Databricks does not tell who approved it.
Asking changes nothing, so the step may be repeated; the decision is written once, under the step's key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec

from shared import approvals, registries_databricks
from shared.attempts import Access, Answer, Attempt, Caused, Succeeded, Waiting
from shared.errors import PermanentFailure
from shared.findings import Finding, defect, ok
from shared.registries import Registry, check_stage, existing, link, named, open_requests
from shared.settings import settings
from shared.templates import Safe

LOOK_AGAIN_SECONDS = 3600.0  # a decision by link wakes the step up; this is for a wake-up that was lost
ASK_AGAIN_SECONDS = 60.0  # of a registry, which wakes nobody up


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`approvers` are globs of account names; they need App Service authentication in front of the app.

    `expires_hours` after it was asked, the question counts as rejected. `stage`, `registry`, `model` and `version` are
    for `by: transition_request`.
    """

    by: Literal["link", "transition_request"] = "link"
    expires_hours: Annotated[float, msgspec.Meta(gt=0, le=720)] = 24.0
    approvers: list[str] = []
    stage: str = "{to_stage}"
    registry: str = ""
    model: str = "{model}"
    version: str = "{version}"
    comment: str = ""

    def __post_init__(self) -> None:
        """Refuse what does not go together."""
        if self.approvers and self.by != "link":
            raise ValueError("`approvers` goes with `by: link`: the registry has its own rights")
        if self.by == "transition_request":
            check_stage(self.stage)


TEMPLATED: Mapping[str, Safe] = {"model": str, "version": str, "stage": str, "comment": str}


def connect(options: Options, access: Access) -> Any:
    """Return the registry, or nothing where it is not asked. Raises PermanentFailure for one without requests."""
    if options.by == "link":
        return None
    registry = access.registry(options.registry)
    registries_databricks.needed(registry, "transition requests")
    for value in (options.model, options.version, options.stage):
        named(value)
    return registry


def causes(options: Options) -> list[Caused]:
    """The request that it opens in a registry."""
    if options.by == "link":
        return []
    return [Caused("transition_request.created", options.registry, options.model, options.version, options.stage)]


def examine(options: Options, _access: Access) -> Iterator[Finding]:
    """Yield whether the links can be made, and approvers be known."""
    if options.by == "link" and not settings().public_url:
        yield defect("link", "the app does not know its own URL, so no link can be made", "set PUBLIC_URL")
    if options.approvers and not settings().is_authenticated:
        advice = "set up App Service authentication, or leave out `approvers`"
        yield defect(
            "link", "`approvers` need App Service authentication in front of the app: nobody could approve", advice
        )
    elif options.by != "link" or settings().public_url:
        yield ok("link", "the question can be asked")


def start(attempt: Attempt) -> Answer:
    """Ask: open a request in the registry; by link, the message before has asked."""
    if attempt.options.by == "transition_request" and not _is_there(attempt) and not _is_open(attempt):
        registries_databricks.request_transition(attempt.connection, **_question(attempt.options))
    return check(attempt)


def preview(attempt: Attempt) -> dict[str, Any]:
    """Return what is asked for in the registry; by link, the message before has asked."""
    options: Options = attempt.options
    if options.by == "link":
        return {"request": f"none: waits up to {options.expires_hours:g} h for a decision by link"}
    where = attempt.connection.url
    return {"request": f"create a transition request at {where}, read first", "body": _question(options)}


def _question(options: Options) -> dict[str, str]:
    return {"model": options.model, "version": options.version, "stage": options.stage, "comment": options.comment}


def check(attempt: Attempt) -> Answer:
    """Return the decision. Raises PermanentFailure if it was rejected, or is overdue."""
    answer = _by_link(attempt) if attempt.options.by == "link" else _by_registry(attempt)
    if answer is not None:
        return answer
    now, until = datetime.now(UTC), expiry(attempt.started, attempt.options.expires_hours)
    if now >= until:
        raise PermanentFailure(f"nobody decided within {attempt.options.expires_hours:g} h")
    # a decision in the moment of asking may wake nobody up: so at first it is looked for soon
    most = LOOK_AGAIN_SECONDS if attempt.options.by == "link" else ASK_AGAIN_SECONDS
    seconds = min((now - attempt.started).total_seconds(), (until - now).total_seconds(), most)
    return Waiting(outcome=f"waits for approval until {until:%Y-%m-%d %H:%M} UTC", check_in=seconds)


def expiry(asked: datetime, hours: float) -> datetime:
    """Return the moment after which the question counts as rejected."""
    return asked + timedelta(hours=hours)


def _by_link(attempt: Attempt) -> Answer | None:
    made = approvals.decision(attempt.key)
    if made is None:
        return None
    if not made.approved:
        raise PermanentFailure(made.told())
    return Succeeded(outcome=made.told())


def _by_registry(attempt: Attempt) -> Answer | None:
    options: Options = attempt.options
    where = link(attempt.connection, options.model, options.version)
    if _is_there(attempt):
        return Succeeded(outcome=f"{options.model} {options.version} is in {options.stage}: approved", link=where)
    if not _is_open(attempt):
        raise PermanentFailure(
            f"the request for {options.stage} is closed, and the version is not there: rejected", where
        )
    return None


def _is_there(attempt: Attempt) -> bool:
    options: Options = attempt.options
    return existing(attempt.connection, options.model, options.version).stage == options.stage


def _is_open(attempt: Attempt) -> bool:
    options: Options = attempt.options
    registry: Registry = attempt.connection
    return any(request.to_stage == options.stage for request in open_requests(registry, options.model, options.version))
