"""The door to Azure Resource Manager: one authorised request, and how a long operation stands.

Contract: "Asynchronous Azure operations" (headers Azure-AsyncOperation, Location, Retry-After; Succeeded, Failed and
Canceled are final), and the specs of Microsoft.MachineLearningServices and Microsoft.ContainerService.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from shared import rest
from shared.errors import PermanentFailure
from shared.identity import token
from shared.settings import is_loopback, settings

SERVICE = "Azure"
PUBLIC = "https://management.azure.com"
MAX_ERROR = 800


@dataclass(frozen=True)
class Standing:
    """How a long operation stands. `error` is the service's code and message, `check_in` when it wants to be asked."""

    is_over: bool
    error: str = ""
    check_in: float = 0.0


def mistakes_of_place(subscription: str, resource_group: str) -> Iterator[tuple[bool, str]]:
    """Yield what could be wrong with where a resource is: whether it is, and the sentence for it."""
    yield not re.fullmatch(r"[0-9A-Fa-f-]{36}", subscription), "`subscription` is an id of 36 characters"
    yield not re.fullmatch(r"[\w().-]{1,90}", resource_group), "`resource_group` is no name of one"


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


def follow(url: str, *, allowed: Collection[int] = ()) -> rest.Reply:
    """GET the URL that Azure gave for a long operation: 202 or a JSON `status` that is not final while it goes on.

    Raises a Failure; a PermanentFailure for a URL of another host, which the token must not go to.
    """
    if not url.startswith(f"{settings().azure_resource_manager_url}/"):
        raise PermanentFailure(f"{SERVICE} named an operation on another host")
    return rest.request("GET", url, SERVICE, headers=_headers(), allowed=allowed)


def standing(url: str) -> Standing:
    """Return how the operation of an Azure-AsyncOperation or Location URL stands. Raises a Failure, as `follow` does.

    An operation that Azure has forgotten is over: how it ended is to be seen at the resource itself.
    """
    reply = follow(url, allowed=(404,))
    check_in = rest.retry_after(reply.headers)
    if reply.status == 202:
        return Standing(is_over=False, check_in=check_in)
    body = reply.json() if reply.status == 200 and reply.text else {}
    status = body.get("status", "Succeeded") if isinstance(body, dict) else "Succeeded"
    if status in ("Failed", "Canceled"):
        return Standing(is_over=True, error=error_of(body) or status)
    return Standing(is_over=status == "Succeeded", check_in=check_in)


def error_of(body: Any) -> str:
    """Return code and message of an error body, with those of its details; an empty text if there is none."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return ""
    details = error.get("details")
    parts = [error, *(detail for detail in (details if isinstance(details, list) else []) if isinstance(detail, dict))]
    told = [f"{part.get('code')}: {' '.join(str(part.get('message') or '').split())}" for part in parts]
    return "; ".join(dict.fromkeys(told))[:MAX_ERROR]


def _headers() -> dict[str, str]:
    base = settings().azure_resource_manager_url
    audience = PUBLIC if is_loopback(base) else base
    return {"Authorization": f"Bearer {token(f'{audience}/.default')}"}
