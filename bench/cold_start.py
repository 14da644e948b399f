"""Cold start: import, index and first 202 of the app beside `azure.functions` alone; the first use of each target.

Every start is a process of its own, in each Python that has a virtual environment here (`make bench-pythons` makes
them). The first 202 includes all that is asked for the first time: routes, identity, secret. Telemetry is measured
switched off, to a collector, and to Application Insights.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from bench import deliveries
from bench.contestants import ours
from bench.outside import TARGETS, furnish, routes_here
from bench.processes import told
from bench.report import Report
from bench.rounds import Figure, measure
from local.system import System
from local.worker import ROOT

APART = {"AzureWebJobs.run_step.Disabled": "1"}  # a step is not run by whoever routes its event, but by its pointer
IMPORT_GOAL, FIRST_GOAL = 1.5, 4.0
LIBRARY = "azure.functions alone"
COLUMNS = ("import", "index", "first 202", "all to 202", "exporters after it", "MB", "MB at 202")
USES = {"first use": "{:.0f}", "next use": "{:.0f}", "MB more": "{:.1f}"}


class Start(NamedTuple):
    """One kind of cold start: a name, the Python to run, what of bench.cold_child, with which settings."""

    name: str
    python: str
    what: str
    settings: Mapping[str, str]


@cache
def pythons() -> dict[str, str]:
    """Return the Pythons that have the app's packages, by version: this one, and those of .venv-3.*."""
    found = {_version(sys.executable): sys.executable}
    for python in sorted(ROOT.glob(".venv-3.*/bin/python")):
        if (version := _version(str(python))) and version not in found:
            found[version] = str(python)
    return dict(sorted(found.items()))


def _version(python: str) -> str:
    code = "import sys, azure.functions, azure.identity, msgspec; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=False).stdout.strip()


def app_report(system: System, rounds: int, found: Mapping[str, str] | None = None) -> Report:
    """Import, index, first 202 and memory: the app in its three telemetry settings, and azure.functions alone.

    `found` are the Pythons by version; those that are here unless given.
    """
    columns = dict.fromkeys(COLUMNS, "{:.0f}")
    report = Report("cold_start", "Cold start in ms, memory in MB", columns, plotted=("all to 202",), unit="ms")
    found = pythons() if found is None else found
    for python in found.values():
        _compile(python)
    starts = [start for version, python in found.items() for start in _starts(system, version, python)]
    given = _given(system, "one", 2)
    for start, cells in zip(starts, measure(starts, rounds, lambda each: _once(each, given)), strict=True):
        report.rows.append((start.name, dict(cells)))
    for version in found:
        _judge(report, version)
    report.notes.append("the exporters of telemetry are set up a second later, in a thread: told is what that computes")
    report.notes.append("Python itself is not counted; memory is the whole process's, resident")
    return report


def _compile(python: str) -> None:
    """Compile the app as its package has it (infra/package.py): what is compiled at each start would be measured else,
    wherever PYTHONDONTWRITEBYTECODE is set."""
    command = [python, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash"]
    subprocess.run([*command, "function_app.py", "handlers", "shared", "bench"], cwd=ROOT, check=True)


def _starts(system: System, version: str, python: str) -> list[Start]:
    environment = system.environment(routes_here(system))
    return [
        Start(f"{version} {LIBRARY}", python, "library", environment),
        Start(f"{version} app", python, "app", {**environment, "TELEMETRY": "host"}),
        Start(f"{version} app, telemetry by OTLP", python, "app", {**environment, **system.collector.environment()}),
        Start(f"{version} app, Application Insights", python, "app", {**environment, **insights(system)}),
    ]


def insights(system: System) -> dict[str, str]:
    """Return the settings with which the app tells Application Insights (the collector's stand-in), as its identity."""
    return {
        "APPLICATIONINSIGHTS_CONNECTION_STRING": (
            f"InstrumentationKey=00000000-0000-0000-0000-000000000001;IngestionEndpoint={system.collector.url}/"
        ),
        "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": "Authorization=AAD",
        "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
    }


def _once(start: Start, given: Any) -> dict[str, float]:
    found = child(start, given)
    laps: dict[str, float] = {name: found[name] for name in ("import", "index", "first 202") if name in found}
    memory = {"MB": found["memory index" if "index" in found else "memory import"]}
    if "first 202" in found:
        memory["MB at 202"] = found["memory first 202"]
        laps["all to 202"] = sum(laps.values())
    if "exporters" in found:
        laps["exporters after it"] = found["exporters"]
    return {**laps, **memory}


def child(start: Start, given: Any) -> dict[str, float]:
    """Return what one start told of itself. Raises RuntimeError with its output if it failed."""
    laps: dict[str, float] = told(
        "bench.cold_child", start.what, given=given, env=start.settings, timeout=120, python=start.python
    )
    return laps


def _given(system: System, prefix: str, count: int) -> list[dict[str, Any]]:
    requests = deliveries.signed(system.secret(ours.SECRET), prefix, count)
    return [
        {
            "source": ours.SOURCE,
            "headers": {name.lower(): value for name, value in each.headers.items()},
            "body": each.body.decode(),
        }
        for each in requests
    ]


def _judge(report: Report, version: str) -> None:
    alone = report.median(f"{version} {LIBRARY}", "import")
    for name in ("app", "app, telemetry by OTLP", "app, Application Insights"):
        imported, first = (report.median(f"{version} {name}", column) for column in ("import", "all to 202"))
        if name == "app":
            text = f"{version}: import at most {IMPORT_GOAL} times {LIBRARY}"
            report.goal(text, imported / alone, imported <= IMPORT_GOAL * alone)
        text = f"{version} {name}: first 202 within {FIRST_GOAL:.0f} times {LIBRARY}"
        report.goal(text, first / alone, first <= FIRST_GOAL * alone)


def targets_report(
    system: System, rounds: int, names: Sequence[str] = tuple(TARGETS), found: Mapping[str, str] | None = None
) -> Report:
    """First and next use of each target in a worker that has just routed an event, for each Python a few columns.

    `found` are the Pythons by version; those that are here unless given.
    """
    found = pythons() if found is None else found
    columns = {f"{version} {use}": form for version in found for use, form in USES.items()}
    report = Report("first_use", "First use of each target: its step's turn in ms", columns)
    report.plotted, report.unit = [f"{version} first use" for version in found], "ms"
    environment = {**system.environment(routes_here(system)), "TELEMETRY": "host", **APART}
    starts = {
        (name, version): Start(name, python, "target", environment)
        for name in names
        for version, python in found.items()
    }
    measured = measure(list(starts.values()), rounds, lambda each: _first_use(system, each))
    rows: dict[str, dict[str, Figure | str]] = {name: {} for name in names}
    for (name, version), cells in zip(starts, measured, strict=True):
        rows[name] |= {f"{version} {use}": figure for use, figure in cells.items()}
    report.rows += rows.items()
    return report


_count = 0


def _first_use(system: System, start: Start) -> dict[str, float]:
    global _count  # each start has models of its own: what a target has done once, it need not do again
    _count += 1
    prefix = f"{start.name.replace('_', '-')}-{_count}"
    for number in (0, 1):
        system.databricks.add_version(f"{prefix}-{number}", stage="Production")
    told = child(start, _given(system, prefix, 2))
    more = told["memory first use"] - told["memory route"]
    return {"first use": told["first use"], "next use": told["next use"], "MB more": more}


def reports(quick: bool) -> list[Report]:
    """Measure in the long form, about 3 minutes for each Python, or the quick one."""
    with System() as system:
        furnish(system)
        if quick:
            return [app_report(system, 1), targets_report(system, 1, ("slack", "azure_devops_release"))]
        return [app_report(system, 9), targets_report(system, 5)]
