"""The app's health: can deliveries be judged and stored, and if not, why."""

from __future__ import annotations

from typing import Any

from handlers.current_routes import current_routes
from shared import open_events, vault
from shared.errors import RelayError, RoutesError
from shared.settings import settings


def health() -> tuple[bool, dict[str, Any]]:
    """Return whether deliveries can be judged and stored, and why not: settings, routes, secrets, ledger."""
    problems = [*_problems_of_settings(), *_problems_of_routes(), *_problems_of_storage()]
    return not problems, {"status": "red" if problems else "green", "problems": problems}


def _problems_of_settings() -> list[str]:
    try:
        settings()
    except RelayError as error:
        return [str(error)]
    return []


def _problems_of_routes() -> list[str]:
    try:
        sources = current_routes().sources
    except RoutesError as error:
        return error.problems
    except RelayError as error:
        return [str(error)]
    problems = []
    for name, source in sources.items():
        for secret in filter(None, (source.secret, source.authorization_secret)):
            try:
                vault.versions(secret)
            except RelayError as error:
                problems.append(f"source {name}: {error}")
    return problems


def _problems_of_storage() -> list[str]:
    try:
        next(iter(open_events.ids()), None)
    except Exception as error:  # whatever the storage SDK raises: the page has to come up and say so
        return [f"the storage account can't be used: {type(error).__name__}"]
    return []
