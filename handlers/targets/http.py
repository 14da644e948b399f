"""Any HTTP API: one request to a host of the setting ALLOWED_HOSTS; redirects are not followed.

The host can't be asked what it did, so the request comes at least once, or at most once with `at_most_once`. A host
that goes by `webhook-id` (with `signing_secret`) or by `idempotency_header` does it once all the same: both stay what
they are in each attempt. Recipes are in docs/recipes.md.
Contracts: Standard Webhooks 1.0 (webhook-id, webhook-timestamp, webhook-signature `v1,` and the base64 HMAC-SHA256 of
`id.timestamp.body`; secrets that begin with `whsec_` are base64); draft-ietf-httpapi-idempotency-key-header.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec

from handlers import http_checks
from shared import outbound, rest
from shared.attempts import Access, Answer, Attempt, Succeeded
from shared.errors import PermanentFailure
from shared.findings import Finding, ok
from shared.identity import token
from shared.outbound import place_of
from shared.templates import Safe, as_is, harmless

MINIMUM_KEY_BYTES = 16
REDIRECTS = (301, 302, 303, 307, 308)


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`body` goes out as JSON, `text` as plain text; `headers` hold no secrets: these are `bearer_secret`,
    `signing_secret` (names in Key Vault) or `audience` (this app's own token). `expect_status`: any 2xx if empty."""

    url: str
    method: Literal["POST", "PUT", "PATCH", "DELETE", "GET"] = "POST"
    body: dict[str, Any] | list[Any] | None = None
    text: str = ""
    headers: dict[str, str] = {}
    signing_secret: str = ""
    bearer_secret: str = ""
    audience: str = ""
    idempotency_header: str = ""
    expect_status: list[Annotated[int, msgspec.Meta(ge=200, le=499)]] = []
    at_most_once: bool = False

    def __post_init__(self) -> None:
        """Refuse what no service would take, and a token on its way to a host that it isn't for."""
        place = place_of(self.url)
        if self.body is not None and self.text:
            raise ValueError("give `body` (JSON) or `text`, not both")
        if self.method == "GET" and (self.body is not None or self.text):
            raise ValueError("a GET has no `body` and no `text`")
        if self.bearer_secret and self.audience:
            raise ValueError("give `bearer_secret` or `audience`, not both: there is one Authorization header")
        http_checks.require_json(self.body)
        http_checks.require_audience(self.audience, place)
        http_checks.require_headers(self.headers, self.idempotency_header)
        http_checks.require_known(self.expect_status)


def _in_url(value: str) -> str:
    if any(part.strip() in ("", ".", "..") for part in value.split("/")):
        raise PermanentFailure(f"the value {value[:80]!r} would lead elsewhere than the route's URL does")
    return quote(harmless(value), safe="")


TEMPLATED: Mapping[str, Safe] = {"url": _in_url, "body": as_is, "text": harmless}


@dataclass(frozen=True)
class Connection:
    """What the request is made with: who we are, and what it is signed with."""

    host: str
    authorization: str = field(default="", repr=False)
    key: bytes = field(default=b"", repr=False)


def connect(options: Options, access: Access) -> Connection:
    """Return the credentials. Raises PermanentFailure for a host that isn't allowed, before anything is fetched."""
    place = place_of(options.url)
    outbound.require_allowed(place)
    key = _signing_key(access.secret(options.signing_secret), options.signing_secret) if options.signing_secret else b""
    bearer = access.optional_secret(options.bearer_secret)
    if options.audience:
        bearer = token(f"{options.audience}/.default")
    return Connection(place.host, f"Bearer {bearer}" if bearer else "", key)


def examine(options: Options, access: Access) -> Iterator[Finding]:
    """Yield that the host is allowed and the credentials are there. Raises PermanentFailure if not."""
    yield ok("host", f"{connect(options, access).host} is allowed; nothing was sent")


def start(attempt: Attempt) -> Answer:
    """Make the request."""
    options, host = attempt.options, attempt.connection.host
    payload, headers = _message(options)
    expected = options.expect_status
    with outbound.guarded():
        reply = rest.request(
            options.method,
            options.url,
            host,
            payload=payload,
            headers={**headers, **_identification(attempt, payload or b"")},
            allowed=(*expected, *REDIRECTS),
        )
    if reply.status in REDIRECTS:
        raise PermanentFailure(f"{host} answered {reply.status}: redirects are not followed")
    if expected and reply.status not in expected:
        raise PermanentFailure(f"{host} answered {reply.status}, which the route does not expect")
    return Succeeded(outcome=f"{host} answered {reply.status}")


def preview(attempt: Attempt) -> dict[str, Any]:
    """Return the request, with what it is signed and let in by as names."""
    options: Options = attempt.options
    payload, headers = _message(options)
    named = {
        "Authorization": f"Bearer {{secret {options.bearer_secret}}}" if options.bearer_secret else "",
        options.idempotency_header: attempt.key if options.idempotency_header else "",
        "webhook-id": _webhook_id(attempt) if options.signing_secret else "",
        "webhook-signature": f"v1,{{made with secret {options.signing_secret}}}" if options.signing_secret else "",
    }
    if options.audience:
        named["Authorization"] = f"Bearer {{this app's token for {options.audience}}}"
    body = {} if payload is None else {"body": options.text or options.body}
    told = {name: value for name, value in {**headers, **named}.items() if value}
    return {"request": f"{options.method} {options.url}", "headers": told, **body}


def _webhook_id(attempt: Attempt) -> str:
    return f"msg_{attempt.marker}"


def _message(options: Options) -> tuple[bytes | None, dict[str, str]]:
    kind, payload = "", None
    if options.body is not None:
        kind, payload = "application/json", json.dumps(options.body, separators=(",", ":")).encode()
    elif options.text:
        kind, payload = "text/plain; charset=utf-8", options.text.encode()
    given = {name.lower() for name in options.headers}
    return payload, {**({} if "content-type" in given or not kind else {"Content-Type": kind}), **options.headers}


def _identification(attempt: Attempt, payload: bytes) -> dict[str, str]:
    """The headers that say who sends, and which effect it is about."""
    options, connection = attempt.options, attempt.connection
    headers = {"Authorization": connection.authorization} if connection.authorization else {}
    if options.idempotency_header:
        headers[options.idempotency_header] = attempt.key
    if connection.key:
        identifier, timestamp = _webhook_id(attempt), str(int(time.time()))
        mac = hmac.new(connection.key, f"{identifier}.{timestamp}.".encode() + payload, hashlib.sha256).digest()
        headers |= {"webhook-id": identifier, "webhook-timestamp": timestamp}
        headers["webhook-signature"] = f"v1,{base64.b64encode(mac).decode()}"
    return headers


def _signing_key(secret: str, name: str) -> bytes:
    key = secret.encode()
    if secret.startswith("whsec_"):
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            raise PermanentFailure(f"secret {name!r} begins with whsec_, but is not base64 after it") from None
    if len(key) < MINIMUM_KEY_BYTES:
        raise PermanentFailure(f"secret {name!r} is shorter than {MINIMUM_KEY_BYTES} bytes: too short to sign with")
    return key
