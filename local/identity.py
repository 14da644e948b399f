"""Stand-in for the managed identity endpoint of App Service and Functions.

Source of the request and reply: the App Service token endpoint as azure-identity calls it (api-version
2019-08-01). Assumed: which of 400 and 401 a bad header gets, and the wording of refusals.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from aiohttp import web

from local.faults import Faults
from local.serving import StandIn

VAULT_AUDIENCE = "https://vault.azure.net"
AZURE_DEVOPS_AUDIENCE = "499b84ac-1321-427f-aa17-267ca6975798"


@dataclass(frozen=True)
class Token:
    """A token that was issued. `expires_on` is in epoch seconds."""

    audience: str
    client_id: str | None
    expires_on: int


class Identity(StandIn):
    """Issues opaque tokens, each for one audience, and tells the other stand-ins which ones hold."""

    def __init__(self, faults: Faults | None = None) -> None:
        super().__init__(faults)
        self.secret = secrets.token_hex(16)
        self.lifetime_seconds = 86400
        self.client_ids: set[str] | None = None
        """The user-assigned identities that exist; None takes any client id."""
        self.tokens: dict[str, Token] = {}

    def routes(self) -> list[web.RouteDef]:
        """The one endpoint."""
        return [web.get("/msi/token", self._token)]

    @property
    def environment(self) -> dict[str, str]:
        """The two variables by which azure-identity finds this endpoint."""
        return {"IDENTITY_ENDPOINT": f"{self.url}/msi/token", "IDENTITY_HEADER": self.secret}

    def issue(self, audience: str, client_id: str | None = None) -> str:
        """A new token. It names its audience, so that one for the wrong service is easy to see."""
        token = f"token-for-{audience.removeprefix('https://').strip('/')}-{secrets.token_hex(12)}"
        expires_on = int(self.clock()) + self.lifetime_seconds
        self.tokens[token] = Token(audience.rstrip("/"), client_id, expires_on)
        return token

    def accepts(self, authorization: str, audience: str) -> bool:
        """Whether this Authorization header bears an unexpired token issued here for `audience`."""
        scheme, _, value = authorization.partition(" ")
        token = self.tokens.get(value)
        if scheme.lower() != "bearer" or token is None:
            return False
        return token.audience == audience.rstrip("/") and token.expires_on > self.clock()

    def revoke_all(self) -> None:
        """Make every token issued so far worthless. Clients that cached one do not know."""
        self.tokens.clear()

    async def _token(self, request: web.Request) -> web.Response:
        header = request.headers.get("X-IDENTITY-HEADER")
        resource, client_id = request.query.get("resource"), request.query.get("client_id")
        if header != self.secret:
            return _refusal(401 if header else 400, "The X-IDENTITY-HEADER is missing or wrong.")
        if request.query.get("api-version") != "2019-08-01" or not resource:
            return _refusal(400, "api-version=2019-08-01 and resource are required.")
        if client_id and self.client_ids is not None and client_id not in self.client_ids:
            return _refusal(400, "No managed identity found for the specified client id.")
        token = self.issue(resource, client_id)
        return web.json_response(
            {
                "access_token": token,
                "expires_on": str(self.tokens[token].expires_on),
                "resource": resource,
                "token_type": "Bearer",
                "client_id": client_id or "00000000-0000-0000-0000-000000000000",
            }
        )


def _refusal(status: int, message: str) -> web.Response:
    return web.json_response({"statusCode": status, "message": message}, status=status)
