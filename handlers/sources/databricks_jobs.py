"""Databricks job notifications: a job's run has started, succeeded or failed.

There is no signature: a notification destination sends a user and a password (HTTP Basic), so the secret holds
`user:password`, and who may be listening on the way could change the body. It bears neither an id nor a time either:
one run's start and one run's end are one event each, however often they are told, and nothing is too old. A run that is
repaired keeps its number: its second failure is not told apart from its first.
Contract: docs.databricks.com/aws/en/jobs/notifications (bodies of a job's and of a task's run). Not documented: whether
ids are numbers or texts; both are read.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence

import msgspec

from shared.deliveries import Delivery, SourceKind, required, shaped
from shared.errors import InvalidEvent
from shared.messages import Event, identify
from shared.signatures import is_same
from shared.strict_json import parse

_NAME = re.compile(r"jobs\.on_([a-z][a-z_]{0,79})")
_TYPES = {"start": "job.started", "success": "job.succeeded", "failure": "job.failed"}


class _Run(msgspec.Struct, frozen=True):
    run_id: str | int
    parent_run_id: str | int = ""


class _Job(msgspec.Struct, frozen=True):
    job_id: str | int
    name: str | None = None


class _Task(msgspec.Struct, frozen=True):
    task_key: str


class _Body(msgspec.Struct, frozen=True):
    event_type: str
    run: _Run
    job: _Job
    workspace_id: str | int = ""
    task: _Task | None = None


def _is_from_a_user(headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes]) -> bool:
    """Tell whether one of the secrets, `user:password`, is what the Authorization header bears."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    return scheme.lower() == "basic" and is_same(given, [base64.b64encode(secret) for secret in secrets])


def _read(source: str, headers: Mapping[str, str], body: bytes, now: float) -> Delivery:
    found = shaped(parse(body), _Body)
    run = required(str(found.run.run_id), "run.run_id", found.event_type)
    job = required(str(found.job.job_id), "job.job_id", found.event_type)
    meaning = {"model": found.job.name or f"job {job}", "version": run}
    type = _type(found)
    told = {
        "job_id": job,
        "run_id": run,
        "workspace_id": str(found.workspace_id),
        "parent_run_id": str(found.run.parent_run_id),
        "task_key": found.task.task_key if found.task else "",
    }
    event = Event(
        # by ids alone: a job may be renamed between two tellings
        id=identify(source, type, timestamp=run, detail=[job, str(found.workspace_id)]),
        source=source,
        type=type,
        delivery=hashlib.sha256(body).hexdigest()[:32],
        timestamp=int(now * 1000),
        received=now,
        tags={key: value for key, value in told.items() if value},
        payload=body.decode(),
        **meaning,
    )
    return Delivery(event=event, sent=None, test=False)


def _type(body: _Body) -> str:
    """Return the event type. What a task tells of itself is kept, but starts no route: its job tells of it too."""
    match = _NAME.fullmatch(body.event_type)
    if match is None:
        raise InvalidEvent("`event_type` is no notification of a job: `jobs.on_` and lower-case letters")
    type = _TYPES.get(match[1], f"job.{match[1]}")
    return f"job_task.{type.removeprefix('job.')}" if body.task else type


KIND = SourceKind(max_age=24 * 3600, is_signed=_is_from_a_user, read=_read)
