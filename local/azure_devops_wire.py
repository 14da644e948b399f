"""What all Azure DevOps APIs have in common on the wire: error bodies, collections, times, who may call.

Confirmed by the specs: paths, fields, enums. By documentation: the error body, the sign-in page in the place
of a 401. Assumed: what a comment here says is assumed, and the wording of messages.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import quote

from aiohttp import web

from local.faults import Faults
from local.identity import AZURE_DEVOPS_AUDIENCE, Identity
from local.serving import StandIn

SIGN_IN_PAGE = (
    "<!DOCTYPE html>\n<html><head><title>Azure DevOps Services | Sign In</title></head>"
    "<body>Sign in to your account</body></html>"
)


class RefusedError(Exception):
    """An answer other than the one wished for, raised by a handler and turned into the error body."""

    def __init__(self, status: int, type_key: str, message: str) -> None:
        super().__init__(message)
        self.status, self.type_key, self.message = status, type_key, message

    @property
    def response(self) -> web.Response:
        """The reply, in the form that all services of Azure DevOps share."""
        return web.json_response(error_body(self.type_key, self.message), status=self.status)


def error_body(type_key: str, message: str) -> dict[str, Any]:
    """The body of an error, also for `faults.add(..., status=..., body=error_body(...))`."""
    return {
        "$id": "1",
        "innerException": None,
        "message": message,
        "typeName": f"Microsoft.VisualStudio.Services.{type_key}, Microsoft.VisualStudio.Services.WebApi",
        "typeKey": type_key,
        "errorCode": 0,
        "eventId": 3000,
    }


def invalid(message: str) -> RefusedError:
    """400: the request makes no sense to the service."""
    return RefusedError(400, "InvalidRequestException", message)


def collection(items: Iterable[Any], headers: dict[str, str] | None = None) -> web.Response:
    """A list, wrapped as Azure DevOps does."""
    value = list(items)
    return web.json_response({"count": len(value), "value": value}, headers=headers)


def timestamp(seconds: float | None) -> str | None:
    """Epoch seconds as the services write a time: UTC, milliseconds, a Z."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment(text: str) -> float:
    """A time out of a query string, as epoch seconds."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as reason:
        raise invalid(f"The value '{text}' is not a valid time.") from reason
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def listed(text: str | None) -> list[str]:
    """The parts of a comma-delimited query value."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]


async def json_of(request: web.Request) -> Any:
    """The JSON that was sent."""
    try:
        return json.loads(await request.read())
    except ValueError as reason:
        raise invalid("The request body is not valid JSON.") from reason


async def body_of(request: web.Request) -> dict[str, Any]:
    """The JSON object that was sent."""
    body = await json_of(request)
    if not isinstance(body, dict):
        raise invalid("Value cannot be null. Parameter name: body")
    return body


def page(title: str, rows: dict[str, object]) -> web.Response:
    """A small page, so that a link in a message can be opened."""
    cells = "".join(f"<tr><th>{html.escape(k)}</th><td>{html.escape(str(v))}</td></tr>" for k, v in rows.items())
    name = html.escape(title)
    text = f"<!DOCTYPE html>\n<title>{name}</title><h1>{name}</h1><table>{cells}</table>"
    return web.Response(text=text, content_type="text/html")


@dataclass(frozen=True)
class Start:
    """A release or run that really started. Drafts, previews and refusals are not in here."""

    kind: Literal["release", "run"]
    id: int
    organization: str
    project: str
    definition: int
    time: float
    description: str
    properties: dict[str, Any]
    parameters: dict[str, Any]
    variables: dict[str, Any]


class AzureDevOpsBase(StandIn):
    """Organisations, who may call them, and what started in them."""

    def __init__(self, identity: Identity, faults: Faults | None = None) -> None:
        super().__init__(faults)
        self.identity = identity
        self.pats: set[str] = set()
        self.bad_auth: Literal["203", "302", "401"] = "203"
        self.list_lag_seconds = 0.0
        """How long a new release or run is missing from lists. It can be read by its id at once."""
        self.next_result: Literal["succeeded", "failed", "canceled"] = "succeeded"
        """How the next release or run to start will end; the one after it succeeds again."""
        self.starts: list[Start] = []
        self.projects: dict[tuple[str, str], tuple[str, str]] = {}

    def add_project(self, org: str, project: str) -> tuple[str, str]:
        """Make a project known, and return the key of its contents. Case does not matter."""
        key = (org.lower(), project.lower())
        self.projects.setdefault(key, (org, project))
        return key

    def project_of(self, request: web.Request) -> tuple[str, str]:
        """The key of the project that the path names."""
        org, project = request.match_info["org"], request.match_info["project"]
        if not self.has_organization(org):
            # Assumed: the real service shows a page here, too.
            raise web.HTTPNotFound(text=f"The organization {org} does not exist.")
        if (org.lower(), project.lower()) not in self.projects:
            message = (
                f"TF200016: The following project does not exist: {project}. Verify that the name of the "
                "project is correct and that the project exists on the specified Azure DevOps Server."
            )
            raise RefusedError(404, "ProjectDoesNotExistWithNameException", message)
        return (org.lower(), project.lower())

    def has_organization(self, org: str) -> bool:
        """Whether any project of this organisation is known."""
        return any(known == org.lower() for known, _ in self.projects)

    def project_url(self, key: tuple[str, str], prefix: str = "") -> str:
        """The URL of a project, as links and `url` fields have it."""
        org, project = self.projects[key]
        return f"{self.url}{prefix}/{quote(org)}/{quote(project)}"

    def take_result(self) -> str:
        """How what starts now will end."""
        result, self.next_result = self.next_result, "succeeded"
        return result

    def middlewares(self) -> list[Any]:
        """Authentication, and refusals turned into replies."""
        return [self._answer]

    @web.middleware
    async def _answer(self, request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            # Links that people open (`/_release`, `/_build`) need no token here.
            if "/_apis" in request.path:
                if not self._may_call(request.headers.get("Authorization", "")):
                    return self._turned_away()
                _require_version(request)
            response: web.StreamResponse = await handler(request)
            return response
        except RefusedError as refusal:
            return refusal.response

    def _may_call(self, authorization: str) -> bool:
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() != "basic":
            return self.identity.accepts(authorization, AZURE_DEVOPS_AUDIENCE)
        try:
            _, _, pat = base64.b64decode(value, validate=True).decode().partition(":")
        except ValueError:
            return False
        return pat in self.pats

    def _turned_away(self) -> web.Response:
        if self.bad_auth == "302":
            return web.Response(status=302, headers={"Location": f"{self.url}/_signin"})
        if self.bad_auth == "401":
            # Assumed: the text. The SDK does not read it, it goes by the status.
            challenge = {"WWW-Authenticate": 'Bearer authorization_uri="https://login.microsoftonline.com", Basic'}
            text = "TF400813: The user is not authorized to access this resource."
            return web.Response(status=401, text=text, headers=challenge)
        return web.Response(status=203, text=SIGN_IN_PAGE, content_type="text/html")


def _require_version(request: web.Request) -> None:
    """A write without an api-version is refused; a read gets a default one."""
    named = "api-version" in request.query or "api-version=" in request.headers.get("Accept", "")
    if request.method not in ("GET", "OPTIONS") and not named:
        message = f'No api-version was supplied for the "{request.method}" request.'
        raise RefusedError(400, "VssVersionNotSpecifiedException", message)
