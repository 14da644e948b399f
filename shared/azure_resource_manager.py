"""The door to Azure Resource Manager: one authorised request, and how a long operation stands.

Contract: "Asynchronous Azure operations" (headers Azure-AsyncOperation, Location, Retry-After; Succeeded, Failed and
Canceled are final), and the specs of Microsoft.MachineLearningServices and Microsoft.ContainerService.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from shared import rest
from shared.errors import PermanentFailure
from shared.identity import token
from shared.settings import is_loopback, settings

SERVICE = "Azure"
PUBLIC = "https://management.azure.com"


def request(
    method: str,
    path: str,
    api_version: str,
    payload: Any = None,
    *,
    allowed: Collection[int] = (),
    passing: Collection[int] = (),
) -> rest.Reply:
    """Send a request as this app; `path` begins with `/subscriptions/`. Raises a Failure, as rest.request does."""
    url = f"{settings().azure_resource_manager_url}{path}"
    params = {"api-version": api_version}
    return rest.request(
        method, url, SERVICE, payload=payload, headers=_headers(), params=params, allowed=allowed, passing=passing
    )


def follow(url: str) -> rest.Reply:
    """GET the URL that Azure gave for a long operation: 202 or a JSON `status` that is not final while it goes on.

    Raises a Failure; a PermanentFailure for a URL of another host, which the token must not go to.
    """
    if not url.startswith(f"{settings().azure_resource_manager_url}/"):
        raise PermanentFailure(f"{SERVICE} named an operation on another host")
    return rest.request("GET", url, SERVICE, headers=_headers())


def _headers() -> dict[str, str]:
    base = settings().azure_resource_manager_url
    audience = PUBLIC if is_loopback(base) else base
    return {"Authorization": f"Bearer {token(f'{audience}/.default')}"}
