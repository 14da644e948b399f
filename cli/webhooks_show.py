"""How webhooks and what is done with them are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from cli.output import console, plain, print_json

if TYPE_CHECKING:
    from cli.webhooks_apply import Done
    from cli.webhooks_look import Look
    from cli.webhooks_plan import Change, Found

COLOURS = {"create": "green", "update": "yellow", "delete": "red", "keep": "dim"}


def entry(look: Look) -> dict[str, Any]:
    """Return the plan for one source as plain data."""
    changes = [msgspec.to_builtins(change) for change in look.changes]
    return {"source": look.source, "changes": changes, "notes": list(look.notes), "failure": look.failure}


def row(registry: str, found: Found, mark: str) -> dict[str, Any]:
    """Return a webhook of a registry as plain data; `source` is whose it is, empty for one that isn't ours."""
    return {
        "registry": registry,
        "id": found.id,
        "source": found.description.removeprefix(mark) if found.description.startswith(mark) else "",
        "model": found.model,
        "status": found.status,
        "events": list(found.events),
        "url": found.url,
    }


def show_plan(looks: list[Look]) -> None:
    """Show what is to be done, and why."""
    for look in looks:
        for change in look.changes:
            _show_change(change)
        if look.failure:
            console().print(f"[red]failed[/]  {plain(look.source)}  {plain(look.failure)}")
        for note in look.notes:
            console().print(f"[yellow]note[/]    {plain(note)}")
    if not any(look.changes or look.failure for look in looks):
        console().print("No route needs a webhook of a registry whose address the routes file gives.")


def show_list(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Show the webhooks of registries."""
    from rich.table import Table

    if as_json:
        print_json(rows)
        return
    table = Table("registry", "webhook", "ours for", "models", "status", "events", "sends to", box=None)
    for each in rows:
        words = {**each, "model": each["model"] or "all", "events": ", ".join(each["events"])}
        table.add_row(*(plain(words[key]) for key in ("registry", "id", "source", "model", "status", "events", "url")))
    console().print(table)


def tell(done: Done) -> None:
    """Tell what came of a change, with the plan that the app has answered to the tests."""
    from cli.webhooks_apply import plan_lines

    colour = "green" if done.is_done else "red"
    console().print(f"[{colour}]{done.change.action:<6}[/]  {plain(done.change.source)}  {plain(done.outcome)}")
    for line in plan_lines(done.tested):
        console().print(f"        {plain(line)}")


def _show_change(change: Change) -> None:
    shown = change.wanted or change.found
    model, events = (shown.model, shown.events) if shown else ("", ())
    console().print(
        f"[{COLOURS[change.action]}]{change.action:<6}[/]  {plain(change.source)}  {plain(model or 'all models')}  "
        f"{plain(', '.join(events))}"
    )
    for reason in change.reasons:
        console().print(f"        {plain(reason)}")
