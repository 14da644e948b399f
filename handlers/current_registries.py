"""The registries of the routes in force, with their credentials, to be read and acted on."""

from __future__ import annotations

from handlers.current_routes import current_routes
from shared import vault
from shared.attempts import Access
from shared.errors import PermanentFailure
from shared.registries import Registry


def access_for(source: str = "") -> Access:
    """Return a target's access to secrets and registries; `source` is the registry that it means by no name."""
    return Access(vault.secret, lambda name: registry_of(name or source))


def registry_of(name: str) -> Registry:
    """Return the registry of a source of the routes file.

    Raises PermanentFailure for a source without an address; SecretUnusable, VaultUnavailable, RoutesError and
    RoutesUnavailable as they come.
    """
    source = current_routes().sources.get(name)
    if source is None or not source.address:
        raise PermanentFailure(f"source {name!r} of the routes file has no `workspace` or `tracking_uri`")
    credential = vault.secret(source.token_secret) if source.token_secret else ""
    return Registry("databricks" if source.workspace else "mlflow", source.address.rstrip("/"), credential)
