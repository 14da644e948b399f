"""What a rollout puts into Azure ML: endpoints and deployments, with the tags by which they are known again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from handlers.azure_ml.options import Options
from shared import azure_ml
from shared.attempts import Attempt

MARKER, EVENT, TIME = "relay-marker", "relay-event", "relay-event-time"
MAX_TAG = 256


def marked(attempt: Attempt) -> dict[str, str]:
    """Return the tags of what this attempt makes: whose it is, and what it was made of."""
    options: Options = attempt.options
    told = {"source": options.source, "model": options.source_model, "version": options.version}
    return {
        MARKER: attempt.marker,
        **dated(options),
        **{f"relay-{name}": value[:MAX_TAG] for name, value in told.items()},
    }


def dated(options: Options) -> dict[str, str]:
    """Return the tags of an endpoint: which event has changed it last, and of when that is."""
    return {EVENT: options.event, TIME: options.event_time}


def mark(resource: Mapping[str, Any]) -> int:
    """Return the time of the event that a deployment is of, in milliseconds; 0 if it bears none."""
    text = azure_ml.tags(resource).get(TIME, "")
    return int(text) if text.isascii() and text.isdigit() else 0


def new_endpoint(options: Options, location: str, compute: str) -> dict[str, Any]:
    """Return the body of an endpoint that is not there yet; `compute` is an ARM id, or empty."""
    return {
        "location": location,
        "identity": {"type": "SystemAssigned"},
        "tags": dated(options),
        "properties": {"authMode": options.auth_mode, **({"compute": compute} if compute else {})},
    }


def taken_over(options: Options, endpoint: Mapping[str, Any], compute: str) -> dict[str, Any]:
    """Return the body of an endpoint as it is, but for the event's tags and, if it has none, its compute."""
    body = azure_ml.writable(endpoint)
    body["tags"] = {**azure_ml.tags(endpoint), **dated(options)}
    if compute:
        body["properties"]["compute"] = compute
    return body


def shifted(options: Options, endpoint: Mapping[str, Any], name: str, percent: int) -> dict[str, Any]:
    """Return the body of an endpoint as it is, but for the event's tags and its traffic.

    A deployment has live or mirrored traffic.
    """
    body = azure_ml.writable(endpoint)
    body["tags"] = {**azure_ml.tags(endpoint), **dated(options)}
    body["properties"]["traffic"] = azure_ml.shares(azure_ml.traffic(endpoint), name, percent)
    mirrored = body["properties"].get("mirrorTraffic") or {}
    if name in mirrored:
        body["properties"]["mirrorTraffic"] = {other: share for other, share in mirrored.items() if other != name}
    return body


def new_deployment(attempt: Attempt, model: str, location: str) -> dict[str, Any]:
    """Return the body of a deployment of a model version, given by its ARM id."""
    options: Options = attempt.options
    workspace: azure_ml.Workspace = attempt.connection
    wanted: dict[str, Any] = {
        "endpointComputeType": options.compute_type,
        "model": model,
        "instanceType": options.instance_type,
        "environmentId": workspace.asset_id("environments", options.environment),
        "environmentVariables": options.environment_variables,
        "requestSettings": options.request_settings,
        "scaleSettings": options.scale_settings or {"scaleType": "Default"},
    }
    if options.code:
        code = workspace.asset_id("codes", options.code.id)
        wanted["codeConfiguration"] = {"codeId": code, "scoringScript": options.code.scoring_script}
    return {
        "location": location,
        "sku": {"name": "Default", "capacity": options.instance_count},
        "tags": marked(attempt),
        "properties": {name: value for name, value in wanted.items() if value},
    }
