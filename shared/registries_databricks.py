"""What only a Databricks workspace registry has: transition requests and comments.

Contract: ModelRegistryAPI of databricks-sdk. Each function raises a Failure; a PermanentFailure for another registry.
"""

from __future__ import annotations

from typing import Any

from shared.errors import PermanentFailure
from shared.registries import Registry
from shared.registries_rest import call


def request_transition(registry: Registry, model: str, version: str, stage: str, comment: str = "") -> None:
    """Ask for a stage."""
    _request(registry, "create", model, version, stage, comment)


def approve(registry: Registry, model: str, version: str, stage: str, archive: bool, comment: str = "") -> None:
    """Approve the open requests for a stage: the version is moved there, the others in it to Archived if `archive`."""
    _request(registry, "approve", model, version, stage, comment, archive_existing_versions=archive)


def reject(registry: Registry, model: str, version: str, stage: str, comment: str = "") -> None:
    """Reject the open requests for a stage."""
    _request(registry, "reject", model, version, stage, comment)


def comment(registry: Registry, model: str, version: str, text: str) -> str:
    """Comment on a version; return the comment's id, empty if the registry gave none."""
    body = _call(registry, "comments/create", {"name": model, "version": version, "comment": text})
    written = body.get("comment")
    return str(written.get("id", "")) if isinstance(written, dict) else ""


def needed(registry: Registry, what: str) -> None:
    """Raise PermanentFailure unless it is a Databricks workspace registry; `what` is wanted of it."""
    if registry.kind != "databricks":
        raise PermanentFailure(f"MLflow knows no {what}: only a Databricks workspace registry does")


def _request(registry: Registry, action: str, model: str, version: str, stage: str, comment: str, **more: bool) -> None:
    payload = {"name": model, "version": version, "stage": stage, "comment": comment, **more}
    _call(registry, f"transition-requests/{action}", payload)


def _call(registry: Registry, path: str, payload: dict[str, Any]) -> dict[str, Any]:
    needed(registry, "transition requests and comments")
    return call(registry, "POST", path, {key: value for key, value in payload.items() if value != ""})
