"""The door to Key Vault: it is asked here, and what it answers is judged. `shared/vault.py` remembers it.

Contract: azure-keyvault-secrets (list_properties_of_secret_versions, get_secret).
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

from shared.errors import SecretUnusable
from shared.redaction import remember
from shared.sessions import client_options
from shared.settings import is_loopback, settings
from shared.telemetry import span, tell

if TYPE_CHECKING:
    from azure.keyvault.secrets import SecretClient, SecretProperties

VERSIONS = 2
EXPIRING_DAYS = 30  # what expires sooner is told of with a warning


def fetch(name: str) -> tuple[str, ...]:
    """Return the two newest enabled versions, the newest first. Raises SecretUnusable, and what the SDK raises."""
    client = _client()
    with span("GET Key Vault", about={"secret": name}, asks=True):
        newest = enabled(name)[:VERSIONS]
        if not newest:
            raise SecretUnusable(f"secret {name!r} has no enabled version in the Key Vault")
        values = tuple(_usable(name, client.get_secret(name, found.version).value) for found in newest)
    _tell_of_age(name, newest[0].expires_on)
    return values


def enabled(name: str) -> list[SecretProperties]:
    """Return the versions that may be used, the newest first. Raises what the SDK raises."""
    found = [each for each in _client().list_properties_of_secret_versions(name) if each.enabled]
    return sorted(found, key=lambda each: each.created_on or 0, reverse=True)


def tell_of(name: str, outcome: str, level: int, **more: str | float) -> None:
    """Tell what came of asking for a secret; `more` are further dimensions, `reason` among them."""
    why = f": {more['reason']}" if more.get("reason") else ""
    tell("vault", f"secret {name} is {outcome}{why}", {"secret": name}, level=level, outcome=outcome, **more)


def _tell_of_age(name: str, expires: datetime | None) -> None:
    if expires is None:
        tell_of(name, "fetched", logging.INFO)
        return
    days = round((expires - datetime.now(UTC)).total_seconds() / 86400, 1)
    if days > EXPIRING_DAYS:
        tell_of(name, "fetched", logging.INFO, expires_days=days)
    else:
        tell_of(name, "expiring", logging.WARNING, expires_days=days)


def _usable(name: str, value: str | None) -> str:
    if not value:
        raise SecretUnusable(f"secret {name!r} is empty")
    if value.startswith("@Microsoft.KeyVault("):
        raise SecretUnusable(f"secret {name!r} holds an unresolved Key Vault reference instead of a secret")
    remember(value)
    return value


@cache
def _client() -> SecretClient:
    from azure.keyvault.secrets import SecretClient

    from shared.identity import credential

    url = settings().key_vault_url
    # The SDK wants the vault's challenge to name the vault's own domain; on this machine there is none.
    return SecretClient(
        vault_url=url,
        credential=credential(),
        verify_challenge_resource=not is_loopback(url),
        connection_timeout=4,
        read_timeout=4,
        retry_total=1,
        retry_status=0,  # else the SDK sleeps for as long as Retry-After says, with a delivery in hand
        retry_backoff_factor=0.2,
        **client_options(),
    )


def first_line(error: Exception) -> str:
    """Return the first line of what the SDK says, which adds pages to it; the error's type if it says nothing."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
