"""`events`: what became of them, as a table, as it comes, or as JSON."""

from __future__ import annotations

import itertools
import json
import time
from typing import Annotated, Any

import typer

from cli.client import client
from cli.output import AsJson, coloured, console, moment, plain, print_json
from cli.replay import Event, replay, resolve

events = typer.Typer(no_args_is_help=True, help="See what became of events; replay or resolve what did not end well.")
PAGE = 500
Model = Annotated[str | None, typer.Option(help="Only this model.")]


@events.command("list")
def list_events(
    context: typer.Context,
    state: Annotated[str | None, typer.Option(help="dead, parked, succeeded, running, unrouted …")] = None,
    model: Model = None,
    days: Annotated[float, typer.Option(help="How far back.")] = 7,
    limit: Annotated[int, typer.Option(help="How many at most.", min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """List events, newest first. Example: python -m cli events list --state dead"""
    from rich.table import Table

    pages = client(context).events(state=state, model=model, days=days, limit=min(limit, PAGE))
    found = list(itertools.islice(pages, limit))
    if as_json:
        print_json(found)
        return
    table = Table("received", "event", "type", "model", "version", "routes", "state", box=None)
    for event in found:
        words = (event["type"], event["model"], event["version"], ", ".join(event["routes"]))
        table.add_row(moment(event["received"]), event["event"], *map(plain, words), coloured(event["state"]))
    console().print(table)


@events.command("show")
def show_event(context: typer.Context, event: Event, as_json: AsJson = False) -> None:
    """Tell one event's story. Example: python -m cli events show 3f2a…"""
    story = client(context).get(f"events/{event}")
    if as_json:
        print_json(story)
        return
    out = console()
    out.print(f"{plain(story['type'])}  {plain(story['model'])} {plain(story['version'])}  {coloured(story['state'])}")
    for route, why in story.get("skipped", {}).items():
        out.print(f"\n{plain(route)}  [yellow]skipped[/]  {plain(why)}")
    for step in story["steps"]:
        out.print(f"\n{plain(step['step'])}  {coloured(step['state'])}  {plain(step.get('link', ''))}")
        for each in step["history"]:
            out.print(f"  {each['at'][:19]}  {each['state']:<10} {plain(each.get('note', ''))}")


@events.command("tail")
def tail(
    context: typer.Context,
    events: Annotated[list[str] | None, typer.Argument(help="Events; the command ends when they have.")] = None,
    model: Model = None,
    interval: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.2)] = 2.0,
    seconds: Annotated[float, typer.Option(help="How long; 0 = until interrupted.", min=0)] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Print each change of each event and step as it comes; of events that are named, from their beginning.

    The exit status is 1 if a step of a named event is dead or parked in the end.

    Example: python -m cli events tail --json | jq 'select(.state == "dead")'

    Example: python -m cli events tail 3f2a…
    """
    from cli.follow import Watch

    deadline = time.monotonic() + seconds
    try:
        watch = Watch(client(context), events or [], model)
        while not _told(watch, as_json) and (not seconds or time.monotonic() < deadline):
            time.sleep(interval)
    except KeyboardInterrupt:
        return
    if watch.failed and events:
        raise typer.Exit(1)


def _told(watch: Any, as_json: bool) -> bool:
    for change in watch.look():
        if as_json:
            typer.echo(json.dumps(change))
            continue
        what = f"{plain(change['model'])} {plain(change['version'])}  {plain(change['step'] or change['type'])}"
        note = plain(change["note"])
        console().print(f"{change['at'][11:19]}  {change['event'][:12]}  {what}  {coloured(change['state'])}  {note}")
    return bool(watch.is_over)


events.command("replay")(replay)
events.command("resolve")(resolve)
