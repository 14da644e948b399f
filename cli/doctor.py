"""`doctor`: all that can be wrong, found before the night: what the app finds, and the webhooks at the registries."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.client import app_url, client, safe_url
from cli.output import AsJson, console, plain, print_json
from cli.routes_file import ROUTES, RoutesFile
from cli.webhooks import PublicUrl, Vault

COLOURS = {"ok": "green", "warning": "yellow", "wrong": "red"}
Webhooks = Annotated[
    bool | None,
    typer.Option(
        "--webhooks/--no-webhooks",
        help="Look at the webhooks too, and let them be tested; without it, where the registries let you in.",
    ),
]


def doctor(
    context: typer.Context,
    routes: RoutesFile = ROUTES,
    vault: Vault = "",
    public_url: PublicUrl = "",
    webhooks: Webhooks = None,
    as_json: AsJson = False,
) -> None:
    """Look at all that can be wrong, and say what to do. Exit status 1 if anything is wrong.

    The app looks as its own identity: settings, routes, secrets and their age, storage, registries, Azure DevOps and
    the other targets, what is dead, parked or poison. Here, as you: each webhook, and a test call through it.

    Example: python -m cli doctor
    """
    findings: list[dict[str, str]] = client(context).get("doctor")["findings"]
    if webhooks is not False:
        from cli.doctor_webhooks import webhook_findings

        app = safe_url(public_url, "--public-url") if public_url else app_url(context)
        findings += webhook_findings(routes, app, vault, is_asked=bool(webhooks))
    order = list(reversed(COLOURS))
    findings.sort(key=lambda each: order.index(each["status"]))
    if as_json:
        print_json(findings)
    else:
        _show(findings)
    if any(each["status"] == "wrong" for each in findings):
        raise typer.Exit(1)


def _show(findings: list[dict[str, str]]) -> None:
    from rich.table import Table

    table = Table("", "check", "subject", "seen", "what to do", box=None)
    for each in findings:
        status = f"[{COLOURS[each['status']]}]{each['status']}[/]"
        table.add_row(status, *(plain(each[key]) for key in ("check", "subject", "seen", "advice")))
    console().print(table)
    counts = {status: sum(each["status"] == status for each in findings) for status in COLOURS}
    console().print(f"{counts['wrong']} wrong, {counts['warning']} warnings, {counts['ok']} ok")
