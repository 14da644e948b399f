"""What all APIs of a Databricks workspace have in common on the wire: error bodies, fields, who may call.

By documentation: `{error_code, message}` and the codes used here. Assumed: 401 without and 403 with a wrong token, and
the wording of messages.
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from local.databricks_sending import Sending
from local.faults import Faults
from local.identity import Identity

DATABRICKS_AUDIENCE = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d"
APP_USER = "registry-relay"
PAT_USER = "pat-owner@example.com"


class RefusedError(Exception):
    """An answer other than the one wished for, raised by a handler and turned into the error body."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message

    @property
    def response(self) -> web.Response:
        """The reply, in the form that all of Databricks shares."""
        return web.json_response(error_body(self.code, self.message), status=self.status)


def error_body(code: str, message: str) -> dict[str, str]:
    """The body of an error, also for `faults.add(..., status=..., body=error_body(...))`."""
    return {"error_code": code, "message": message}


def invalid(message: str) -> RefusedError:
    """400: the request makes no sense to the service."""
    return RefusedError(400, "INVALID_PARAMETER_VALUE", message)


def missing(message: str) -> RefusedError:
    """404: there is no such thing."""
    return RefusedError(404, "RESOURCE_DOES_NOT_EXIST", message)


def denied(message: str) -> RefusedError:
    """403: whoever calls may not do this."""
    return RefusedError(403, "PERMISSION_DENIED", message)


async def fields_of(request: web.Request) -> dict[str, Any]:
    """The fields of a call, of its query and of its JSON object alike: clients differ, above all in a DELETE."""
    raw = await request.read()
    try:
        body = json.loads(raw) if raw else {}
    except ValueError as reason:
        raise RefusedError(400, "MALFORMED_REQUEST", "The request body is not valid JSON.") from reason
    if not isinstance(body, dict):
        raise RefusedError(400, "MALFORMED_REQUEST", "The request body is not a JSON object.")
    return {**request.query, **body}


def text_of(fields: dict[str, Any], name: str) -> str:
    """A field that has to be there as text; a number counts, as in any protocol buffer read from JSON."""
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise invalid(f"Missing value for required parameter '{name}'.")
    return str(value)


def flag_of(fields: dict[str, Any], name: str) -> bool:
    """A field that is true or false, false if it is not given."""
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise invalid(f"Parameter '{name}' has to be a boolean.")
    return value


class DatabricksBase(Sending):
    """A workspace, and who may call it."""

    def __init__(self, identity: Identity, faults: Faults | None = None) -> None:
        super().__init__(faults)
        self.identity = identity
        self.pats: set[str] = set()

    def now(self) -> int:
        """The time in milliseconds, as all of Databricks counts it."""
        return int(self.clock() * 1000)

    def user_of(self, request: web.Request) -> str:
        """Whom a caller is known as: the owner of a personal access token, or the app's identity."""
        return PAT_USER if _bearer(request) in self.pats else APP_USER

    def middlewares(self) -> list[Any]:
        """Authentication, and refusals turned into replies."""
        return [self._answer]

    @web.middleware
    async def _answer(self, request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            if request.path.startswith("/api/"):  # the pages that people open need no token here
                self._require_caller(request)
            response: web.StreamResponse = await handler(request)
            return response
        except RefusedError as refusal:
            return refusal.response

    def _require_caller(self, request: web.Request) -> None:
        authorization = request.headers.get("Authorization", "")
        if not authorization:
            raise RefusedError(401, "UNAUTHENTICATED", "Credential was not sent or is of an unsupported type.")
        if _bearer(request) in self.pats or self.identity.accepts(authorization, DATABRICKS_AUDIENCE):
            return
        raise RefusedError(403, "PERMISSION_DENIED", "Invalid access token.")


def _bearer(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else ""
