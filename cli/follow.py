"""Looks at the app again and again: at steps until they have ended, at events for what changes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cli.output import coloured, console, plain, refused
from shared.steps import ENDED

if TYPE_CHECKING:
    from cli.client import Client

LOOK_AGAIN_SECONDS = 1.0
SOON = timedelta(seconds=15)
LISTED, MOST_LISTED = 50, 500


def follow(app: Client, ready: list[dict[str, str]], seconds: float) -> tuple[int, list[dict[str, Any]]]:
    """Show a bar and each step's end until all have ended, the time is over (0: never) or somebody interrupts.

    `ready` are steps as a replay answers them. Returns how many are left, and those that have ended.
    """
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    wanted = {(pointer["event"], pointer["step"]) for pointer in ready}
    deadline, ended = time.monotonic() + seconds, list[dict[str, Any]]()
    columns = (TextColumn("steps ended"), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console(), transient=True) as bar:
        task = bar.add_task("", total=len(wanted))
        try:
            while wanted and (not seconds or time.monotonic() < deadline):
                for step in _ends(app, wanted):
                    ended.append(step)
                    bar.console.print(f"{coloured(step['state'])}  {plain(step['step'])}  {plain(told_of(step))}")
                bar.update(task, completed=len(ended))
                time.sleep(LOOK_AGAIN_SECONDS if wanted else 0)
        except KeyboardInterrupt:
            pass
    return len(wanted), ended


def told_of(step: dict[str, Any]) -> str:
    """Return what a step's end says for itself."""
    return " ".join(filter(None, (step.get("outcome") or step.get("reason") or "", step.get("link", ""))))


def _ends(app: Client, wanted: set[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    for event in sorted({event for event, _ in wanted}):
        for step in app.get(f"events/{event}")["steps"]:
            if (event, step["step"]) in wanted and step["state"] in ENDED:
                wanted.remove((event, step["step"]))
                yield step


class Watch:
    """What changes from now on, of all events (of a model) or, from their beginning, of those that are named."""

    def __init__(self, app: Client, events: list[str], model: str | None = None) -> None:
        self._app, self._named, self._model = app, events, model
        self._began = datetime.now(UTC)
        self._summaries: dict[str, dict[str, Any]] = {}
        self._told: dict[str, set[tuple[str, str, str]]] = {}
        self._open: set[str] = set(events)
        self.failed = False
        if not events:
            self._begin()

    @property
    def is_over(self) -> bool:
        """Whether events were named, and all their steps have ended."""
        return bool(self._named) and not self._open

    def look(self) -> Iterator[dict[str, Any]]:
        """Yield each change since the last look: `at`, `event`, `type`, `model`, `version`, `step`, `state`, `note`."""
        if not self._named:
            for summary in self._recent():
                if self._summaries.get(summary["event"]) != summary:
                    self._open.add(summary["event"])
                self._summaries[summary["event"]] = summary
        for event in sorted(self._open):
            yield from self._changes(event)

    def _begin(self) -> None:
        """Know what stands now, so that only what comes after it is told."""
        for summary in self._recent():
            self._summaries[summary["event"]] = summary
            self._told[summary["event"]] = set()
            if summary["state"] not in (*ENDED, "unrouted"):
                self._open.add(summary["event"])

    def _recent(self) -> list[dict[str, Any]]:
        """Return the newest events, oldest first, back to one that was known before."""
        found: list[dict[str, Any]] = []
        for summary in self._app.events(days=1, limit=LISTED, model=self._model):
            found.append(summary)
            is_enough = len(found) >= LISTED and summary["event"] in self._summaries
            if is_enough or len(found) == MOST_LISTED:
                break
        return found[::-1]

    def _changes(self, event: str) -> Iterator[dict[str, Any]]:
        story = self._app.find(f"events/{event}")
        if story is None and datetime.now(UTC) - self._began < SOON:
            return  # taken, but not in the ledger yet
        if story is None:
            raise refused(f"the ledger holds no event {event!r}")
        steps = story["steps"]
        told = {key: story[key] for key in ("event", "type", "model", "version")}
        if event not in self._told:
            self._told[event] = set()
            received = datetime.fromtimestamp(story["received"], UTC).isoformat()
            yield {"at": received, **told, "step": "", "state": "received", "note": _routed(story)}
            since = ""
        else:
            since = "" if event in self._named else self._began.isoformat()
        moments = [(moment["at"], step["step"], moment) for step in steps for moment in step["history"]]
        for at, name, moment in sorted(moments, key=lambda each: each[:2]):
            key = (at, name, moment["state"])
            if key not in self._told[event] and (not since or _time(at) >= _time(since)):
                yield {"at": at, **told, "step": name, "state": moment["state"], "note": moment.get("note", "")}
            self._told[event].add(key)
        if all(step["state"] in ENDED for step in steps):
            self._open.discard(event)
            self.failed |= any(step["state"] in ("dead", "parked") for step in steps)


def _routed(story: dict[str, Any]) -> str:
    return f"routes: {', '.join(story['routes'])}" if story["routes"] else "no route matches"


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
