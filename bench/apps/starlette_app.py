"""A Starlette app as one writes it by hand: verify the signature, put the body on the queue with the SDK, answer 202.

It knows one secret, from its environment; it does not parse, tell events apart, or know of routes.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
from collections.abc import AsyncIterator

from azure.storage.queue import TextBase64EncodePolicy
from azure.storage.queue.aio import QueueClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

SECRET = os.environ["BENCH_SECRET"].encode()
queue = QueueClient.from_connection_string(
    os.environ["BENCH_STORAGE"], "starlette", message_encode_policy=TextBase64EncodePolicy()
)


async def receive(request: Request) -> JSONResponse:
    """Answer 202 once the body lies in the queue, 401 if its signature is wrong."""
    body = await request.body()
    wanted = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(wanted, request.headers.get("x-databricks-signature", "")):
        return JSONResponse({"error": "unauthorized"}, status_code=401)
    await queue.send_message(body.decode())
    return JSONResponse({"accepted": True}, status_code=202)


@contextlib.asynccontextmanager
async def _life(_app: Starlette) -> AsyncIterator[None]:
    async with queue:
        yield


app = Starlette(routes=[Route("/webhook", receive, methods=["POST"])], lifespan=_life)
