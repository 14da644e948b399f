"""The operators' commands, as a person calls them."""

from __future__ import annotations

from dataclasses import dataclass

from typer.testing import CliRunner

from cli.commands import app
from tests.conftest import Relay

UNSET = dict.fromkeys(("RELAY_URL", "RELAY_KEY", "RELAY_AUDIENCE"), "")


@dataclass(frozen=True)
class Ended:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str


def run(*words: str, stdin: str = "", relay: Relay | None = None, **env: str) -> Ended:
    """Run a command; with a relay, its URL and key are in the environment."""
    place = {"RELAY_URL": relay.worker.url, "RELAY_KEY": relay.system.function_key} if relay else {}
    found = CliRunner().invoke(app, list(words), input=stdin, env={**UNSET, **place, **env})
    unforeseen = found.exception is not None and not isinstance(found.exception, SystemExit)
    assert not unforeseen, f"{found.exception!r}"
    return Ended(found.exit_code, found.stdout, found.stderr)
