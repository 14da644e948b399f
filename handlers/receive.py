"""Receive one delivery: judge it, and either hand on its event or answer with the truth.

Sans I/O but for the vault and the routes: bytes in, an answer and a queue message out. The caller writes the message
before the answer goes out, so a 202 means stored. It runs on the worker's loop, so that no delivery waits for a thread
while steps have them all; what has to wait goes to threads of its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec

from handlers.current_routes import current_routes
from handlers.plan import plan_of
from handlers.sources import SOURCES
from shared import storage, vault
from shared.deliveries import Delivery, SourceKind
from shared.errors import (
    InvalidEvent,
    RoutesError,
    RoutesUnavailable,
    SecretUnusable,
    SettingError,
    VaultUnavailable,
)
from shared.messages import EventMessage, encode, encode_event
from shared.routes import Routes, Source
from shared.signatures import is_same
from shared.telemetry import span, tell, traceparent
from shared.waits import about_to_wait, soon

MAX_BODY_BYTES = 1024 * 1024
MAX_LOOP_BYTES = 16 * 1024  # a larger body is judged in a thread: to read it takes milliseconds
MAX_SHOWN = 63  # as long as a source's name may be
MAX_MESSAGE_BYTES = 30_000  # a table property holds 32 Ki characters, a queue message 48 KiB before base64
FUTURE_SECONDS = 60.0
RETRY_AFTER_SECONDS = 30


class Answer(msgspec.Struct, frozen=True):
    """What the sender is told: an HTTP status, a JSON body, headers; and what goes to the queue `events` before."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = {}
    message: str = ""


class _Rejection(Exception):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


async def receive(source_name: str, headers: Mapping[str, str], body: bytes, now: float, trace: str = "") -> Answer:
    """Return the answer to one delivery, and tell of it; `trace` is the host's W3C traceparent.

    `headers` with lower-case names, `body` as it came, `now` in seconds since 1970. Answers 202, 400, 401, 413, 422
    or 503 as README's table says; a `message` comes with a 202 that is no test. Storage errors on the way of a large
    body pass through: the host answers 500.
    """
    began = time.perf_counter()
    with span("receive_delivery", trace) as told:
        answer = await soon(partial(_judge, source_name, headers, body, now))
        told["http.response.status_code"] = answer.status
        reason = str(answer.body.get("error", ""))
        tell(
            "delivery",
            f"delivery to {source_name[:MAX_SHOWN]!r} answered {answer.status}{f': {reason}' if reason else ''}",
            level=logging.INFO if answer.status < 400 else logging.WARNING,
            source=source_name[:MAX_SHOWN] if answer.status != 401 else "",
            status=answer.status,
            reason=reason,
            event=str(answer.body.get("event", "")),
            duration_ms=round((time.perf_counter() - began) * 1000),
        )
        return answer


def _judge(source_name: str, headers: Mapping[str, str], body: bytes, now: float) -> Answer:
    try:
        return _receive(source_name, headers, body, now)
    except _Rejection as rejection:
        return Answer(rejection.status, {"error": rejection.reason})
    except InvalidEvent as error:
        return Answer(400, {"error": str(error)})
    except (SecretUnusable, VaultUnavailable, RoutesError, RoutesUnavailable, SettingError):
        # why is for operators: /api/health tells them, an anonymous caller learns nothing
        retry = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        return Answer(503, {"error": "not able to judge deliveries now; see /api/health"}, retry)


def _receive(source_name: str, headers: Mapping[str, str], body: bytes, now: float) -> Answer:
    if len(body) > MAX_BODY_BYTES:
        raise _Rejection(413, f"a delivery may have {MAX_BODY_BYTES} bytes at most")
    if len(body) > MAX_LOOP_BYTES:
        about_to_wait()
    routes = current_routes()
    source = routes.sources.get(source_name)
    if source is None:
        return _unauthorized()
    kind = SOURCES[source.kind]
    if not _is_authentic(source, kind, headers, body):
        return _unauthorized()
    delivery = kind.read(source_name, headers, body, now)
    _check_age(source, delivery, now)
    return _accepted(routes, delivery)


def _unauthorized() -> Answer:
    # one body for all: whether the source, the signature or the secret was wrong is nobody's business
    return Answer(401, {"error": "unauthorized"})


def _is_authentic(source: Source, kind: SourceKind, headers: Mapping[str, str], body: bytes) -> bool:
    if not _holds(source.secret, lambda versions: kind.is_signed(headers, body, versions)):
        return False
    name = source.authorization_secret
    given = headers.get("authorization", "")
    return not name or _holds(name, lambda versions: is_same(given, versions))


def _holds(secret: str, check: Callable[[tuple[bytes, ...]], bool]) -> bool:
    """Tell whether the check holds, if need be after asking the vault for news: a secret may just have been rotated."""
    known = vault.versions(secret)
    return check(known) or (vault.refresh_early(secret, known) and check(vault.versions(secret)))


def _check_age(source: Source, delivery: Delivery, now: float) -> None:
    if delivery.sent is None:
        return
    if now - delivery.sent > source.max_age:
        raise _Rejection(422, f"the delivery is older than {source.max_age:.0f} s, the limit of this source")
    if delivery.sent - now > FUTURE_SECONDS:
        raise _Rejection(
            422, f"the delivery is from more than {FUTURE_SECONDS:.0f} s in the future: compare the clocks"
        )


def _accepted(routes: Routes, delivery: Delivery) -> Answer:
    event = delivery.event
    reply: dict[str, Any] = {"delivery": event.delivery, "event": event.id}
    if delivery.test:
        return Answer(202, {**reply, "test": True, "plan": plan_of(routes, event, test=True)})
    names = [{"route": route.name} for route in routes.matching(event)]
    trace = traceparent()
    message = encode(EventMessage(event=event, trace=trace))
    if len(message.encode()) > MAX_MESSAGE_BYTES:
        blob = f"{event.id}.json"
        storage.write_blob(blob, encode_event(event))
        message = encode(EventMessage(blob=blob, trace=trace))
    return Answer(202, {**reply, "plan": names}, message=message)
