"""A real MLflow server, started when it is first needed, behind a gate: the gate's address is known before, so that a
routes file can name it, and the gate can lose what goes through it."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Any, Self

import requests
from aiohttp import ClientSession, web
from yarl import URL

from local.faults import Call, Faults
from local.mlflow_process import MlflowProcess
from local.serving import serve

_OWN_HEADERS = ("Host", "Content-Length", "Transfer-Encoding", "Connection")


class MlflowServer:
    """A server with its data in a folder. `url` is the gate's; `faults` are those of the gate."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.faults, self._process = folder, Faults(), MlflowProcess(folder)
        app = web.Application(client_max_size=2**28)
        app.router.add_route("*", "/{path:.*}", self._pass)
        self._gate = serve(app)
        self.url = self._gate.url

    def begin(self) -> None:
        """Let it start, if it has not yet, without waiting for it."""
        self._process.begin()

    def start(self) -> Self:
        """Let it start, and wait until it answers."""
        self._process.start()
        return self

    def stop(self) -> None:
        """End it and its gate."""
        self._gate.stop()
        self._process.stop()

    def call(self, path: str, payload: Any) -> Any:
        """POST to its API, past the gate, as a team's own programs do."""
        reply = requests.post(f"{self._process.url}/api/2.0/mlflow/{path}", json=payload, timeout=60)
        assert reply.ok, reply.text
        return reply.json()

    def put(self, path: str, content: bytes) -> None:
        """Store an artifact, past the gate."""
        url = f"{self._process.url}/api/2.0/mlflow-artifacts/artifacts/{path}"
        requests.put(url, data=content, timeout=60).raise_for_status()

    def listen(self, url: str, secret: str, events: list[str]) -> None:
        """Make a webhook for the events, such as `MODEL_VERSION_TAG.SET`."""
        listed = [dict(zip(("entity", "action"), event.split("."), strict=True)) for event in events]
        self.call("webhooks", {"name": f"relay-{secrets.token_hex(4)}", "url": url, "secret": secret, "events": listed})

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        """Pass a request on, or lose it or its reply as planned."""
        call = Call(time.time(), request.method, request.path, dict(request.query), {}, None)
        self.faults.log.append(call)
        fault = self.faults.take(request.method, request.path)
        real = None if fault and fault.before else await self._passed(request, call)
        if fault is None:
            assert real is not None
            return real
        if fault.drop and request.transport is not None:
            request.transport.abort()
        return web.json_response(fault.body, status=fault.status or 500)

    async def _passed(self, request: web.Request, call: Call) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if name not in _OWN_HEADERS}
        headers["Accept-Encoding"] = "identity"
        url, body = f"{self._process.url}{request.raw_path}", await request.read()
        address = URL(url, encoded=True)
        async with (
            ClientSession() as session,
            session.request(request.method, address, data=body, headers=headers) as got,
        ):
            call.status, call.committed = got.status, got.ok
            kind = {"Content-Type": got.headers.get("Content-Type", "application/octet-stream")}
            return web.Response(status=got.status, body=await got.read(), headers=kind)
