"""The HTTP front: routes, keys, HTTP triggers and the admin call."""

import asyncio
import hmac
import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web
from azure_functions_runtime.bindings.datumdef import Datum

from local.host_functions import Function
from local.host_routes import Route, in_order, match
from local.host_run import InvocationFailedError, Runner

log = logging.getLogger("local.host")

LARGEST_BODY = 100 * 1024 * 1024
Admin = Callable[[str], Awaitable[None]]


class Front:
    """Answers HTTP requests on 127.0.0.1."""

    def __init__(self, routes: list[Route], admin: Mapping[str, Admin], runner: Runner) -> None:
        self._routes = in_order(routes)
        self._admin = admin
        self._runner = runner
        self._called: set[asyncio.Task[None]] = set()
        self._server: web.AppRunner | None = None

    async def start(self, port: int) -> str:
        """Listen on this port, or on a free one for 0, and return the URL."""
        app = web.Application(client_max_size=LARGEST_BODY)
        app.router.add_route("*", r"/{path:[\s\S]*}", self._answer)  # a dot would leave out newlines
        # Bodies arrive as they were sent: signatures cover the compressed bytes.
        self._server = web.AppRunner(
            app, access_log=None, auto_decompress=False, max_field_size=32 * 1024, shutdown_timeout=25
        )
        await self._server.setup()
        await web.TCPSite(self._server, "127.0.0.1", port, backlog=1024).start()
        return f"http://127.0.0.1:{self._server.addresses[0][1]}"

    async def stop(self) -> None:
        """Accept no more requests and wait for those in hand."""
        if self._server:
            await self._server.cleanup()
        if self._called:
            await asyncio.wait(self._called)

    async def _answer(self, request: web.Request) -> web.Response:
        try:
            path = request.rel_url.raw_path
            if path.lower().startswith("/admin/"):
                return await self._administer(request, path)
            found = match(self._routes, request.method, path)
            return await self._call(request, *found) if found else web.Response(status=404)
        except web.HTTPRequestEntityTooLarge:
            return web.Response(status=413)
        except InvocationFailedError:
            return web.Response(status=500)

    async def _call(self, request: web.Request, function: Function, params: dict[str, str]) -> web.Response:
        if function.trigger.get("authLevel", "function").lower() != "anonymous" and not _has_key(request):
            return web.Response(status=401)
        try:
            headers = _joined(request.headers)
        except UnicodeEncodeError:
            return web.Response(status=400)
        inputs = [(function.trigger["name"], _http(request, headers, params, await _body(request)))]
        datum = await self._runner.run(function, inputs, {})
        try:
            return _reply(datum)
        except (ValueError, TypeError) as error:
            log.error("%s: its reply cannot be sent: %s", function.name, error)
            return web.Response(status=500)

    async def _administer(self, request: web.Request, path: str) -> web.Response:
        if not _has_key(request):
            return web.Response(status=401)
        admin = self._admin.get(path.removeprefix("/admin/functions/"))
        if admin is None or request.method != "POST":
            return web.Response(status=404)
        try:
            text = str(json.loads(await request.read())["input"])
        except (ValueError, KeyError, TypeError):
            return web.Response(status=400)
        task = asyncio.create_task(_quietly(admin, text))
        self._called.add(task)
        task.add_done_callback(self._called.discard)
        return web.Response(status=202)


async def _quietly(admin: Admin, text: str) -> None:
    try:
        await admin(text)
    except InvocationFailedError as error:
        log.warning("%s: failed when called by hand", error)


def _has_key(request: web.Request) -> bool:
    key = os.environ.get("LOCAL_FUNCTION_KEY", "")
    given = request.headers.get("x-functions-key") or request.query.get("code") or ""
    return bool(key) and hmac.compare_digest(key.encode(), given.encode(errors="replace"))


async def _body(request: web.Request) -> bytes:
    body = await request.read()
    # The Functions host hands a body on only when its length was announced: chunked ones arrive empty.
    return body if request.content_length else b""


def _joined(pairs: Mapping[str, str]) -> dict[str, str]:
    joined: dict[str, list[str]] = {}
    for key, value in pairs.items():
        value.encode()  # Kestrel refuses headers that are not UTF-8; aiohttp marks their bytes as surrogates
        joined.setdefault(key.lower(), []).append(value)
    return {key: ",".join(values) for key, values in joined.items()}


def _http(request: web.Request, headers: dict[str, str], params: dict[str, str], body: bytes) -> Any:
    query: dict[str, str] = {}
    for key, text in request.query.items():
        query[key] = f"{query[key]},{text}" if key in query else text
    value = {
        "method": Datum(request.method, "string"),
        "url": Datum(f"http://{request.host}{request.raw_path}", "string"),
        "headers": _strings(headers),
        "params": _strings(params),
        "query": _strings({key: text for key, text in query.items() if text}),  # empty ones get lost in Azure
        "body": Datum(body, "bytes"),
    }
    return Datum(value, "http")


def _strings(values: Mapping[str, str]) -> dict[str, Any]:
    return {key: Datum(value, "string") for key, value in values.items()}


def _reply(datum: Any) -> web.Response:
    if datum is None:
        return web.Response(status=200)
    if datum.type != "http":
        return web.Response(text=str(datum.value))
    value = datum.value
    reply = web.Response(status=int(value["status_code"].value), body=value["body"].value)
    for name, header in value["headers"].items():
        if name.lower() not in {"content-length", "transfer-encoding"}:
            reply.headers[name] = header.value
    for cookie in value.get("cookies") or []:
        for morsel in cookie.values():
            reply.headers.add("Set-Cookie", morsel.OutputString())
    return reply
