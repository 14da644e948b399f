"""The moments at which a worker may be hit, known by the request that it sends."""

from __future__ import annotations

import re
from collections.abc import Callable

Window = Callable[[str, str, bytes], str]
"""Name the moment of a request by its method, its path with query, and its body; "" for one of no interest."""

_STATE = re.compile(rb'"state": ?"(\w+)"')
_PROGRESS = re.compile(rb'"progress": ?"(?!\{\}")')
_QUEUES = {"events": "event queued", "steps": "pointer queued"}
_QUEUED = re.compile(r"/(events|steps)/messages(?:\?|$)")
_WRITTEN = re.compile(r"POST /.*/(\$batch|steps)$|PUT /.*/steps\(")  # several rows, or one alone
_TAKEN = re.compile(r"/(events|steps)/messages/[^?]+\?popreceipt")

STORAGE = (
    "event queued",
    "event opened",
    "event recorded",
    "pointer queued",
    "claim",
    "draft recorded",
    "outcome",
    "doubt",
    "put off",
    "message deleted",
    "event closed",
)
TARGETS = (
    "draft created",
    "draft activated",
    "run started",
    "target listed",
    "job started",
    "model registered",
    "endpoint put",
    "deployment put",
)
ASKED = ("job asked", "endpoint asked", "deployment asked")
_MODEL = re.compile(r"/models/[^/]+/versions/[^/]+$")
_ENDPOINTS = re.compile(r"/onlineendpoints/[^/]+(/deployments/[^/]+)?$")
_STATES = {
    "running": "claim",
    "in_doubt": "doubt",
    "retry": "put off",
    "waiting": "put off",
    "succeeded": "outcome",
    "dead": "outcome",
    "parked": "outcome",
}


def storage_window(method: str, path: str, body: bytes) -> str:
    """Name the moment of a request to the storage account."""
    if _WRITTEN.match(f"{method} {path}"):
        return _written(body)
    if method == "POST" and (queued := _QUEUED.search(path)):
        return _QUEUES[queued[1]]
    if method == "DELETE" and _TAKEN.search(path):
        return "message deleted"
    if "/open(" in path and method in ("PATCH", "PUT", "MERGE", "DELETE"):
        return "event closed" if method == "DELETE" else "event opened"
    return ""


def _written(body: bytes) -> str:
    if b'"RowKey": "event"' in body or b'"RowKey":"event"' in body:
        return "event recorded"
    state = _STATE.search(body)  # of several rows the step itself comes first
    if state is None:
        return ""
    if state[1] in (b"running", b"in_doubt") and _PROGRESS.search(body):
        return "draft recorded"  # or taken up again
    return _STATES.get(state[1].decode(), "")


def target_window(method: str, path: str, body: bytes) -> str:
    """Name the moment of a request to Azure DevOps."""
    place = path.partition("?")[0].lower()
    if method == "POST" and place.endswith("/_apis/release/releases"):
        return "draft created"
    if method == "PATCH" and "/_apis/release/releases/" in place:
        return "draft activated" if b'"active"' in body else ""
    if place.endswith("/runs"):
        return "run started" if method == "POST" else "target listed"
    return "target listed" if method == "GET" and place.endswith("/_apis/release/releases") else ""


def databricks_window(method: str, path: str, _body: bytes) -> str:
    """Name the moment of a request to Databricks."""
    place = path.partition("?")[0]
    if method == "POST" and place.endswith("/jobs/run-now"):
        return "job started"
    return "job asked" if method == "GET" and place.endswith("/jobs/runs/get") else ""


def arm_window(method: str, path: str, _body: bytes) -> str:
    """Name the moment of a request to Azure Resource Manager."""
    place = path.partition("?")[0].lower()
    if method == "PUT" and _MODEL.search(place):
        return "model registered"
    found = _ENDPOINTS.search(place)
    if found is None or method not in ("GET", "PUT"):
        return ""
    return f"{'deployment' if found[1] else 'endpoint'} {'put' if method == 'PUT' else 'asked'}"
