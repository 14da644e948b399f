"""Sample bodies of every event that Databricks and MLflow send, as of now, about a model of your choice.

Databricks: docs.databricks.com/aws/en/mlflow/model-registry-webhooks shows the bodies of three events; the others are
made alike, so their fields are likely, not documented. Job notifications: …/aws/en/jobs/notifications.
MLflow: mlflow/webhooks/types.py of MLflow 3.17.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

STAGES = {"STAGING": "Staging", "PRODUCTION": "Production", "ARCHIVED": "Archived"}
WEBHOOK = "c5596721253c4b429368cf6f4341b88a"


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """What a sample tells of."""

    model: str = "wine_quality"
    version: str = "1"
    from_stage: str = "Staging"
    to_stage: str = "Production"
    alias: str = "champion"
    tag: tuple[str, str] = ("validation_status", "approved")
    comment: str = "A comment by a sample."


def databricks_stage_change(model: str, version: str, to_stage: str, from_stage: str = "Staging") -> dict[str, Any]:
    """Return the body of a stage change that happens now, in the form Databricks documents."""
    text = f"Registered model '{model}' version {version} transitioned from {from_stage} to {to_stage}."
    more = {"to_stage": to_stage, "from_stage": from_stage, "text": text}
    return {**_databricks("MODEL_VERSION_TRANSITIONED_STAGE", model), "version": version, **more}


def databricks_comment(model: str, comment: str, version: str = "1") -> dict[str, Any]:
    """Return the body of a comment that is made now."""
    text = f"A user commented on registered model '{model}' version {version}."
    return {**_databricks("COMMENT_CREATED", model), "version": version, "comment": comment, "text": text}


def databricks_job_notification(what: str, run: int, job: int, name: str) -> dict[str, Any]:
    """Return the body that tells of a job's run, in the form Databricks documents; `what` is start, success, …"""
    return {
        "event_type": f"jobs.on_{what}",
        "workspace_id": 7405616424934601,
        "run": {"run_id": run},
        "job": {"job_id": job, "name": name},
    }


def mlflow_body(entity: str, action: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return the body of an act that happens now, in the form MLflow sends."""
    return {"entity": entity, "action": action, "timestamp": datetime.now(UTC).isoformat(), "data": data}


def body_of(name: str, act: Act) -> dict[str, Any]:
    """Return the body of the event. Raises KeyError for a name that is not in EVENTS."""
    return EVENTS[name][1](act)


def _databricks(event: str, model: str) -> dict[str, Any]:
    now = int(time.time() * 1000)
    return {"event": event, "webhook_id": WEBHOOK, "event_timestamp": now, "model_name": model}


def _staged(event: str, to_stage: str = "") -> Callable[[Act], dict[str, Any]]:
    def body(act: Act) -> dict[str, Any]:
        to = to_stage or act.to_stage
        if event.startswith("MODEL_VERSION"):
            return {**databricks_stage_change(act.model, act.version, to, act.from_stage), "event": event}
        text = f"A transition request was created for registered model '{act.model}' version {act.version} to {to}."
        return {**_databricks(event, act.model), "version": act.version, "to_stage": to, "text": text}

    return body


def _created(event: str, versioned: bool) -> Callable[[Act], dict[str, Any]]:
    def body(act: Act) -> dict[str, Any]:
        version = {"version": act.version} if versioned else {}
        of = f" version {act.version}" if versioned else ""
        return {**_databricks(event, act.model), **version, "text": f"Registered model '{act.model}'{of} was created."}

    return body


def _tagged(act: Act) -> dict[str, Any]:
    key, value = act.tag
    text = f"A user set version tag(s) '{key}' => '{value}' for registered model '{act.model}' version {act.version}."
    tags = {"tags": [{"key": key, "value": value}], "text": text}
    return {**_databricks("MODEL_VERSION_TAG_SET", act.model), "version": act.version, **tags}


def _commented(act: Act) -> dict[str, Any]:
    return databricks_comment(act.model, act.comment, act.version)


def _job(what: str) -> Callable[[Act], dict[str, Any]]:
    # the time as the run's number: each sample is an event of its own
    return lambda act: databricks_job_notification(what, int(time.time() * 1000), 77, act.model)


def _mlflow(type: str, *fields: str) -> Callable[[Act], dict[str, Any]]:
    entity, action = type.split(".")
    return lambda act: mlflow_body(entity, action, {field: _field(field, act) for field in fields})


def _field(field: str, act: Act) -> Any:
    return {
        "name": act.model,
        "version": act.version,
        "alias": act.alias,
        "key": act.tag[0],
        "value": act.tag[1],
        "tags": dict([act.tag]),
        "description": act.comment,
        "source": f"mlflow-artifacts:/1/{'ab' * 16}/artifacts/model",
        "run_id": "ab" * 16,
        "template": "Hello {{name}}!",
    }[field]


def _budget(_act: Act) -> dict[str, Any]:
    data = {"budget_policy_id": "bp-sample", "budget_unit": "USD", "budget_amount": 100.0, "current_spend": 105.5}
    window = {"duration_unit": "MONTHS", "duration_value": 1, "window_start": int(time.time() * 1000)}
    target = {"target_scope": "ENDPOINT", "workspace": "default", "target_value": "ep-sample"}
    return mlflow_body("budget_policy", "exceeded", {**data, **window, **target})


_DATABRICKS: dict[str, Callable[[Act], dict[str, Any]]] = {
    "REGISTERED_MODEL_CREATED": _created("REGISTERED_MODEL_CREATED", versioned=False),
    "MODEL_VERSION_CREATED": _created("MODEL_VERSION_CREATED", versioned=True),
    "MODEL_VERSION_TRANSITIONED_STAGE": _staged("MODEL_VERSION_TRANSITIONED_STAGE"),
    "MODEL_VERSION_TAG_SET": _tagged,
    "COMMENT_CREATED": _commented,
    "TRANSITION_REQUEST_CREATED": _staged("TRANSITION_REQUEST_CREATED"),
}
for _key, _stage in STAGES.items():
    for _event in (f"MODEL_VERSION_TRANSITIONED_TO_{_key}", f"TRANSITION_REQUEST_TO_{_key}_CREATED"):
        _DATABRICKS[_event] = _staged(_event, _stage)

_MLFLOW = {
    "registered_model.created": ("name", "tags", "description"),
    "model_version.created": ("name", "version", "source", "run_id", "tags", "description"),
    "model_version_tag.set": ("name", "version", "key", "value"),
    "model_version_tag.deleted": ("name", "version", "key"),
    "model_version_alias.created": ("name", "alias", "version"),
    "model_version_alias.deleted": ("name", "alias"),
    "prompt.created": ("name", "tags", "description"),
    "prompt_version.created": ("name", "version", "template", "tags", "description"),
    "prompt_tag.set": ("name", "key", "value"),
    "prompt_tag.deleted": ("name", "key"),
    "prompt_version_tag.set": ("name", "version", "key", "value"),
    "prompt_version_tag.deleted": ("name", "version", "key"),
    "prompt_alias.created": ("name", "alias", "version"),
    "prompt_alias.deleted": ("name", "alias"),
}

EVENTS: dict[str, tuple[str, Callable[[Act], dict[str, Any]]]] = {
    **{name: ("databricks", body) for name, body in _DATABRICKS.items()},
    **{name: ("mlflow", _mlflow(name, *fields)) for name, fields in _MLFLOW.items()},
    "budget_policy.exceeded": ("mlflow", _budget),
    **{f"jobs.on_{what}": ("databricks_jobs", _job(what)) for what in ("start", "success", "failure")},
}
"""Each event by the name that its sender gives it, with the kind of source that sends it and what makes its body."""
