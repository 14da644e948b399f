"""Secrets from Key Vault: the two newest enabled versions of each, cached, refreshed on need, kept through outages.

Rotation needs two valid versions at once: the sender's webhook still signs with the old one while the new one is
already in the vault. Rules (docs/decisions and README say them to operators):
 * a cached secret is fresh for SECRET_CACHE_SECONDS, so a disabled version is refused after that time at the latest;
 * a signature that doesn't match asks for one early refresh, at most one per secret in 30 s, so that nobody can make
   this app hammer the vault by sending rubbish;
 * while the vault can't be asked, the last known good secret serves for up to 24 h.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from shared.errors import SecretUnusable, VaultUnavailable
from shared.redaction import remember
from shared.sessions import client_options
from shared.settings import is_loopback, settings
from shared.telemetry import span, tell
from shared.waits import about_to_wait

if TYPE_CHECKING:
    from collections.abc import Iterable

    from azure.keyvault.secrets import SecretClient, SecretProperties

MINIMUM_BYTES = 16
EARLY_REFRESH_SECONDS = 30.0
RETRY_AFTER_FAILURE_SECONDS = 5.0
NEWS_SECONDS = 1.0  # read so short a time ago, the vault has no news: the early refresh is kept for later
LAST_KNOWN_GOOD_SECONDS = 24 * 3600.0
VERSIONS = 2
EXPIRING_DAYS = 30  # what expires sooner is told of with a warning


class _Entry(msgspec.Struct):
    lock: threading.Lock
    values: tuple[str, ...] = ()
    signing: tuple[bytes, ...] = ()  # the same, as bytes
    unusable: str = ""
    read_at: float = -LAST_KNOWN_GOOD_SECONDS
    asked_at: float = -LAST_KNOWN_GOOD_SECONDS
    refused_at: float = -LAST_KNOWN_GOOD_SECONDS
    failed: str = ""


_entries: dict[str, _Entry] = {}
_entries_lock = threading.Lock()


def secret(name: str) -> str:
    """Return the newest enabled version of a secret, for use as a password or URL. Raises as `versions` does."""
    return _current(name).values[0]


def versions(name: str) -> tuple[bytes, ...]:
    """Return the valid versions of a signing secret, newest first.

    Raises SecretUnusable (the vault's content has to be mended) or VaultUnavailable (try again later).
    """
    return _long_enough(name, _current(name).signing)


def look(name: str, signs: bool) -> list[tuple[datetime | None, datetime | None]]:
    """Ask the vault itself, past what is cached; return when each enabled version was created and when it expires.

    The newest comes first. Raises SecretUnusable, also for one that `signs` and is too short, and VaultUnavailable.
    """
    from azure.core.exceptions import AzureError, ResourceNotFoundError

    try:
        values = _fetch(name)
        found = _enabled(name)
    except ResourceNotFoundError:
        raise SecretUnusable(f"secret {name!r} is not in the Key Vault") from None
    except (AzureError, ValueError) as error:
        raise VaultUnavailable(f"Key Vault could not be asked for {name!r}: {_first_line(error)}") from None
    if signs:
        _long_enough(name, _bytes_of(values))
    return [(each.created_on, each.expires_on) for each in found]


def renew(name: str) -> None:
    """Ask the vault now, however fresh what is cached may be. If it can't be asked, what is known is kept."""
    entry = _entry(name)
    with entry.lock:
        _read(name, entry)


def refresh_early(name: str, known: tuple[bytes, ...]) -> bool:
    """Ask the vault before the cache time is over, since a signature matched none of the `known` versions.

    Returns whether there are others now, whoever asked; the vault is not asked again within 30 s. Raises
    VaultUnavailable when it was due and the vault can't be asked: then nobody knows whether the signature is wrong.
    """
    entry = _entry(name)
    if entry.lock.locked() or _may_have_news(entry):
        about_to_wait()
        with entry.lock:
            if _may_have_news(entry):
                _look_for_news(name, entry)
    return _long_enough(name, entry.signing) != known


def _may_have_news(entry: _Entry) -> bool:
    now = time.monotonic()
    was_just_read = not entry.failed and now - entry.asked_at < NEWS_SECONDS
    return now - entry.refused_at >= EARLY_REFRESH_SECONDS and not was_just_read


def _look_for_news(name: str, entry: _Entry) -> None:
    entry.refused_at = time.monotonic()
    if not entry.failed or entry.refused_at - entry.asked_at >= RETRY_AFTER_FAILURE_SECONDS:
        _read(name, entry)
    if entry.failed:
        raise VaultUnavailable(f"Key Vault could not be asked for {name!r}: {entry.failed}")


def _current(name: str) -> _Entry:
    entry = _entry(name)
    if not _is_fresh(entry):
        about_to_wait()
        # Whoever comes first asks; the others wait only when there is nothing to serve meanwhile.
        if entry.lock.acquire(blocking=not _servable(entry)):
            try:
                _read_if_due(name, entry)
            finally:
                entry.lock.release()
    if entry.unusable:
        raise SecretUnusable(entry.unusable)
    if not _servable(entry):
        raise VaultUnavailable(f"Key Vault could not be asked for {name!r}: {entry.failed}")
    return entry


def _servable(entry: _Entry) -> bool:
    return bool(entry.values) and time.monotonic() - entry.read_at < LAST_KNOWN_GOOD_SECONDS


def _is_fresh(entry: _Entry) -> bool:
    # what was missing or unusable is looked for again soon: somebody is just mending it
    lasts = RETRY_AFTER_FAILURE_SECONDS if entry.unusable else settings().secret_cache_seconds
    return time.monotonic() - entry.read_at < min(lasts, settings().secret_cache_seconds)


def _read_if_due(name: str, entry: _Entry) -> None:
    now = time.monotonic()
    failed_just_now = bool(entry.failed) and now - entry.asked_at < RETRY_AFTER_FAILURE_SECONDS
    if not _is_fresh(entry) and not failed_just_now:
        _read(name, entry)


def _read(name: str, entry: _Entry) -> None:
    from azure.core.exceptions import AzureError, ResourceNotFoundError

    try:
        entry.values, entry.unusable = _fetch(name), ""
    except ResourceNotFoundError:
        entry.values, entry.unusable = (), f"secret {name!r} is not in the Key Vault"
    except SecretUnusable as error:
        entry.values, entry.unusable = (), str(error)
    except (AzureError, ValueError) as error:  # a reply that is no JSON, a proxy's page say, is a ValueError
        entry.failed = _first_line(error)
        entry.asked_at = time.monotonic()
        _tell(name, "stale" if _servable(entry) else "failed", logging.ERROR, reason=entry.failed)
        return
    entry.signing = _bytes_of(entry.values)
    entry.failed = ""
    entry.read_at = entry.asked_at = time.monotonic()
    if entry.unusable:
        _tell(name, "failed", logging.ERROR, reason=entry.unusable)


def _fetch(name: str) -> tuple[str, ...]:
    client = _client()
    with span("GET Key Vault", about={"secret": name}, asks=True):
        newest = _enabled(name)[:VERSIONS]
        if not newest:
            raise SecretUnusable(f"secret {name!r} has no enabled version in the Key Vault")
        values = tuple(_usable(name, client.get_secret(name, found.version).value) for found in newest)
    _tell_of_age(name, newest[0].expires_on)
    return values


def _enabled(name: str) -> list[SecretProperties]:
    """The versions that may be used, the newest first."""
    found = [each for each in _client().list_properties_of_secret_versions(name) if each.enabled]
    return sorted(found, key=lambda each: each.created_on or 0, reverse=True)


def _bytes_of(values: Iterable[str]) -> tuple[bytes, ...]:
    return tuple(value.encode() for value in values)


def _long_enough(name: str, signing: tuple[bytes, ...]) -> tuple[bytes, ...]:
    if min(map(len, signing), default=MINIMUM_BYTES) < MINIMUM_BYTES:
        raise SecretUnusable(f"secret {name!r} is shorter than {MINIMUM_BYTES} bytes: too short to sign with")
    return signing


def _tell_of_age(name: str, expires: datetime | None) -> None:
    if expires is None:
        _tell(name, "fetched", logging.INFO)
        return
    days = round((expires - datetime.now(UTC)).total_seconds() / 86400, 1)
    if days > EXPIRING_DAYS:
        _tell(name, "fetched", logging.INFO, expires_days=days)
    else:
        _tell(name, "expiring", logging.WARNING, expires_days=days)


def _tell(name: str, outcome: str, level: int, **more: str | float) -> None:
    why = f": {more['reason']}" if more.get("reason") else ""
    tell("vault", f"secret {name} is {outcome}{why}", {"secret": name}, level=level, outcome=outcome, **more)


def _usable(name: str, value: str | None) -> str:
    if not value:
        raise SecretUnusable(f"secret {name!r} is empty")
    if value.startswith("@Microsoft.KeyVault("):
        raise SecretUnusable(f"secret {name!r} holds an unresolved Key Vault reference instead of a secret")
    remember(value)
    return value


def _entry(name: str) -> _Entry:
    if found := _entries.get(name):
        return found
    with _entries_lock:
        return _entries.setdefault(name, _Entry(lock=threading.Lock()))


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


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
