"""`routes`: which are stopped; stop and start them at once, without a deployment."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.client import client
from cli.output import AsJson, console, plain, print_json
from cli.replay import tell

routes = typer.Typer(no_args_is_help=True, help="See which routes are stopped; stop and start them at once.")
Route = Annotated[str, typer.Argument(help="A route's name.")]


@routes.command("list")
def list_routes(context: typer.Context, as_json: AsJson = False) -> None:
    """List the routes in force. Example: python -m cli routes list"""
    found = client(context).get("routes")["routes"]
    if as_json:
        print_json(found)
        return
    for route in found:
        stop = route["stopped"]
        state = f"[yellow]stopped[/] {stop['since'][:19]}: {plain(stop['reason'])}" if stop else "running"
        console().print(f"{plain(route['route'])}  {state}")


@routes.command("stop")
def stop_route(
    context: typer.Context,
    route: Route,
    reason: Annotated[str, typer.Option(help="Why, for whoever finds it stopped.")],
) -> None:
    """Stop a route: its steps are parked instead of acting, from within 5 seconds on.

    Example: python -m cli routes stop wine-to-production --reason "the test set is wrong"
    """
    client(context).post(f"routes/{part(route)}/stop", reason=reason)
    typer.echo(f"{route} is stopped")


@routes.command("start")
def start_route(
    context: typer.Context,
    route: Route,
    replay: Annotated[bool, typer.Option("--replay", help="And do what was parked meanwhile.")] = False,
) -> None:
    """Let a stopped route act again. Example: python -m cli routes start wine-to-production --replay"""
    tell(client(context).post(f"routes/{part(route)}/start", replay=replay))


def part(text: str) -> str:
    """Return a text as one part of a path."""
    from urllib.parse import quote

    return quote(text, safe="")
