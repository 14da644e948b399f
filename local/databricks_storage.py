"""The cloud's storage behind a workspace: files at signed addresses, in the ways of Azure, of S3 and of Google Cloud.

By documentation: Put Block and Put Block List, Create, Append and Flush of Data Lake Storage, PUT and GET of a
presigned address; that a signature is for one file, for reading or writing, and ends; that an address that is signed is
refused together with a token. A server of its own, as the storage is a host of its own.
"""

from __future__ import annotations

import base64
import re
import secrets
from typing import Any, Self
from urllib.parse import quote, urlencode

from aiohttp import web
from aiohttp.typedefs import Handler

from local.faults import Faults
from local.serving import StandIn, serve

KINDS = ("AZURE_SAS_URI", "AZURE_ADLS_GEN2_SAS_URI", "AWS_PRESIGNED_URL", "GCP_SIGNED_URL")
LIFETIME = 3600.0


class CloudStorage(StandIn):
    """`files` are the contents by path, `kind` the way of the addresses that are signed from now on."""

    def __init__(self, faults: Faults | None = None) -> None:
        super().__init__(faults)
        self.files: dict[str, bytes] = {}
        self.kind = KINDS[0]
        self._signed: dict[str, tuple[str, str, float]] = {}
        self._blocks: dict[str, dict[str, bytes]] = {}
        self._appended: dict[str, bytes] = {}

    def sign(self, path: str, mode: str) -> str:
        """Return an address at which a file can be read ("r") or written ("w") for a while."""
        signature = secrets.token_urlsafe(16)
        self._signed[signature] = (path, mode, self.clock() + LIFETIME)
        return f"{self.url}/{quote(path)}?{urlencode({'sig': signature})}"

    def end_signatures(self) -> None:
        """Let all signatures end now."""
        self._signed = {signature: (path, mode, 0.0) for signature, (path, mode, _) in self._signed.items()}

    def start(self) -> Self:
        """Begin to serve: contents are no text, and larger than what other services take."""
        app = web.Application(middlewares=[_as_bytes, self.faults.middleware], client_max_size=2**28)
        app.add_routes(self.routes())
        self._server = serve(app, self.tls)
        return self

    def routes(self) -> list[web.RouteDef]:
        """Read, write."""
        return [
            web.get("/{path:.+}", self._read),
            web.put("/{path:.+}", self._put),
            web.patch("/{path:.+}", self._patch),
        ]

    async def _read(self, request: web.Request) -> web.Response:
        path = self._allowed(request, "r")
        if path not in self.files:
            return _error(404, "BlobNotFound")
        return web.Response(body=self.files[path], content_type="application/octet-stream")

    async def _put(self, request: web.Request) -> web.Response:
        path, body = self._allowed(request, "w"), await request.read()
        query = request.query
        if self.kind == "AZURE_SAS_URI":
            return self._put_block(path, query, request.headers.get("x-ms-blob-type", ""), body)
        if self.kind == "AZURE_ADLS_GEN2_SAS_URI":
            if query.get("resource") != "file":
                return _error(400, "MissingRequiredQueryParameter")
            self.files[path], self._appended[path] = b"", b""
            return web.Response(status=201)
        if "Content-Length" not in request.headers:
            return _error(411, "MissingContentLength")
        self.files[path] = body
        return web.Response()

    def _put_block(self, path: str, query: Any, kind: str, body: bytes) -> web.Response:
        blocks = self._blocks.setdefault(path, {})
        if query.get("comp") == "block" and kind == "BlockBlob":
            base64.b64decode(query["blockid"], validate=True)
            blocks[query["blockid"]] = body
        elif query.get("comp") == "blocklist":
            listed = re.findall(r"<Uncommitted>([^<]*)</Uncommitted>", body.decode())
            if not set(listed) <= blocks.keys():
                return _error(400, "InvalidBlockList")
            self.files[path] = b"".join(blocks[block] for block in listed)
            del self._blocks[path]
        else:
            return _error(400, "MissingRequiredHeader")
        return web.Response(status=201)

    async def _patch(self, request: web.Request) -> web.Response:
        path, body = self._allowed(request, "w"), await request.read()
        action, position = request.query.get("action"), int(request.query.get("position", "-1"))
        if path not in self._appended or action not in ("append", "flush"):
            return _error(404, "PathNotFound")
        if position != len(self._appended[path]):
            return _error(400, "InvalidFlushPosition" if action == "flush" else "InvalidAppendPosition")
        if action == "append":
            self._appended[path] += body
            return web.Response(status=202)
        self.files[path] = self._appended[path]
        return web.Response()

    def _allowed(self, request: web.Request, mode: str) -> str:
        """The path, if it is signed for this. Raises 403 and 400 as HTTP errors."""
        path, signed = request.match_info["path"], self._signed.get(request.query.get("sig", ""))
        if "Authorization" in request.headers:
            raise web.HTTPBadRequest(text=_body("InvalidAuthenticationInfo"))
        if signed is None or signed[:2] != (path, mode) or signed[2] < self.clock():
            raise web.HTTPForbidden(text=_body("AuthenticationFailed"))
        return path


@web.middleware
async def _as_bytes(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Each byte is a letter of Latin-1: so the log of calls can hold it."""
    kept = [(name, value) for name, value in request.headers.items() if name.lower() != "content-type"]
    return await handler(
        request.clone(headers=dict([*kept, ("Content-Type", "application/octet-stream; charset=latin-1")]))
    )


def _body(code: str) -> str:
    return f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{code}.</Message></Error>'


def _error(status: int, code: str) -> web.Response:
    return web.Response(status=status, text=_body(code), content_type="application/xml")
