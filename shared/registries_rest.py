"""How registries are asked: one call and one question, for Databricks workspaces and MLflow servers alike."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from shared import rest
from shared.databricks import Workspace
from shared.errors import AmbiguousFailure, PermanentFailure, TransientFailure

if TYPE_CHECKING:
    from shared.registries import Registry

MLFLOW = "MLflow"
API = "/api/2.0/mlflow"
_ABSENT = "RESOURCE_DOES_NOT_EXIST"
_NO = (400, 404)


def call(registry: Registry, method: str, path: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Send a payload to the registry's API, return the JSON object that it answers. Raises a Failure."""
    if registry.kind == "databricks":  # its DELETE takes the fields as a query, MLflow's as a body
        fields: dict[str, Any] = {"params": payload} if method == "DELETE" else {"payload": payload}
        return _object(_workspace(registry).request(method, f"{API}/{path}", **fields), method)
    url = f"{registry.url}{API}/{path}"
    return _object(rest.request(method, url, MLFLOW, payload=payload, headers=headers(registry)).json(), method)


def read(registry: Registry, path: str, params: dict[str, str], key: str = "") -> dict[str, Any] | None:
    """Ask the registry's API; return the JSON object that it answers, or the one under `key` in it.

    None for what is not there. Raises a Failure.
    """
    found = _object(_answer(registry, path, params), "GET")
    if found.get("error_code") == _ABSENT:
        return None
    if "error_code" in found:
        raise PermanentFailure(f"the registry answered {found['error_code']}: {str(found.get('message', ''))[:500]}")
    return _object(found.get(key), "GET") if key else found


def headers(registry: Registry) -> dict[str, str]:
    """Return the headers that let us into an MLflow server."""
    credential = registry.credential
    if not credential:
        return {}
    if ":" in credential:
        return {"Authorization": f"Basic {base64.b64encode(credential.encode()).decode()}"}
    return {"Authorization": f"Bearer {credential}"}


def _answer(registry: Registry, path: str, params: dict[str, str]) -> Any:
    if registry.kind == "databricks":
        return _workspace(registry).request("GET", f"{API}/{path}", params=params, allowed=_NO)
    url = f"{registry.url}{API}/{path}"
    reply = rest.request("GET", url, MLFLOW, params=params, headers=headers(registry), allowed=_NO)
    if reply.status in _NO and not reply.text.startswith("{"):
        raise PermanentFailure(f"{MLFLOW} answered {reply.status}: is `tracking_uri` that of an MLflow server?")
    return reply.json()


def _workspace(registry: Registry) -> Workspace:
    return Workspace(registry.url, registry.credential)


def _object(body: Any, method: str) -> dict[str, Any]:
    if isinstance(body, dict):
        return body
    reason = "the registry's answer is not of the form that its API has"
    raise TransientFailure(reason) if method == "GET" else AmbiguousFailure(reason)
