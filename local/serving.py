"""Run the stand-ins: one background thread and one event loop for all of them, on 127.0.0.1 only."""

from __future__ import annotations

import asyncio
import atexit
import functools
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

import certifi
import trustme
from aiohttp import web

from local.faults import Faults

T = TypeVar("T")


class Server:
    """A running server; `url` has no slash at its end. Stops at the end of a `with` block."""

    def __init__(self, runner: web.AppRunner, url: str) -> None:
        self.url = url
        self._runner = runner

    def stop(self) -> None:
        """Close the port and every connection. What still hangs in a handler is cancelled."""
        _run(self._runner.cleanup())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def serve(app: web.Application, tls: ssl.SSLContext | None = None) -> Server:
    """Serve `app` on a port that the system chooses, over TLS if a context is given."""
    return _run(_serve(app, tls))


async def _serve(app: web.Application, tls: ssl.SSLContext | None) -> Server:
    # A handler that hangs on purpose must not hold up the end of a test.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    return Server(runner, f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}")


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="stand-ins", daemon=True).start()
    return loop


_starting = threading.Lock()


def _run(work: Coroutine[Any, Any, T]) -> T:
    with _starting:  # a cached function may still run twice when two threads call it first
        loop = _loop()
    return asyncio.run_coroutine_threadsafe(work, loop).result()


class Certificate(NamedTuple):
    """`context` is for the server; `ca_file` is for clients: REQUESTS_CA_BUNDLE or `connection_verify=`."""

    context: ssl.SSLContext
    ca_file: str


def certificate() -> Certificate:
    """A certificate for 127.0.0.1 and localhost, and a bundle of certifi's authorities plus its own.

    The bundle has both, so that a process that trusts it can still reach the real internet. It is deleted
    when this process ends. There is one for each process.
    """
    with _starting:
        return _certificate()


@functools.cache
def _certificate() -> Certificate:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    with tempfile.NamedTemporaryFile("wb", prefix="stand-in-ca-", suffix=".pem", delete=False) as bundle:
        bundle.write(Path(certifi.where()).read_bytes() + b"\n" + authority.cert_pem.bytes())
    atexit.register(Path(bundle.name).unlink, missing_ok=True)
    return Certificate(context, bundle.name)


class StandIn:
    """A service of the outside world: routes, faults, a clock that tests may replace, and a server.

    A subclass gives `routes()`; it may add middlewares, which run inside the faults' own.
    """

    def __init__(self, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        self.clock: Callable[[], float] = time.time
        self.tls: ssl.SSLContext | None = None
        self._server: Server | None = None

    def routes(self) -> list[web.RouteDef]:
        """What the service answers."""
        raise NotImplementedError

    def middlewares(self) -> list[Any]:
        """What stands before every route, such as authentication."""
        return []

    def start(self) -> Self:
        """Begin to serve, on a new port each time."""
        app = web.Application(middlewares=[self.faults.middleware, *self.middlewares()])
        app.add_routes(self.routes())
        self._server = serve(app, self.tls)
        return self

    def stop(self) -> None:
        """Stop serving. State is kept and can still be read."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    @property
    def url(self) -> str:
        """Where the service answers, without a slash at the end."""
        if self._server is None:
            raise RuntimeError("not started")
        return self._server.url

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
