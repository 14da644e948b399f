"""Stand-in for any HTTP host that takes webhooks and API calls: one URL per name, each as strict as it is told to be.

Sources: Standard Webhooks 1.0 (headers, `v1,` signatures over `id.timestamp.body`, five minutes of tolerance, the id as
idempotency key); draft-ietf-httpapi-idempotency-key-header. Assumed: the wording of refusals.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from local.faults import Faults
from local.identity import Identity
from local.serving import StandIn

TOLERANCE_SECONDS = 300


@dataclass(frozen=True)
class Demand:
    """What a name asks of its callers: a signature, a bearer token as it is, or a token for an audience."""

    signing_secret: str = ""
    bearer: str = ""
    audience: str = ""


@dataclass(frozen=True)
class Received:
    """A request that was let in and did something. One that bears an id already seen is answered, but is not here."""

    name: str
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


class Receiver(StandIn):
    """Names and what they demand; what was received. A name that nobody has given a demand takes everything."""

    def __init__(self, identity: Identity, faults: Faults | None = None) -> None:
        super().__init__(faults)
        self.identity = identity
        self.demands: dict[str, Demand] = {}
        self.received: list[Received] = []
        self._seen: set[tuple[str, str]] = set()

    def routes(self) -> list[web.RouteDef]:
        """Every method on every path; the first part of the path is the name."""
        return [web.route("*", "/{name}", self._take), web.route("*", "/{name}/{rest:.*}", self._take)]

    def demand(self, name: str, *, signing_secret: str = "", bearer: str = "", audience: str = "") -> str:
        """Say what a name asks of its callers; return its URL."""
        self.demands[name] = Demand(signing_secret, bearer, audience)
        return f"{self.url}/{name}"

    async def _take(self, request: web.Request) -> web.Response:
        name, body = request.match_info["name"], await request.read()
        refusal = self._refusal(self.demands.get(name, Demand()), request, body)
        if refusal:
            return web.json_response({"error": {"code": "Unauthorized", "message": refusal}}, status=401)
        identifier = request.headers.get("webhook-id", "") or request.headers.get("Idempotency-Key", "")
        if identifier and (name, identifier) in self._seen:
            return web.json_response({"received": identifier, "duplicate": True})
        self._seen.add((name, str(identifier)))
        headers = {key.lower(): value for key, value in request.headers.items()}
        self.received.append(Received(name, request.method, request.raw_path, dict(request.query), headers, body))
        return web.json_response({"received": identifier})

    def _refusal(self, demand: Demand, request: web.Request, body: bytes) -> str:
        authorization = request.headers.get("Authorization", "")
        if demand.bearer and authorization != f"Bearer {demand.bearer}":
            return "The bearer token is wrong."
        if demand.audience and not self.identity.accepts(authorization, demand.audience):
            return "The token is not for this audience."
        return self._signature_refusal(demand.signing_secret, request.headers, body) if demand.signing_secret else ""

    def _signature_refusal(self, secret: str, headers: Any, body: bytes) -> str:
        identifier, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        if not identifier or not timestamp.isdigit():
            return "Missing required headers."
        if abs(self.clock() - int(timestamp)) > TOLERANCE_SECONDS:
            return "Message timestamp too old or too new."
        key = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
        mac = hmac.new(key, f"{identifier}.{timestamp}.".encode() + body, hashlib.sha256).digest()
        right = f"v1,{base64.b64encode(mac).decode()}"
        given = headers.get("webhook-signature", "").split(" ")
        return "" if any(hmac.compare_digest(each, right) for each in given) else "No matching signature found."
