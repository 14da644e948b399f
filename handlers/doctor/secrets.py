"""The secrets that the routes file names: in the vault, usable, not too old, not about to expire."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from handlers.targets import rules_of_targets
from shared import vault
from shared.findings import Finding, ok, warning
from shared.key_vault import EXPIRING_DAYS
from shared.routes import Routes

OLD = timedelta(days=365)
ROTATED = timedelta(days=7)  # after that the former version has no sender any more
CHECK = "secret"
SIGNS = "signs deliveries of"


def needed(routes: Routes) -> dict[str, list[str]]:
    """Return the secrets that the routes name, each with what it is for."""
    found: dict[str, list[str]] = {}
    for name, source in routes.sources.items():
        for secret, use in (
            (source.secret, SIGNS),
            (source.authorization_secret, "is the Authorization of"),
            (source.token_secret, "opens the registry of"),
        ):
            if secret:
                found.setdefault(secret, []).append(f"{use} {name}")
    rules = rules_of_targets()
    for route in routes.routes:
        for step in (*route.steps, *route.on_failure):
            for named in rules[step.target].secrets_in(step.options).values():
                found.setdefault(named, []).append(f"{route.name}.{step.id}")
    return found


def look_at(name: str, uses: list[str], now: datetime) -> Iterator[Finding]:
    """Ask the vault itself, past what is cached. Raises SecretUnusable or VaultUnavailable."""
    signs = any(use.startswith(SIGNS) for use in uses)
    found = vault.look(name, signs)
    created, expires = found[0]
    count = f"{len(found)} enabled version{'s' * (len(found) > 1)}"
    seen = f"{count}, the newest {_age(created, now)}; {_shown(uses)}"
    if expires and expires - now < timedelta(days=EXPIRING_DAYS):
        yield warning(CHECK, f"it expires {expires:%Y-%m-%d}; {_shown(uses)}", _rotate(signs), name)
    elif created and now - created > OLD:
        yield warning(CHECK, seen, _rotate(signs), name)
    elif signs and len(found) > 1 and created and now - created > ROTATED:
        yield warning(CHECK, seen, "the former version is valid still: disable it in the vault", name)
    else:
        yield ok(CHECK, seen, name)


def _rotate(signs: bool) -> str:
    if signs:
        return "add a new version in the vault, then: python -m cli webhooks apply --rotate; then disable the old one"
    return "renew it where it comes from, and add the new one to the vault as a new version"


def _age(created: datetime | None, now: datetime) -> str:
    return f"{(now - created).days} days old" if created else "of unknown age"


def _shown(uses: list[str]) -> str:
    return ", ".join(uses[:3]) + (f" and {len(uses) - 3} more" if len(uses) > 3 else "")
