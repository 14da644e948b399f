"""Stand-in for Azure Resource Manager: one server for management.azure.com, on which providers are mounted.

Who may call, which resource groups exist, and long operations are here; what a provider answers is its own part.
Sources: "Track asynchronous Azure operations" (headers, states, 202 of a Location), the common types v3 of the specs
(ErrorResponse). Assumed: the wording of messages.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from aiohttp import web

from local.faults import Faults
from local.identity import Identity
from local.serving import StandIn

AUDIENCE = "https://management.azure.com"
_RESOURCE_GROUP = re.compile(r"/subscriptions/([^/]+)/resourceGroups/([^/]+)/")
_API_VERSION = re.compile(r"\d{4}-\d\d-\d\d(-preview)?")

State = Literal["InProgress", "Succeeded", "Failed", "Canceled"]


class RefusedError(Exception):
    """An answer other than the one wished for, raised by a handler and turned into the error body."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers or {}

    @property
    def response(self) -> web.Response:
        """The reply, in the form that all of Azure Resource Manager shares."""
        return web.json_response(error_body(self.code, self.message), status=self.status, headers=self.headers)


def error_body(code: str, message: str) -> dict[str, Any]:
    """The body of an error, also for `faults.add(..., status=..., body=error_body(...))`."""
    return {"error": {"code": code, "message": message}}


async def body_of(request: web.Request) -> dict[str, Any]:
    """The JSON object that was sent. Raises RefusedError for anything else."""
    try:
        body = json.loads(await request.read())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise RefusedError(400, "InvalidRequestContent", "The request content was invalid: a JSON object is required.")
    return body


class Part(Protocol):
    """What is mounted: a resource provider."""

    def routes(self) -> list[web.RouteDef]:
        """What it answers, each path whole. Only paths under `/subscriptions/` need a token of Resource Manager."""


@dataclass
class Operation:
    """A long operation. `finish` is called once, when `ends` has come; it may raise RefusedError: it has failed then.

    What it returns is the body that the Location URL answers in the end.
    """

    base: str
    ends: float
    finish: Callable[[], Any]
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: State = "InProgress"
    result: Any = None
    error: dict[str, Any] | None = None

    @property
    def status_url(self) -> str:
        """For the header Azure-AsyncOperation: answers 200 with a `status` always."""
        return f"{self.base}/operationsStatus/{self.id}?api-version=2024-10-01"

    @property
    def location(self) -> str:
        """For the header Location: answers 202 until it is over, then as the request itself would have."""
        return f"{self.base}/operationResults/{self.id}?api-version=2024-10-01"

    def settle(self) -> None:
        """End it as it was meant to end."""
        try:
            self.result, self.status = self.finish(), "Succeeded"
        except RefusedError as refusal:
            self.error, self.status = error_body(refusal.code, refusal.message)["error"], "Failed"


class AzureResourceManager(StandIn):
    """Resource groups, and the operations under way. `mount` a provider before it starts.

    A group exists once `add_group` has named it. Operations end by the clock, seen at the next request.
    """

    def __init__(self, identity: Identity, faults: Faults | None = None) -> None:
        super().__init__(faults)
        self.identity = identity
        self.operations: dict[str, Operation] = {}
        self._groups: set[tuple[str, str]] = set()
        self._parts: list[Part] = []

    def mount(self, part: Part) -> None:
        """Let a provider answer here, too."""
        self._parts.append(part)

    def add_group(self, subscription: str, group: str) -> None:
        """Make a resource group exist. Case does not matter."""
        self._groups.add((subscription.lower(), group.lower()))

    def begin(
        self, subscription: str, provider: str, location: str, seconds: float, finish: Callable[[], Any]
    ) -> Operation:
        """Begin an operation of so many seconds; return the Operation, whose URLs go into the reply's headers."""
        base = f"{self.url}/subscriptions/{subscription}/providers/{provider}/locations/{location}"
        operation = Operation(base, self.clock() + seconds, finish)
        self.operations[operation.id] = operation
        return operation

    def settle(self) -> None:
        """End the operations whose time has come. Each request does so first."""
        for operation in list(self.operations.values()):
            if operation.status == "InProgress" and operation.ends <= self.clock():
                operation.settle()

    def routes(self) -> list[web.RouteDef]:
        """How operations stand, and what the providers answer."""
        base = "/subscriptions/{subscription}/providers/{provider}/locations/{location}"
        mounted = [route for part in self._parts for route in part.routes()]
        return [
            web.get(base + "/operationsStatus/{id}", self._status),
            web.get(base + "/operationResults/{id}", self._result),
            *mounted,
        ]

    def middlewares(self) -> list[Any]:
        """Authentication, and refusals turned into replies."""
        return [self._answer]

    @web.middleware
    async def _answer(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.settle()
        try:
            if request.path.startswith("/subscriptions/"):
                self._require_token(request)
                _require_version(request)
                self._require_group(request)
            response: web.StreamResponse = await handler(request)
            return response
        except RefusedError as refusal:
            return refusal.response

    def _require_token(self, request: web.Request) -> None:
        authorization = request.headers.get("Authorization", "")
        if not authorization:
            raise _unauthorized("AuthenticationFailed", "The 'Authorization' header is missing.")
        if not self.identity.accepts(authorization, AUDIENCE):
            raise _unauthorized("InvalidAuthenticationToken", "The access token is invalid, expired or not for us.")

    def _require_group(self, request: web.Request) -> None:
        named = _RESOURCE_GROUP.match(request.path)
        if named is None:
            return
        subscription, group = named.groups()
        if not any(known == subscription.lower() for known, _ in self._groups):
            message = f"The subscription '{subscription}' could not be found."
            raise RefusedError(404, "SubscriptionNotFound", message)
        if (subscription.lower(), group.lower()) not in self._groups:
            raise RefusedError(404, "ResourceGroupNotFound", f"Resource group '{group}' could not be found.")

    def _operation(self, request: web.Request) -> Operation:
        operation = self.operations.get(request.match_info["id"])
        if operation is None:
            raise RefusedError(404, "OperationNotFound", "The operation could not be found.")
        return operation

    async def _status(self, request: web.Request) -> web.Response:
        operation = self._operation(request)
        body: dict[str, Any] = {"name": operation.id, "status": operation.status}
        if operation.error:
            body["error"] = operation.error
        return web.json_response(body)

    async def _result(self, request: web.Request) -> web.Response:
        operation = self._operation(request)
        if operation.status == "InProgress":
            return web.Response(status=202, headers={"Location": operation.location})
        if operation.error:
            raise RefusedError(409, operation.error["code"], operation.error["message"])
        return web.Response(status=204) if operation.result is None else web.json_response(operation.result)


def _unauthorized(code: str, message: str) -> RefusedError:
    challenge = 'Bearer authorization_uri="https://login.microsoftonline.com/common", error="invalid_token"'
    return RefusedError(401, code, f"Authentication failed. {message}", {"WWW-Authenticate": challenge})


def _require_version(request: web.Request) -> None:
    version = request.query.get("api-version", "")
    if not version:
        message = "The api-version query parameter (?api-version=) is required for all requests."
        raise RefusedError(400, "MissingApiVersionParameter", message)
    if not _API_VERSION.fullmatch(version):
        raise RefusedError(400, "InvalidApiVersionParameter", f"The api-version '{version}' is invalid.")
