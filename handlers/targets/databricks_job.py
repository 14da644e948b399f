"""Databricks job: starts a run; with `wait`, follows it to its result. Retraining is such a job, too.

The run is started with the step's key as `idempotency_token`: the same token gives the same run, so a step whose reply
was lost is simply started again. What a job tells of its own run does not start it again: that would go on for ever.
Contract: shared.databricks_runs, and jobs/get of the same API; the parameter `event_message` and its fields as
Databricks' own registry webhooks give them to a job.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec

from shared.attempts import Access, Answer, Attempt, Succeeded, Waiting
from shared.databricks import Workspace, require_workspace, workspace_at
from shared.databricks_runs import RUN_NOW, JobRun, read_run, run_payload, start_run
from shared.errors import PermanentFailure
from shared.findings import Finding, ok, warning
from shared.templates import Safe, harmless

_PLACEHOLDERS = {
    "event": "type",
    "event_timestamp": "timestamp",
    "model_name": "model",
    "version": "version",
    "to_stage": "to_stage",
    "from_stage": "from_stage",
    "alias": "alias",
    "comment": "comment",
    "text": "text",
    "told_by_job": "tags.job_id",
}
_EVENT_FIELDS = "{{" + ", ".join(f'"{key}": {{{name}}}' for key, name in _PLACEHOLDERS.items()) + "}}"
_DATABRICKS_NAMES = {
    "registered_model.created": "REGISTERED_MODEL_CREATED",
    "model_version.created": "MODEL_VERSION_CREATED",
    "model_version.stage_changed": "MODEL_VERSION_TRANSITIONED_STAGE",
    "model_version_tag.set": "MODEL_VERSION_TAG_SET",
    "transition_request.created": "TRANSITION_REQUEST_CREATED",
    "comment.created": "COMMENT_CREATED",
}


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`job` is the job's id; `parameters` are job parameters, or (`notebook`) those of its notebook task;
    `event_message` gives the event besides, as the JSON text that a job started by a registry webhook gets.
    `event_fields` is for the relay alone, which fills it in: each placeholder in it becomes a JSON string."""

    workspace: str
    job: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
    parameters: dict[str, str] = {}
    event_message: bool = False
    notebook: bool = False
    wait: bool = False
    wait_hours: Annotated[float, msgspec.Meta(gt=0, le=8784)] = 24.0
    pat_secret: str = ""
    event_fields: str = _EVENT_FIELDS

    def __post_init__(self) -> None:
        """Refuse an address that no token may go to, and a parameter that is given twice."""
        require_workspace(self.workspace)
        if self.event_message and "event_message" in self.parameters:
            raise ValueError("`event_message` is among `parameters` already: give one of the two")
        if self.event_fields != _EVENT_FIELDS and not _is_filled_in(self.event_fields):
            raise ValueError("`event_fields` is filled in by the relay: leave it out")


TEMPLATED: Mapping[str, Safe] = {"parameters": harmless, "event_fields": json.dumps}


def connect(options: Options, access: Access) -> Workspace:
    """Return the workspace, to be called as this app or with the personal access token.

    Raises PermanentFailure if the event is what this very job has told of itself.
    """
    event = json.loads(options.event_fields)
    if event["event"].startswith("job.") and event["told_by_job"] == str(options.job):
        raise PermanentFailure(f"job {options.job} itself has told of this: it would be started for ever")
    return workspace_at(options.workspace, access.optional_secret(options.pat_secret))


def examine(options: Options, access: Access) -> Iterator[Finding]:
    """Yield whether the job is there, and declares the parameters that the route gives."""
    workspace = workspace_at(options.workspace, access.optional_secret(options.pat_secret))
    found = workspace.request("GET", "/api/2.2/jobs/get", params={"job_id": str(options.job)})
    settings = found.get("settings") or {}
    declared = {each.get("name") for each in settings.get("parameters", ())}
    given = {*options.parameters, *(["event_message"] if options.event_message else [])}
    missing = sorted(given - declared) if not options.notebook else []
    if missing:
        advice = "declare them as job parameters, or set `notebook: true` if a notebook task reads them"
        yield warning("job", f"job {options.job} does not declare the parameters {', '.join(missing)}", advice)
    else:
        yield ok("job", f"job {options.job} ({settings.get('name')}) is there")


def start(attempt: Attempt) -> Answer:
    """Start the run, or find the one that an earlier attempt has started."""
    run = start_run(attempt.connection, _payload(attempt))
    if attempt.options.wait:
        return _under_way(run)
    return Succeeded(outcome=f"run {run.id} was started", ref=str(run.id), link=run.link)


def preview(attempt: Attempt) -> dict[str, Any]:
    """Return the request that starts the run."""
    return {"request": f"POST {attempt.options.workspace.rstrip('/')}{RUN_NOW}", "body": _payload(attempt)}


def _payload(attempt: Attempt) -> dict[str, Any]:
    options: Options = attempt.options
    return run_payload(options.job, attempt.key, _parameters(options), notebook=options.notebook)


def check(attempt: Attempt) -> Answer:
    """Return how the run stands. Raises PermanentFailure if it did not succeed or takes too long."""
    run = read_run(attempt.connection, attempt.progress["run"])
    if run.succeeded:
        return Succeeded(outcome=f"run {run.id} succeeded", ref=str(run.id), link=run.link)
    if attempt.has_taken(attempt.options.wait_hours):
        raise PermanentFailure(
            f"run {run.id} is still {run.state} after {attempt.options.wait_hours:g} h", link=run.link
        )
    return _under_way(run)


def _parameters(options: Options) -> dict[str, str]:
    if not options.event_message:
        return options.parameters
    fields: dict[str, str] = json.loads(options.event_fields)
    message: dict[str, Any] = {name: value for name, value in fields.items() if value and name != "told_by_job"}
    message["event"] = _DATABRICKS_NAMES.get(fields["event"], fields["event"])
    message["event_timestamp"] = int(fields["event_timestamp"])
    return {**options.parameters, "event_message": json.dumps(message)}


def _under_way(run: JobRun) -> Waiting:
    return Waiting(outcome=f"run {run.id} is under way", progress={"run": run.id}, link=run.link)


def _is_filled_in(text: str) -> bool:
    try:
        fields = json.loads(text)
    except ValueError:
        return False
    return isinstance(fields, dict) and fields.keys() == _PLACEHOLDERS.keys()
