"""The door to Azure Machine Learning: what a workspace holds, and how online endpoints are asked and changed.

Contract: Microsoft.MachineLearningServices, api-version 2024-10-01 (endpoint and deployment bodies as in 2024-04-01):
PUT answers 200, or 201 with Azure-AsyncOperation; traffic is changed by a PUT of the whole endpoint only; DELETE
answers 202 with Location. A second operation on a busy endpoint is answered 409.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from shared import azure_resource_manager as arm
from shared import rest

API_VERSION = "2024-10-01"
STUDIO = "https://ml.azure.com"
UNDER_WAY = ("Creating", "Updating", "Scaling", "Deleting")
FAILED = ("Failed", "Canceled")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,254}")
_ASSET = re.compile(r"azureml:([^:/]+):([^:/]+)")
_READ_ONLY = ("provisioningState", "scoringUri", "swaggerUri", "keys")


@dataclass(frozen=True)
class Workspace:
    """A workspace by its names; paths are relative to it, such as `onlineEndpoints/wine`."""

    subscription: str
    resource_group: str
    name: str

    @property
    def id(self) -> str:
        """The workspace's ARM id."""
        group = f"/subscriptions/{self.subscription}/resourceGroups/{self.resource_group}"
        return f"{group}/providers/Microsoft.MachineLearningServices/workspaces/{self.name}"

    def asset_id(self, kind: str, reference: str) -> str:
        """Return the ARM id of `azureml:NAME:VERSION` among `models`, `environments`, `codes`; others as they are."""
        match = _ASSET.fullmatch(reference)
        return f"{self.id}/{kind}/{match[1]}/versions/{match[2]}" if match else reference

    def studio(self, endpoint: str) -> str:
        """Return the link to an endpoint's page."""
        return f"{STUDIO}/endpoints/realtime/{quote(endpoint)}/detail?wsid={quote(self.id)}"

    def get(self, path: str = "") -> dict[str, Any] | None:
        """Return a resource, None if there is none. Raises a Failure."""
        reply = arm.request("GET", self._url(path), API_VERSION, allowed=(404,))
        found: dict[str, Any] = reply.json() if reply.status != 404 else {}
        return found or None

    def put(self, path: str, body: Any) -> rest.Reply:
        """Put a resource; return the reply, also a 409. Raises a Failure."""
        return arm.request("PUT", self._url(path), API_VERSION, body, allowed=(409,))

    def delete(self, path: str) -> rest.Reply:
        """Delete a resource; return the reply, also a 409. Raises a Failure."""
        return arm.request("DELETE", self._url(path), API_VERSION, allowed=(404, 409))

    def post(self, path: str) -> Any:
        """Return what an action without a body, such as `onlineEndpoints/wine/listKeys`, answers. Raises a Failure."""
        return arm.request("POST", self._url(path), API_VERSION).json()

    def _url(self, path: str) -> str:
        return quote(f"{self.id}/{path}" if path else self.id)


def state(resource: Mapping[str, Any]) -> str:
    """Return how a resource stands: Succeeded, or one of UNDER_WAY or FAILED."""
    return str(properties(resource).get("provisioningState") or "Succeeded")


def properties(resource: Mapping[str, Any]) -> dict[str, Any]:
    """Return a resource's properties."""
    return dict(resource.get("properties") or {})


def tags(resource: Mapping[str, Any]) -> dict[str, str]:
    """Return a resource's tags."""
    return dict(resource.get("tags") or {})


def traffic(endpoint: Mapping[str, Any]) -> dict[str, int]:
    """Return which deployment has how many percent of an endpoint's requests."""
    return dict(properties(endpoint).get("traffic") or {})


def operation(reply: rest.Reply) -> str:
    """Return the URL at which to ask how the operation stands that a PUT or DELETE began, "" if none is told."""
    named = reply.headers.get("Azure-AsyncOperation") or reply.headers.get("Location")
    return named or (operation_of(reply.json()) if reply.text else "")


def operation_of(resource: Mapping[str, Any]) -> str:
    """Return the URL of a resource's newest operation, which the service keeps in its properties; "" without."""
    return str((properties(resource).get("properties") or {}).get("AzureAsyncOperationUri") or "")


def writable(endpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a PUT that leaves an endpoint as it is."""
    body = {name: endpoint[name] for name in ("location", "tags", "kind", "sku") if endpoint.get(name)}
    identity = endpoint.get("identity") or {}
    users = identity.get("userAssignedIdentities") or {}
    if identity:
        named: dict[str, Any] = {"userAssignedIdentities": {user: {} for user in users}} if users else {}
        body["identity"] = {"type": identity.get("type", "SystemAssigned"), **named}
    kept = {name: value for name, value in properties(endpoint).items() if name not in _READ_ONLY}
    return {**body, "properties": kept}


def shares(before: Mapping[str, int], name: str, percent: int) -> dict[str, int]:
    """Return the traffic that gives one deployment so many percent; the others keep their proportions.

    The sum is 100. A deployment that is alone gets all of it, or nothing: the service takes no other sum.
    """
    others = {other: share for other, share in before.items() if other != name}
    total = sum(others.values())
    if not total:
        return {**others, name: 100 if percent else 0}
    left = 100 - percent
    scaled = {other: share * left // total for other, share in others.items()}
    scaled[max(others, key=lambda other: others[other])] += left - sum(scaled.values())
    return {**scaled, name: percent}
