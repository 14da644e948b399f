"""`make run`: the whole system on this machine, two signed deliveries, and what became of them.

With `--once` it ends after these, with exit status 0 only if every step succeeded; without, it stays up and tells of
each further event until interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import requests
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from local import sender
from local.system import System
from local.trace_tree import trace_tree
from local.worker import Host

if TYPE_CHECKING:
    from shared.steps import Step
    from shared.stories import Story

PATIENCE_SECONDS = 60.0
MANY = 1000
COLOURS = {"succeeded": "green", "dead": "red", "parked": "yellow", "superseded": "yellow"}
console = Console(highlight=False, width=400)  # a link that is cut is no link: the terminal wraps


def main() -> int:
    """Run, and return the exit status."""
    parser = argparse.ArgumentParser(prog="make run", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the two samples")
    once = parser.parse_args().once
    console.print("Starting storage (Azurite), stand-ins and the local Functions host …")
    with System(forward=os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")) as system:
        os.environ.update(system.environment())  # for our own look into the ledger
        worker = system.worker(system.collector.environment())
        _show_parts(system, worker)
        results = [_sample(system, send, title) for title, send in _samples(system, worker)]
        if once:
            return 0 if all(results) else 1
        _show_how_to_try(system, worker)
        try:
            _tell_of_events(system, worker)
        except KeyboardInterrupt:
            console.print("\nStopping.")
    return 0


def _show_parts(system: System, worker: Host) -> None:
    parts = {
        "webhooks": f"{worker.url}/api/webhooks/wine-dev (Databricks), …/models (MLflow)",
        "health": f"{worker.url}/api/health",
        "storage": f"Azurite, queues on port {system.azurite.ports['Queue']}",
        "Key Vault": f"{system.vault.url} (stand-in)",
        "Azure DevOps": f"{system.devops.url} (stand-in)",
        "chat": f"{system.chat.url} (stand-in for Slack and Teams)",
        "telemetry": _telemetry(system),
    }
    for name, place in parts.items():
        console.print(f"  {name:<13}{place}")


def _telemetry(system: System) -> str:
    onward = f", handed on to {system.collector.forward}" if system.collector.forward else ""
    return f"{system.collector.url} (OTLP; OTEL_EXPORTER_OTLP_ENDPOINT says where to hand it on{onward})"


def _samples(system: System, worker: Host) -> Iterator[tuple[str, Callable[[], requests.Response]]]:
    wine = sender.databricks_stage_change("wine_quality", "3", "Production")
    champion = {"name": "wine_quality", "alias": "champion", "version": "4"}
    url, secret = f"{worker.url}/api/webhooks", system.secret
    yield (
        "Databricks says: wine_quality version 3 went from Staging to Production",
        lambda: sender.send_databricks(f"{url}/wine-dev", secret("wine-dev-webhook"), wine),
    )
    yield (
        "MLflow says: wine_quality version 4 is the champion now",
        lambda: sender.send_mlflow(
            f"{url}/models", secret("models-webhook"), sender.mlflow_body("model_version_alias", "created", champion)
        ),
    )


def _sample(system: System, send: Callable[[], requests.Response], title: str) -> bool:
    console.print(f"\n[bold]{title}[/bold]")
    began = time.monotonic()
    reply = send()
    routes = ", ".join(entry["route"] for entry in reply.json().get("plan", []))
    console.print(
        f"  signed delivery, answered {reply.status_code} in {time.monotonic() - began:.2f} s; routes: {routes}"
    )
    if reply.status_code != 202:
        console.print(f"  [red]{reply.text}[/red]")
        return False
    story = _ended(reply.json()["event"])
    if story is None:
        console.print(f"  [red]did not end within {PATIENCE_SECONDS:.0f} s[/red]")
        return False
    _show(system, story)
    return all(step.state == "succeeded" for step in story.steps.values())


def _ended(event_id: str) -> Story | None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        story = _read(event_id)
        if story and story.has_ended:
            return story
        time.sleep(0.1)
    return None


def _read(event_id: str) -> Story | None:
    from shared import ledger
    from shared.errors import UnknownStep

    try:
        return ledger.read(event_id)
    except UnknownStep:
        return None


def _show(system: System, story: Story) -> None:
    console.print(_tree(story))
    trace = trace_tree(system.collector, story.event.id)
    if trace:
        console.print(trace)


def _tree(story: Story) -> Tree:
    event = story.event
    tree = Tree(Text(f"{event.type}  {event.model} {event.version}  event {event.id[:12]}", style="dim"))
    if not story.routes:
        tree.add("[yellow]starts no route of routes.yaml[/yellow]")
    for name in story.routes:
        branch = tree.add(Text(f"route {name}", style="bold"))
        for step in sorted(story.steps.values(), key=lambda step: step.created):
            if step.route == name:
                branch.add(_line(step))
    return tree


def _line(step: Step) -> Text:
    line = Text.assemble((f"{step.state.value:<10}", COLOURS.get(step.state.value, "white")), f" {step.target}: ")
    line.append(step.outcome or step.reason)
    took = ((step.ended or step.due) - step.created).total_seconds()
    line.append(f"  ({took:.1f} s, {step.attempts} attempt{'s' * (step.attempts != 1)})", style="dim")
    if step.link:
        line.append(f"\n{' ' * 11}{step.link}", style="blue")
    return line


def _show_how_to_try(system: System, worker: Host) -> None:
    secret = system.secret("wine-dev-webhook")
    body = (
        '{"event":"MODEL_VERSION_TRANSITIONED_STAGE","model_name":"wine_quality","version":"5",'
        '"from_stage":"Staging","to_stage":"Production","event_timestamp":\'$(date +%s)000\'}'
    )
    console.print("\n[bold]Your turn[/bold] (the secret of wine-dev is made anew at each start)")
    lines = (
        f"  SECRET='{secret}'",
        f"  BODY='{body}'",
        '  SIGNATURE=$(printf %s "$BODY" | openssl dgst -sha256 -hmac "$SECRET" | sed "s/.* //")',
        f'  curl -i {worker.url}/api/webhooks/wine-dev -H "X-Databricks-Signature: $SIGNATURE" --data-raw "$BODY"',
    )
    operate = f"  RELAY_URL={worker.url} RELAY_KEY={system.function_key} {_python()} -m cli events list"
    for line in (*lines, operate):
        console.print(Text(line))
    console.print("\nWaiting for events; Ctrl+C ends.")


def _python() -> str:
    """Return the Python that runs this, as one would type it here."""
    here, python = Path.cwd(), Path(sys.executable)
    return str(python.relative_to(here) if python.is_relative_to(here) else python)


def _tell_of_events(system: System, worker: Host) -> None:
    """Print each further event once it has ended, until interrupted or the worker is gone."""
    from shared import recent

    began = datetime.now(UTC) - timedelta(days=1)
    told = set(recent.event_ids(began, datetime.now(UTC), MANY))
    while worker.process.poll() is None:
        time.sleep(0.5)
        for event_id in list(recent.event_ids(began, datetime.now(UTC) + timedelta(minutes=1), MANY)):
            story = None if event_id in told else _read(event_id)
            if story and story.has_ended:
                told.add(event_id)
                _show(system, story)
    console.print(f"[red]The host has ended:[/red]\n{worker.log()}")


if __name__ == "__main__":
    sys.exit(main())
