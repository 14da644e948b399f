"""What is told of a benchmark: a table in the terminal, JSON and a plot in `bench/results/`."""

from __future__ import annotations

import json
import math
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from bench.plot import bars
from bench.rounds import Figure

RESULTS = Path(__file__).with_name("results")
VERSIONS = ("azure-functions", "azure-storage-queue", "azure-data-tables", "starlette", "uvicorn", "aiohttp")


@dataclass
class Goal:
    """What a figure has to be, what it is, and whether it is."""

    text: str
    value: float
    is_met: bool


@dataclass
class Report:
    """The results of one benchmark.

    `rows` are contestants with their figures (of all rounds) and texts; `columns` says how each is written. `plotted`
    are the columns that become groups of bars.
    """

    name: str
    title: str
    columns: dict[str, str]
    rows: list[tuple[str, dict[str, Figure | str]]] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    plotted: Sequence[str] = ()
    unit: str = ""
    more: dict[str, Any] = field(default_factory=dict)

    def goal(self, text: str, value: float, is_met: bool) -> None:
        """Note a goal; one whose value could not be measured (NaN) is not met."""
        self.goals.append(Goal(text, value, is_met and not math.isnan(value)))

    def median(self, contestant: str, column: str) -> float:
        """Return a figure's median, NaN if the contestant or the figure is missing."""
        found = dict(self.rows).get(contestant, {}).get(column)
        return found.median if isinstance(found, Figure) else math.nan

    def ratio(self, contestant: str, other: str, column: str) -> float:
        """Return the median of the rounds' ratios: what slows the machine in a round, slows both. NaN without any."""
        ones, others = (figures(dict(self.rows).get(name, {})).get(column, Figure()) for name in (contestant, other))
        return Figure([one / other for one, other in zip(ones.values, others.values, strict=False)]).median

    def table(self) -> Table:
        """Return the table as it is printed: medians, and the spread of the rounds behind."""
        table = Table(title=self.title, title_justify="left")
        table.add_column("contestant")
        for column in self.columns:
            table.add_column(column, justify="right")
        for name, cells in self.rows:
            table.add_row(name, *(_cell(cells.get(column), form) for column, form in self.columns.items()))
        return table

    def tell(self, console: Console | None = None) -> None:
        """Print the table, the goals, the notes."""
        console = console or Console(width=max(Console().width, 150), highlight=False)
        console.print(self.table())
        for goal in self.goals:
            said = "[green]met[/green]" if goal.is_met else "[red]not met[/red]"
            console.print(f"  goal: {goal.text}: {goal.value:.2f}, {said}")
        for note in self.notes:
            console.print(f"  {note}", markup=False)

    def markdown(self) -> str:
        """Return the table as Markdown, with medians alone, for a page that shows it."""
        lines = [f"| {self.title} | {' | '.join(self.columns)} |", f"| --- {'| --- ' * len(self.columns)}|"]
        for name, cells in self.rows:
            shown = (_cell(cells.get(column), form, spread=False) for column, form in self.columns.items())
            lines.append(f"| {name} | {' | '.join(shown)} |")
        return "\n".join(lines) + "\n"

    def write(self, folder: Path = RESULTS) -> Path:
        """Write NAME.json, NAME.md and, if something is plotted, NAME.svg; return the path of the JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        (folder / f"{self.name}.md").write_text(self.markdown())
        path.write_text(json.dumps(self.as_json(), indent=1) + "\n")
        if self.plotted:
            values = {column: {name: self.median(name, column) for name, _ in self.rows} for column in self.plotted}
            (folder / f"{self.name}.svg").write_text(bars(self.title, values, self.unit))
        return path

    def as_json(self) -> dict[str, Any]:
        """Return all that was measured, and on what."""
        return {
            "benchmark": self.name,
            "title": self.title,
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "contestants": {name: {key: _plain(value) for key, value in cells.items()} for name, cells in self.rows},
            "goals": [{"goal": each.text, "value": _number(each.value), "met": each.is_met} for each in self.goals],
            "notes": self.notes,
            **self.more,
        }


def machine() -> dict[str, Any]:
    """Return what the figures were measured on, with the load that there was at the time."""
    return {
        "python": sys.version.split()[0],
        "system": platform.platform(),
        "cores": psutil.cpu_count(),
        "load": [round(each, 2) for each in psutil.getloadavg()],
        "packages": {name: version(name) for name in VERSIONS},
    }


def figures(cells: Mapping[str, Figure | str]) -> dict[str, Figure]:
    """Return the figures among a row's cells."""
    return {key: value for key, value in cells.items() if isinstance(value, Figure)}


def _cell(value: Figure | str | None, form: str, spread: bool = True) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    low, high = value.spread
    if math.isnan(value.median):
        return "-"
    said = form.format(value.median)
    return said if low == high or not spread else f"{said} ({form.format(low)} to {form.format(high)})"


def _plain(value: Figure | str) -> Any:
    if isinstance(value, str):
        return value
    low, high = value.spread
    median, values = _number(value.median), [_number(each) for each in value.values]
    return {"median": median, "lowest": _number(low), "highest": _number(high), "rounds": values}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)
