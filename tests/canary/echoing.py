"""Services that answer with what they were sent: the real request, whatever the app has put into it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from local.faults import Faults

SENT = "{sent}"  # in a fault's body: the credentials, the request's line, and its body
CUT = "{cut}"  # the same, so far down that a reader who keeps 300 characters cuts the credentials near their end
PASSWORD = "{password}"  # what the header of HTTP Basic says when it is decoded
KEPT, SPARED = 300, 6
Fault = dict[str, Any]


class Echoes(Faults):
    """Faults in whose bodies SENT, CUT and PASSWORD are replaced by what came."""

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer as planned, then fill in."""
        response = await super().middleware(request, handler)
        text = response.text if isinstance(response, web.Response) and response.body else None
        if isinstance(response, web.Response) and text and any(mark in text for mark in MARKS):
            sent = {mark: form(request, await request.text()) for mark, form in MARKS.items()}
            is_json = response.content_type == "application/json"
            for mark, told in sent.items():
                text = text.replace(mark, json.dumps(told)[1:-1] if is_json else told)
            response.text = text
        return response


def echoes(error: Callable[[str, str], Any]) -> dict[str, Fault]:
    """Return refusals that repeat the request; `error` makes an error's body of the service, of code and message."""
    return {
        "page-401": {"status": 401, "body": f"<html>Sign in. You sent: {SENT}</html>"},
        "json-401": {"status": 401, "body": error("UnauthorizedRequestException", f"You sent: {SENT}")},
        "json-400": {"status": 400, "body": error("InvalidRequestException", f"You sent: {SENT}")},
        "json-500": {"status": 500, "body": error("Exception", f"You sent: {SENT}")},
        "cut-403": {"status": 403, "body": CUT},
        "dropped": {"drop": True},
    }


def some(found: dict[str, Fault], *names: str) -> dict[str, Fault]:
    """Return those of the refusals."""
    return {name: found[name] for name in names}


def _credentials(request: web.Request) -> str:
    return request.headers.get("Authorization") or request.headers.get("x-functions-key") or ""


def _sent(request: web.Request, body: str) -> str:
    return f"{_credentials(request)} {request.method} {request.raw_path} {body}".strip()


def _cut(request: web.Request, body: str) -> str:
    first = _credentials(request) or request.raw_path
    return "x" * (KEPT - len(first) + SPARED) + first


def _password(request: web.Request, body: str) -> str:
    kind, _, given = _credentials(request).partition(" ")
    return base64.b64decode(given).decode().partition(":")[2] if kind == "Basic" else ""


MARKS: dict[str, Callable[[web.Request, str], str]] = {SENT: _sent, CUT: _cut, PASSWORD: _password}
