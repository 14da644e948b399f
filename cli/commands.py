"""The commands: what happened, and replay or resolve of what did not end well."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from cli.client import Client

app = typer.Typer(no_args_is_help=True, help="Operate Registry Relay.", pretty_exceptions_enable=False)
events = typer.Typer(no_args_is_help=True, help="See what became of events; replay or resolve what did not end well.")
app.add_typer(events, name="events")

routes = typer.Typer(no_args_is_help=True, help="See which routes are stopped; stop and start them at once.")
app.add_typer(routes, name="routes")

COLOURS = {"succeeded": "green", "dead": "red", "parked": "yellow", "superseded": "yellow", "unrouted": "dim"}
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]
State = Annotated[str, typer.Option(help="dead or parked")]


@app.callback()
def connect(
    context: typer.Context,
    url: Annotated[str, typer.Option(envvar="RELAY_URL", help="where the app is, such as https://x.azurewebsites.net")],
    key: Annotated[str, typer.Option(envvar="RELAY_KEY", help="a function key; better in the environment")] = "",
) -> None:
    """Operate Registry Relay."""
    context.obj = Client(url, key)


@events.command("list")
def list_events(
    context: typer.Context,
    state: Annotated[str | None, typer.Option(help="dead, parked, succeeded, running, unrouted …")] = None,
    model: Annotated[str | None, typer.Option(help="only this model")] = None,
    days: Annotated[float, typer.Option(help="how far back")] = 7,
    limit: Annotated[int, typer.Option(help="how many at most")] = 50,
    as_json: AsJson = False,
) -> None:
    """List events, newest first. Example: python -m cli events list --state dead"""
    found = context.obj.get("events", state=state, model=model, days=days, limit=limit)["events"]
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    table = Table("received", "event", "type", "model", "version", "routes", "state", box=None)
    for event in found:
        received = datetime.fromtimestamp(event["received"], UTC).strftime("%Y-%m-%d %H:%M:%S")
        words = (event["type"], event["model"], event["version"], ", ".join(event["routes"]))
        table.add_row(received, event["event"], *map(_plain, words), _coloured(event["state"]))
    _console().print(table)


@events.command("show")
def show_event(context: typer.Context, event: str, as_json: AsJson = False) -> None:
    """Tell one event's story. Example: python -m cli events show 3f2a…"""
    story = context.obj.get(f"events/{event}")
    if as_json:
        typer.echo(json.dumps(story, indent=2))
        return
    console = _console()
    console.print(f"{story['type']}  {_plain(story['model'])} {_plain(story['version'])}  {_coloured(story['state'])}")
    for step in story["steps"]:
        console.print(f"\n{step['step']}  {_coloured(step['state'])}  {_plain(step.get('link', ''))}")
        for moment in step["history"]:
            console.print(f"  {moment['at'][:19]}  {moment['state']:<10} {_plain(moment.get('note', ''))}")


@events.command("replay")
def replay(
    context: typer.Context,
    event: Annotated[str | None, typer.Argument(help="an event; without it, all events since --since")] = None,
    step: Annotated[str | None, typer.Option(help="only this step of the event")] = None,
    since: Annotated[datetime | None, typer.Option(help="all failures since then, UTC")] = None,
    state: State = "dead",
    force: Annotated[bool, typer.Option("--force", help="do it once more, whatever was done before")] = False,
    routes: Annotated[bool, typer.Option("--routes", help="start the routes that match now and did not then")] = False,
) -> None:
    """Try again what is dead. It keeps its key: what was done already is found, not done twice.

    Example: python -m cli events replay 3f2a… --step wine-to-production.azure_devops_release
    """
    if (event is None) == (since is None):
        raise typer.BadParameter("give either an event or --since")
    if event is None:
        moment = since.replace(tzinfo=UTC).isoformat() if since else None
        answer = context.obj.post("replay", since=moment, states=[state], routes=routes)
    else:
        answer = context.obj.post(f"events/{event}/replay", step=step, force=force, states=[state], routes=routes)
    _tell(answer)


@events.command("resolve")
def resolve(
    context: typer.Context,
    event: str,
    step: str,
    outcome: Annotated[str, typer.Option(help="what you know of it, for the ledger")],
) -> None:
    """Note that a parked or dead step was done, and go on with its route.

    Example: python -m cli events resolve 3f2a… tell.slack --outcome "the message is in the channel"
    """
    _tell(context.obj.post(f"events/{event}/resolve", step=step, outcome=outcome))


@routes.command("list")
def list_routes(context: typer.Context, as_json: AsJson = False) -> None:
    """List the routes. Example: python -m cli routes list"""
    found = context.obj.get("routes")["routes"]
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for route in found:
        stop = route["stopped"]
        typer.echo(f"{route['route']}  " + (f"stopped {stop['since'][:19]}: {stop['reason']}" if stop else "running"))


@routes.command("stop")
def stop_route(
    context: typer.Context, route: str, reason: Annotated[str, typer.Option(help="why, for whoever finds it stopped")]
) -> None:
    """Stop a route: its steps are parked instead of acting, from within 5 seconds on.

    Example: python -m cli routes stop wine-to-production --reason "the test set is wrong"
    """
    context.obj.post(f"routes/{route}/stop", reason=reason)
    typer.echo(f"{route} is stopped")


@routes.command("start")
def start_route(
    context: typer.Context,
    route: str,
    replay: Annotated[bool, typer.Option("--replay", help="and do what was parked meanwhile")] = False,
) -> None:
    """Let a stopped route act again. Example: python -m cli routes start wine-to-production --replay"""
    _tell(context.obj.post(f"routes/{route}/start", replay=replay))


def _tell(answer: dict[str, Any]) -> None:
    for pointer in answer["ready"]:
        typer.echo(f"ready: {pointer['step']} of {pointer['event']}")
    typer.echo(f"{len(answer['ready'])} steps are ready")
    if answer.get("requeued"):
        typer.echo(f"{answer['requeued']} events that had been kept as poison are routed again")


def _console() -> Console:
    return Console(highlight=False, width=None if Console().is_terminal else 400)


def _plain(text: str) -> str:
    """Show a text from outside as it is: no markup, no control characters."""
    from rich.markup import escape

    return escape("".join(char if char.isprintable() else "�" for char in text))


def _coloured(state: str) -> str:
    return f"[{COLOURS.get(state, 'cyan')}]{state}[/]"
