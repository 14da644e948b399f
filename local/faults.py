"""Misbehaviour on demand, and a log of every request: one `Faults` object per stand-in, or one for several.

A fault either answers *instead of* the real handler (`before=True`: nothing is committed), or *after* it
(`before=False`: the handler has done its work, and the caller hears something else, or nothing).
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

# Credentials never enter the log: of Authorization only the scheme is kept.
_KEPT_HEADERS = (
    "Accept",
    "Content-Type",
    "User-Agent",
    "X-Request-ID",
    "X-MS-Client-Request-Id",
    "Traceparent",
)


@dataclass
class Call:
    """One request as it arrived. `status` is None while it is unanswered, and for ever if it was dropped."""

    time: float
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    status: int | None = None
    committed: bool = False
    """The real handler ran and did not refuse, whatever the caller was told."""


@dataclass
class Fault:
    """What to do to the next `times` requests that match; `times=None` means until cleared."""

    method: str
    path: re.Pattern[str]
    times: int | None = 1
    before: bool = True
    status: int | None = None
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    drop: bool = False
    hang: float = 0.0
    slow: float = 0.0

    def matches(self, method: str, path: str) -> bool:
        """Whether this fault still has a turn left for such a request."""
        return self.times != 0 and self.method in ("*", method) and self.path.search(path) is not None


class Faults:
    """The faults to come and the calls so far. Safe to use from any thread."""

    def __init__(self) -> None:
        self.log: list[Call] = []
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(
        self,
        method: str,
        path_regex: str,
        *,
        times: int | None = 1,
        before: bool = True,
        status: int | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        drop: bool = False,
        hang: float = 0.0,
        slow: float = 0.0,
    ) -> Fault:
        """Plan a fault for requests of `method` ("*" for any) whose path contains `path_regex`.

        In order: wait `slow` seconds; run the real handler unless `before`; wait `hang` seconds; then close
        the connection without a reply (`drop`), or answer `status` with `body` (a str as text, anything else
        as JSON) and `headers`. With no `status` the real reply goes out, plus `headers`. A fault that comes
        before and only hangs ends by closing the connection: there is no real reply to send. With neither
        `status`, `drop` nor `hang`, the real handler always runs.
        """
        fault = Fault(method.upper(), re.compile(path_regex), times, before, status, body, headers or {}, drop)
        fault.hang, fault.slow = hang, slow
        # Delay or headers alone change nothing about what is done: the real handler has to run.
        fault.before = before and bool(status or drop or hang)
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Forget all planned faults. The log is kept."""
        with self._lock:
            self._faults.clear()

    def calls(self, method: str = "*", path_regex: str = "") -> list[Call]:
        """The logged calls of `method` whose path contains `path_regex`, oldest first."""
        pattern = re.compile(path_regex)
        return [call for call in list(self.log) if method in ("*", call.method) and pattern.search(call.path)]

    def take(self, method: str, path: str) -> Fault | None:
        """Use up one turn of the oldest fault that matches."""
        with self._lock:
            fault = next((each for each in self._faults if each.matches(method, path)), None)
            if fault is not None and fault.times is not None:
                fault.times -= 1
            return fault

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Log the request, then answer it, or fail it as planned."""
        call = await _logged(request)
        self.log.append(call)
        fault = self.take(request.method, request.path)
        if fault is None:
            return await _handled(request, handler, call)
        await asyncio.sleep(fault.slow)
        real = None if fault.before else await _handled(request, handler, call)
        call.status = None  # until the caller has really been told something
        await asyncio.sleep(fault.hang)
        return _reply(request, fault, real, call)


async def _logged(request: web.Request) -> Call:
    text = (await request.read()).decode(request.charset or "utf-8", "replace")  # protobuf is no text
    try:
        body: Any = json.loads(text) if text else None
    except ValueError:
        body = text
    headers = {name: request.headers[name] for name in _KEPT_HEADERS if name in request.headers}
    if "Authorization" in request.headers:
        headers["Authorization"] = request.headers["Authorization"].partition(" ")[0]
    return Call(time.time(), request.method, request.path, dict(request.query), headers, body)


async def _handled(request: web.Request, handler: Handler, call: Call) -> web.StreamResponse:
    try:
        response = await handler(request)
    except web.HTTPException as refusal:
        # aiohttp's own exceptions are responses too; returning them keeps one way out of here.
        response = web.Response(
            status=refusal.status, text=refusal.text, content_type="text/plain", headers=_location(refusal)
        )
    call.status = response.status
    call.committed = response.status < 400 and response.status not in (203, 302)
    return response


def _location(refusal: web.HTTPException) -> dict[str, str]:
    return {name: refusal.headers[name] for name in ("Location", "Allow") if name in refusal.headers}


def _reply(request: web.Request, fault: Fault, real: web.StreamResponse | None, call: Call) -> web.StreamResponse:
    if fault.drop or (real is None and fault.status is None):
        if request.transport is not None:
            request.transport.abort()
        return web.Response()  # goes nowhere: the connection is closed
    if fault.status is None:
        assert real is not None
        response = real
    elif isinstance(fault.body, str):
        kind = "text/html" if fault.body.lstrip().startswith("<") else "text/plain"
        response = web.Response(status=fault.status, text=fault.body, content_type=kind)
    elif fault.body is None:
        response = web.Response(status=fault.status)
    else:
        response = web.json_response(fault.body, status=fault.status)
    response.headers.update(fault.headers)
    call.status = response.status
    return response
