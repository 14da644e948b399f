"""The registries of the routes in force, with their credentials, to be read and acted on."""

from __future__ import annotations

from collections.abc import Callable

from handlers.current_routes import current_routes
from shared import vault
from shared.attempts import Access
from shared.errors import PermanentFailure
from shared.registries import Registry
from shared.routes import Routes


def access_for(source: str = "") -> Access:
    """Return a target's access to secrets and registries; `source` is the registry that it means by no name."""
    return Access(vault.secret, lambda name: registry_of(name or source))


def registry_of(name: str) -> Registry:
    """Return the registry of a source of the routes file.

    Raises PermanentFailure for a source without an address; SecretUnusable, VaultUnavailable, RoutesError and
    RoutesUnavailable as they come.
    """
    return registry_in(current_routes(), name, vault.secret)


def registry_in(routes: Routes, name: str, secret: Callable[[str], str]) -> Registry:
    """Return the registry of a source of these routes; `secret` gives what its `token_secret` names.

    Raises PermanentFailure for a source without an address, and what `secret` raises.
    """
    source = routes.sources.get(name)
    if source is None or not source.address:
        raise PermanentFailure(f"source {name!r} of the routes file has no `workspace` or `tracking_uri`")
    credential = secret(source.token_secret) if source.token_secret else ""
    return Registry(source.registry_kind, source.address.rstrip("/"), credential)
