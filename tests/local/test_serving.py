import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import requests
from aiohttp import web

from local.serving import certificate, serve


def hello_app() -> web.Application:
    async def hello(_request: web.Request) -> web.Response:
        return web.json_response({"hello": "world"})

    app = web.Application()
    app.router.add_get("/", hello)
    return app


def test_an_app_is_served_on_a_loopback_port_that_the_system_chose() -> None:
    with serve(hello_app()) as server:
        assert server.url.startswith("http://127.0.0.1:")
        assert requests.get(server.url, timeout=5).json() == {"hello": "world"}


def test_two_servers_do_not_share_a_port() -> None:
    with serve(hello_app()) as one, serve(hello_app()) as other:
        assert one.url != other.url
        assert requests.get(other.url, timeout=5).ok


def test_a_stopped_server_refuses_connections() -> None:
    with serve(hello_app()) as server:
        pass
    with pytest.raises(requests.ConnectionError):
        requests.get(server.url, timeout=5)


def test_the_apps_own_cleanup_runs_when_the_server_stops() -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def resource(_app: web.Application) -> AsyncIterator[None]:
        seen.append("open")
        yield
        seen.append("closed")

    app = hello_app()
    app.cleanup_ctx.append(resource)
    with serve(app):
        assert seen == ["open"]
    assert seen == ["open", "closed"]


def test_the_certificate_is_trusted_through_its_bundle_and_not_without_it() -> None:
    with serve(hello_app(), certificate().context) as server:
        assert server.url.startswith("https://127.0.0.1:")
        assert requests.get(server.url, timeout=5, verify=certificate().ca_file).ok
        by_name = server.url.replace("127.0.0.1", "localhost")
        assert requests.get(by_name, timeout=5, verify=certificate().ca_file).ok
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(server.url, timeout=5)


def test_a_reply_goes_out_in_one_piece() -> None:
    with serve(hello_app()) as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert connection.recv(65536).endswith(b'{"hello": "world"}')
