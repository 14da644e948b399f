"""What the doctor finds of webhooks: there, as the routes need them, and signed so that the app takes a live test."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import typer

from cli.webhooks_apply import tests_of, told
from cli.webhooks_look import Look, Wish, look_at, managed_sources
from cli.webhooks_plan import Change
from shared.findings import Finding, defect, ok, warning
from shared.redaction import redacted

APPLY = "python -m cli webhooks apply"


def webhook_findings(routes: str, app: str, vault: str, *, is_asked: bool) -> list[dict[str, str]]:
    """Return what is found. What can't be looked at is wrong if it `is_asked` for, else it is told of as a warning."""
    from cli.routes_file import read_routes

    found = read_routes(routes)
    findings: list[Finding] = []
    try:
        wish = Wish(app, managed_sources(found, ()), vault)
        for look in look_at(found, wish):
            findings += _of(look, is_asked)
    except (typer.BadParameter, typer.Exit):
        findings.append(_unseen("webhooks", "the secret that opens the registry can't be had here", is_asked))
    return [{key: redacted(text) for key, text in msgspec.to_builtins(each).items()} for each in findings]


def _of(look: Look, is_asked: bool) -> Iterator[Finding]:
    if look.failure:
        yield _unseen(look.source, look.failure, is_asked)
    for change in look.changes:
        yield from _of_webhook(look, change)
    for note in look.notes:
        yield warning("webhook", note, "see README: Webhooks from the routes file", look.source)


def _unseen(subject: str, why: str, is_asked: bool) -> Finding:
    make = defect if is_asked else warning
    advice = "give DATABRICKS_TOKEN, --vault, or az login with an account that may manage webhooks; or --no-webhooks"
    return make("webhook", f"could not be looked at: {why}", advice, subject)


def _of_webhook(look: Look, change: Change) -> Iterator[Finding]:
    shown = change.wanted or change.found
    subject = f"{change.source}, {shown.model if shown and shown.model else 'all models'}"
    if change.action == "delete":
        yield warning("webhook", f"is not needed: {', '.join(change.reasons)}", APPLY, subject)
    elif change.action != "keep":
        yield defect("webhook", f"{change.action}: {'; '.join(change.reasons)}", APPLY, subject)
    elif look.door and change.found:
        tested = tests_of(look.door, change.found.id, change.found.events, 0.0)
        if wrong := told(tested):
            yield defect("webhook", wrong, f"does the registry have the vault's secret? {APPLY} --rotate", subject)
        else:
            yield ok("webhook", f"ACTIVE, {len(tested)} events, each test was answered 202", subject)
