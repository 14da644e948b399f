"""`events replay` and `events resolve`: try again what did not end well, or note that it was done."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from cli.client import client
from cli.output import refused

State = Annotated[str, typer.Option(help="Which steps: dead or parked.")]
Event = Annotated[str, typer.Argument(help="The event's id.")]


def replay(
    context: typer.Context,
    event: Annotated[str | None, typer.Argument(help="An event; without it, all events since --since.")] = None,
    step: Annotated[str | None, typer.Option(help="Only this step of the event.")] = None,
    since: Annotated[datetime | None, typer.Option(help="All failures since then, UTC.")] = None,
    state: State = "dead",
    force: Annotated[bool, typer.Option("--force", help="Do it once more, whatever was done before.")] = False,
    routes: Annotated[bool, typer.Option("--routes", help="Start the routes that match now and did not then.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Stay until these steps have ended.")] = False,
    seconds: Annotated[float, typer.Option(help="… but no longer than that; 0 = without end.", min=0)] = 0.0,
) -> None:
    """Try again what is dead. It keeps its key: what was done already is found, not done twice.

    Example: python -m cli events replay 3f2a… --step wine-to-production.azure_devops_release

    Example: python -m cli events replay --since 2026-11-20T22:00:00 --follow
    """
    if (event is None) == (since is None):
        raise typer.BadParameter("give either an event or --since")
    app = client(context)
    if event is None:
        moment = since.replace(tzinfo=UTC).isoformat() if since else None
        answer = app.post("replay", since=moment, states=[state], routes=routes)
    else:
        answer = app.post(f"events/{event}/replay", step=step, force=force, states=[state], routes=routes)
    tell(answer)
    if follow and answer["ready"]:
        _follow(app, answer["ready"], seconds)


def resolve(
    context: typer.Context,
    event: Event,
    step: Annotated[str, typer.Argument(help="The step, as `events show` names it.")],
    outcome: Annotated[str, typer.Option(help="What you know of it, for the ledger.")],
) -> None:
    """Note that a parked or dead step was done, and go on with its route.

    Example: python -m cli events resolve 3f2a… tell.slack --outcome "the message is in the channel"
    """
    tell(client(context).post(f"events/{event}/resolve", step=step, outcome=outcome))


def tell(answer: dict[str, Any]) -> None:
    """Print which steps are ready now."""
    for pointer in answer["ready"]:
        typer.echo(f"ready: {pointer['step']} of {pointer['event']}")
    count = len(answer["ready"])
    typer.echo(f"{count} {'step is' if count == 1 else 'steps are'} ready")
    if answer.get("requeued"):
        typer.echo(f"{answer['requeued']} events that had been kept as poison are routed again")


def _follow(app: Any, ready: list[dict[str, str]], seconds: float) -> None:
    from cli.follow import follow

    left, ended = follow(app, ready, seconds)
    failed = [step for step in ended if step["state"] in ("dead", "parked")]
    typer.echo(f"{len(ended) - len(failed)} ended well, {len(failed)} did not, {left} have not ended yet")
    if left:
        raise refused(f"not followed any further: {left} steps go on without being watched")
    if failed:
        raise typer.Exit(1)
