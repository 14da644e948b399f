"""The registries that the routes act on or ask: reachable, and this app is let in."""

from __future__ import annotations

from collections.abc import Iterator

from handlers.current_registries import registry_of
from shared.findings import Finding, ok
from shared.registries_rest import read

NO_MODEL = "registry-relay-doctor"


def look_at(source: str) -> Iterator[Finding]:
    """Ask the source's registry for a model that it has not. Raises a RelayError."""
    read(registry_of(source), "registered-models/get", {"name": NO_MODEL}, "registered_model")
    yield ok("registry", "it answers, and lets this app in", source)
