"""`make wine`: a wine model on its way to production, and two that are stopped. Told as it happens.

It ends by itself, with exit status 0 only if all went as promised.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

from examples.wine.promises import promises
from examples.wine.walk import Steps, Trained, Walk

COLOURS = {"succeeded": "green", "dead": "red", "parked": "yellow", "superseded": "yellow"}
console = Console(highlight=False, width=400)  # a link that is cut is no link: the terminal wraps


def main() -> int:
    """Walk, and return the exit status."""
    began = time.monotonic()
    console.print("Starting storage, stand-ins, a real MLflow server and the relay …")
    with Walk() as walk:
        good, bad = tell(walk)
        with _chapter("What became of it"):
            kept = [_promise(sentence, holds) for sentence, holds in promises(walk, good, bad)]
    console.print(f"\n{sum(kept)} of {len(kept)} promises kept, in {time.monotonic() - began:.0f} s")
    return 0 if all(kept) else 1


def tell(walk: Walk) -> tuple[list[Trained], list[Trained]]:
    """Do all acts, one after the other, and tell of them; return the versions that reach production, and the others."""
    with _chapter("A webhook is made in the MLflow server"):
        answer = walk.listen()
        would = ", ".join(route["route"] for route in answer["body"]["plan"] if route["matches"])
        _say(f"MLflow's test call was answered {answer['status']}; such an event would start {would}")
    good = [
        _to_production(walk, "linear", "A first model: a straight line through 1200 wines"),
        _to_production(walk, "curved", "A better one; the first is archived"),
    ]
    bad = [
        _stopped(walk, "few", "A worse one, that has seen eight wines: its metrics are not good enough"),
        _stopped(walk, "unscaled", "One with good metrics whose scaler was left in the notebook: it fails when served"),
    ]
    with _chapter("The same hand-over in a Databricks workspace registry (stand-in)"):
        old, new = walk.move_in_workspace()
        for route in ("workspace-staging", "workspace-production"):
            _show(route, walk.ended(new, route, "workspace"))
        stages = {each: walk.system.databricks.version("wine_quality", each).stage for each in (old, new)}
        _say(", ".join(f"version {each} is in {stage}" for each, stage in stages.items()))
    return good, bad


def _to_production(walk: Walk, recipe: str, title: str) -> Trained:
    with _chapter(title):
        trained = _trained(walk, recipe)
        _show("wine-qa", walk.ended(trained.version, "wine-qa"))
        page = walk.approve(trained.version)
        _say(
            f"the approver follows the link in Teams and presses Approve; the page says: {page.partition(' route ')[0]}"
        )
        _show("wine-production", walk.ended(trained.version, "wine-production"))
        _say(f"Teams: {walk.messages('teams')[-1]}")
        _say(f"wine-production serves version {walk.serving('wine-production')}")
    return trained


def _stopped(walk: Walk, recipe: str, title: str) -> Trained:
    with _chapter(title):
        trained = _trained(walk, recipe)
        _show("wine-qa", walk.ended(trained.version, "wine-qa"))
        _say(f"Teams: {walk.messages('teams')[-1]}")
        _say(f"wine-production serves version {walk.serving('wine-production')}")
    return trained


def _trained(walk: Walk, recipe: str) -> Trained:
    trained = walk.train(recipe)
    measured = ", ".join(f"{name} {value}" for name, value in trained.metrics.items())
    _say(f"version {trained.version} is trained ({measured}), registered, published; alias `staging` is set")
    return trained


def _show(route: str, steps: Steps) -> None:
    console.print(Text(f"  route {route}", style="bold"))
    for step in steps.values():
        state = (f"    {step['state']:<10}", COLOURS.get(step["state"], "white"))
        console.print(Text.assemble(state, f" {step['name']}: {step.get('outcome') or step.get('reason')}"))


def _promise(sentence: str, holds: bool) -> bool:
    console.print(Text.assemble(("  yes ", "green") if holds else ("  NO  ", "red"), sentence))
    return holds


def _say(text: str) -> None:
    console.print(Text("  " + text.replace("\n", "\n    ")))


@contextmanager
def _chapter(title: str) -> Iterator[None]:
    began = time.monotonic()
    console.print(Text(f"\n{title}", style="bold cyan"))
    yield
    console.print(Text(f"  ({time.monotonic() - began:.0f} s)", style="dim"))


if __name__ == "__main__":
    sys.exit(main())
