"""Stand-in for Key Vault secrets, over HTTPS as the SDK demands.

Shapes, paging and error codes: Key Vault REST 7.5 (`secrets.json`). The challenge: azure-keyvault-secrets.
SecretDisabled under Forbidden: reported by many users, word for word. Assumed: listing the versions of an
unknown name gives an empty list; the order of a listing is by version id, which says nothing about age.
"""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from local.faults import Faults
from local.identity import VAULT_AUDIENCE, Identity
from local.serving import StandIn, certificate

CHALLENGE = (
    'Bearer authorization="https://login.microsoftonline.com/72f988bf-0000-0000-0000-2d7cd011db47", '
    f'resource="{VAULT_AUDIENCE}"'
)
# Bodies to give to `faults.add(..., status=403, body=FORBIDDEN)` and so on.
FORBIDDEN = {
    "error": {
        "code": "Forbidden",
        "message": "Caller is not authorized to perform action on resource.",
        "innererror": {"code": "ForbiddenByRbac"},
    }
}
THROTTLED = {"error": {"code": "Throttled", "message": "Request was not processed because too many requests."}}


@dataclass
class Version:
    """One version of a secret; times are whole seconds, as in the real service."""

    id: str
    value: str
    created: int
    updated: int
    enabled: bool = True

    @property
    def attributes(self) -> dict[str, Any]:
        """The `attributes` object of the wire format."""
        return {
            "enabled": self.enabled,
            "created": self.created,
            "updated": self.updated,
            "recoveryLevel": "Recoverable+Purgeable",
        }


class KeyVault(StandIn):
    """Secrets with versions. `counts` has how often each was read: "get", "versions" and "challenge"."""

    def __init__(self, identity: Identity, faults: Faults | None = None) -> None:
        super().__init__(faults)
        self.tls = certificate().context
        self.identity = identity
        self.secrets: dict[str, list[Version]] = {}
        self.counts: Counter[str] = Counter()
        self.page_size = 25  # the service's own maximum

    def set(self, name: str, value: str, *, enabled: bool = True) -> str:
        """Add a version to `name` and return its id (32 hex digits).

        The service has no finer clock than a second, and two versions of one second can't be told apart by
        age. Here each version is at least one second younger than the one before, so that a client that
        sorts by `created` sees the order in which a test made them.
        """
        versions = self.secrets.setdefault(name, [])
        created = max(int(self.clock()), versions[-1].created + 1 if versions else 0)
        versions.append(Version(secrets.token_hex(16), value, created, created, enabled))
        return versions[-1].id

    def disable(self, name: str, version: str) -> None:
        """Switch one version off: its value can't be read any more, but it is still listed."""
        found = next(each for each in self.secrets[name] if each.id == version)
        found.enabled, found.updated = False, max(int(self.clock()), found.created)

    def routes(self) -> list[web.RouteDef]:
        """Read one secret; list its versions. The SDK asks for the latest version with a slash at the end."""
        return [
            web.get("/secrets/{name}", self._get),
            web.get("/secrets/{name}/", self._get),
            web.get("/secrets/{name}/versions", self._versions),
            web.get("/secrets/{name}/{version}", self._get),
        ]

    def middlewares(self) -> list[Any]:
        """Every request needs a token; the first one of a client comes without, to be challenged."""
        return [self._authenticate]

    @web.middleware
    async def _authenticate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if self.identity.accepts(request.headers.get("Authorization", ""), VAULT_AUDIENCE):
            response: web.StreamResponse = await handler(request)
            return response
        self.counts["challenge"] += 1
        refusal = _error(401, "Unauthorized", "AKV10000: Request is missing a Bearer or PoP token.")
        refusal.headers["WWW-Authenticate"] = CHALLENGE
        return refusal

    async def _get(self, request: web.Request) -> web.Response:
        self.counts["get"] += 1
        name, wanted = request.match_info["name"], request.match_info.get("version")
        versions = [each for each in self.secrets.get(name, []) if wanted in (None, each.id)]
        if not versions:
            label = f"{name}/{wanted}" if wanted else name
            return _error(404, "SecretNotFound", f"A secret with (name/id) {label} was not found in this key vault.")
        version = versions[-1]  # the youngest, also when it is disabled and an older one is not
        if not version.enabled:
            message = "Operation get is not allowed on a disabled secret."
            return _error(403, "Forbidden", message, inner="SecretDisabled")
        return web.json_response({"value": version.value, **self._item(name, version)})

    async def _versions(self, request: web.Request) -> web.Response:
        self.counts["versions"] += 1
        name, after = request.match_info["name"], request.query.get("$skiptoken", "")
        size = min(self.page_size, int(request.query.get("maxresults", self.page_size)))
        left = sorted((each for each in self.secrets.get(name, []) if each.id > after), key=lambda each: each.id)
        page, more = left[:size], len(left) > size
        query = {
            "api-version": request.query.get("api-version", ""),
            "$skiptoken": page[-1].id if page else "",
        }
        following = str(request.url.with_query(query)) if more else None
        return web.json_response({"value": [self._item(name, each) for each in page], "nextLink": following})

    def _item(self, name: str, version: Version) -> dict[str, Any]:
        return {"id": f"{self.url}/secrets/{name}/{version.id}", "attributes": version.attributes}


def _error(status: int, code: str, message: str, inner: str | None = None) -> web.Response:
    error: dict[str, Any] = {"code": code, "message": message}
    if inner:
        error["innererror"] = {"code": inner}
    return web.json_response({"error": error}, status=status)
