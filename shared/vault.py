"""Secrets from Key Vault: the two newest enabled versions of each, cached, refreshed on need, kept through outages.

The door to the vault is shared/key_vault.py; here is what is remembered. Rotation needs two valid versions at once: the
sender's webhook still signs with the old one while the new one is already in the vault. Rules (docs/decisions and
README say them to operators):
 * a cached secret is fresh for SECRET_CACHE_SECONDS, so a disabled version is refused after that time at the latest;
 * a signature that doesn't match asks for one early refresh, at most one per secret in 30 s, so that nobody can make
   this app hammer the vault by sending rubbish;
 * while the vault can't be asked, the last known good secret serves for up to 24 h.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from datetime import datetime

import msgspec

from shared import key_vault
from shared.errors import SecretUnusable, VaultUnavailable
from shared.settings import settings
from shared.waits import about_to_wait

MINIMUM_BYTES = 16
EARLY_REFRESH_SECONDS = 30.0
RETRY_AFTER_FAILURE_SECONDS = 5.0
NEWS_SECONDS = 1.0  # read so short a time ago, the vault has no news: the early refresh is kept for later
LAST_KNOWN_GOOD_SECONDS = 24 * 3600.0


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
        values = key_vault.fetch(name)
        found = key_vault.enabled(name)
    except ResourceNotFoundError:
        raise SecretUnusable(f"secret {name!r} is not in the Key Vault") from None
    except (AzureError, ValueError) as error:
        raise VaultUnavailable(f"Key Vault could not be asked for {name!r}: {key_vault.first_line(error)}") from None
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
        entry.values, entry.unusable = key_vault.fetch(name), ""
    except ResourceNotFoundError:
        entry.values, entry.unusable = (), f"secret {name!r} is not in the Key Vault"
    except SecretUnusable as error:
        entry.values, entry.unusable = (), str(error)
    except (AzureError, ValueError) as error:  # a reply that is no JSON, a proxy's page say, is a ValueError
        entry.failed = key_vault.first_line(error)
        entry.asked_at = time.monotonic()
        key_vault.tell_of(name, "stale" if _servable(entry) else "failed", logging.ERROR, reason=entry.failed)
        return
    entry.signing = _bytes_of(entry.values)
    entry.failed = ""
    entry.read_at = entry.asked_at = time.monotonic()
    if entry.unusable:
        key_vault.tell_of(name, "failed", logging.ERROR, reason=entry.unusable)


def _bytes_of(values: Iterable[str]) -> tuple[bytes, ...]:
    return tuple(value.encode() for value in values)


def _long_enough(name: str, signing: tuple[bytes, ...]) -> tuple[bytes, ...]:
    if min(map(len, signing), default=MINIMUM_BYTES) < MINIMUM_BYTES:
        raise SecretUnusable(f"secret {name!r} is shorter than {MINIMUM_BYTES} bytes: too short to sign with")
    return signing


def _entry(name: str) -> _Entry:
    if found := _entries.get(name):
        return found
    with _entries_lock:
        return _entries.setdefault(name, _Entry(lock=threading.Lock()))
