"""A reverse proxy between workers and a service, the storage account first of all: it knows whose request it carries.

A signature of storage covers path and headers, not host and port: the request passes as it is. At a named window it
may be hit: its worker killed or frozen before or after the service has done its work, its reply lost, and so on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Protocol, Self

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, web
from yarl import URL

from local.serving import Server, serve
from soak.injections import Injection
from soak.windows import Window

_HOP = {"host", "connection", "keep-alive", "transfer-encoding", "content-length"}
_SILENT = ("Content-Type", "User-Agent", "Accept", "Accept-Encoding")  # nothing of our own under a signature


class Caller(Protocol):
    """A worker, as its requests are seen."""

    def take(self, window: str) -> Injection | None:
        """Return what is to be done to the worker at a window."""

    def signal(self, name: str) -> None:
        """Kill, freeze or resume the worker."""


class Proxy:
    """Carries what workers send to `upstream`. The caller is asked at each window whether it is to be hit."""

    def __init__(self, upstream: str, window: Window, caller: Callable[[web.Request], Caller | None]) -> None:
        self._upstream, self._window, self._caller = upstream, window, caller
        self._seen: dict[str, web.Response] = {}
        self._session: ClientSession | None = None
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        if self._server is None:
            raise RuntimeError("not started")
        return self._server.url

    def __enter__(self) -> Self:
        app = web.Application(client_max_size=2**24)
        app.cleanup_ctx.append(self._sessions)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._server = serve(app)
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.stop()

    async def _sessions(self, _app: web.Application) -> AsyncIterator[None]:
        connector = TCPConnector(limit=0, keepalive_timeout=3)  # shorter than Azurite's
        async with ClientSession(connector=connector, auto_decompress=False, timeout=ClientTimeout(60)) as session:
            self._session = session
            yield

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            body = await request.read()
            name = self._window(request.method, request.raw_path, body)
            caller = self._caller(request) if name else None
            injection = caller.take(name) if caller else None
            if caller is None or injection is None:
                return await self._forward(request, body)
            if injection.action == "stale" and request.raw_path in self._seen:
                return _again(self._seen[request.raw_path])
            return await self._hit(injection, caller, request, body)
        except (ClientError, ConnectionError, TimeoutError):  # the worker was killed as it spoke, or the service stops
            return _cut(request)

    async def _hit(self, injection: Injection, caller: Caller, request: web.Request, body: bytes) -> web.StreamResponse:
        act = injection.action
        if act == "kill before":
            caller.signal("kill")
            return _cut(request)
        if act == "late":
            await asyncio.sleep(injection.seconds)
        reply = await self._forward(request, body)
        if act == "kill after":
            caller.signal("kill")
        elif act == "double":
            reply = await self._forward(request, body)
        elif act == "freeze":
            caller.signal("freeze")
            asyncio.get_running_loop().call_later(injection.seconds, caller.signal, "resume")
        elif act == "hang":
            await asyncio.sleep(injection.seconds)
        elif act == "error":
            return web.json_response({"message": "the service stumbled after its work"}, status=500)
        return _cut(request) if act in ("kill after", "drop", "hang") else reply

    async def _forward(self, request: web.Request, body: bytes) -> web.Response:
        assert self._session is not None
        sent = [(name, value) for name, value in request.headers.items() if name.lower() not in _HOP]
        url = URL(self._upstream + request.raw_path, encoded=True)
        async with self._session.request(
            request.method, url, headers=sent, data=body, skip_auto_headers=_SILENT, allow_redirects=False
        ) as reply:
            text = (await reply.read()).replace(self._upstream.encode(), self.url.encode())
            here = [(name, value.replace(self._upstream, self.url)) for name, value in reply.headers.items()]
            got = [(name, value) for name, value in here if name.lower() not in _HOP]
            response = web.Response(status=reply.status, body=text)
            with suppress(KeyError):
                del response.headers["Content-Type"]
            response.headers.extend(got)
            if request.method == "GET":
                self._seen[request.raw_path] = response
            return response


def _again(seen: web.Response) -> web.Response:
    """Return what was answered the last time: a service whose replicas are late."""
    return web.Response(status=seen.status, body=seen.body, headers=seen.headers)


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()  # goes nowhere: the connection is closed
