"""Decisions of people: table `approvals`, one row for each step that waits for one, written once.

The link to a decision bears the event, the step and a signature over both with the ledger's own key, so that whoever
has not been sent it can't make one up. It is of use once: the first decision stands.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime

import msgspec

from shared import ledger, storage
from shared.errors import SettingError, UnknownStep
from shared.markers import sign
from shared.settings import settings
from shared.shapes import decoded
from shared.steps import Step, new_step
from shared.stories import Story

APPROVALS = "approvals"
_PURPOSE = "approval"


class Decision(msgspec.Struct, frozen=True):
    """What a person decided. `by` is a name: that of the account where `verified`, else the one they gave."""

    approved: bool
    by: str
    at: datetime
    comment: str = ""
    verified: bool = False

    def told(self) -> str:
        """Return the decision as a sentence."""
        word = "approved" if self.approved else "rejected"
        name = self.by if self.verified else f"{self.by} (name as given)"
        return f"{word} by {name} at {self.at:%Y-%m-%d %H:%M} UTC" + (f": {self.comment}" if self.comment else "")


def link(event_id: str, step_id: str) -> str:
    """Return the address at which a person decides on the step. Raises SettingError if the app's own is unknown."""
    base = settings().public_url
    if not base:
        raise SettingError("setting PUBLIC_URL is missing: give the app's own https:// URL, for links to approvals")
    return f"{base}/api/approvals/{link_key(event_id, step_id)}"


def link_key(event_id: str, step_id: str) -> str:
    """Return the last part of that address, which is the key to it."""
    return f"{event_id}.{_short(step_id)}.{_signature(event_id, step_id)}"


def read_link(token: str, now: datetime) -> tuple[Story, Step]:
    """Return what the last part of a link leads to. Raises UnknownStep for one that was not made here.

    A person may be quicker than the route, whose next step is written after the message was sent: then the step is
    returned as it will be.
    """
    event_id, short, signature = (*token.split("."), "", "", "")[:3]
    if token.count(".") != 2 or not hmac.compare_digest(signature.encode(), _signed(event_id, short).encode()):
        raise UnknownStep("this link was not made here")
    story = ledger.read(event_id)
    plans = [(route, plan) for route in story.routes.values() for plan in route.steps]
    planned = {step.id: step for step in (new_step(event_id, route, plan, now) for route, plan in plans)}
    return story, next(step for step in {**planned, **story.steps}.values() if _short(step.id) == short)


def decision(step_key: str) -> Decision | None:
    """Return what was decided on a step, by its key; None while nothing was."""
    rows = storage.rows(APPROVALS, "PartitionKey eq @key", {"key": step_key})
    return next((decoded(row["decision"], Decision) for row in rows), None)


def decide(step_key: str, made: Decision) -> Decision:
    """Write a decision unless there is one; return the one that stands."""
    from azure.core.exceptions import ResourceExistsError

    row = {
        "PartitionKey": step_key,
        "RowKey": "decision",
        "at": made.at,
        "decision": msgspec.json.encode(made).decode(),
    }
    try:
        storage.creating(APPROVALS, lambda: storage.table(APPROVALS).create_entity(row))
    except ResourceExistsError:
        return decision(step_key) or made
    return made


def _signature(event_id: str, step_id: str) -> str:
    return _signed(event_id, _short(step_id))


def _signed(event_id: str, short: str) -> str:
    return sign(f"{_PURPOSE}/{event_id}/{short}")[:40]


def _short(step_id: str) -> str:
    return hashlib.sha256(step_id.encode()).hexdigest()[:16]
