"""Our own CPU time per delivery, bindings apart, beside a bare HMAC and a validated decode of the same body."""

from __future__ import annotations

from collections.abc import Mapping

from bench import deliveries
from bench.contestants import ours
from bench.processes import told
from bench.report import Report
from bench.rounds import Figure
from local.system import System

BARE, ACCEPTED, REFUSED = "HMAC and decode alone", "accepted delivery", "refused signature"
FLOOR = "its library calls alone"
NAMES = {"bare": BARE, "floor": FLOOR, "accepted": ACCEPTED, "refused": REFUSED}
GOAL = 3.0


def run(system: System, count: int) -> Report:
    """Measure `count` deliveries of each kind, without telemetry and with it. Returns the report."""
    report = Report("own_cpu", "CPU time per delivery in microseconds, bindings apart", {"µs": "{:.1f}"})
    report.plotted, report.unit = ("µs",), "µs"
    quiet, telling = {"TELEMETRY": "host"}, system.collector.environment()
    for suffix, settings in (("", quiet), (", telemetry by OTLP", telling)):
        for name, values in _measured(system, count, settings).items():
            if name not in ("bare", "floor") or not suffix:
                report.rows.append((NAMES[name] + suffix, {"µs": Figure(values)}))
    accepting, refusing = report.ratio(ACCEPTED, BARE, "µs"), report.ratio(REFUSED, ACCEPTED, "µs")
    report.goal(f"accepting: at most {GOAL:.0f} times {BARE}", accepting, accepting <= GOAL)
    floor = report.ratio(FLOOR, BARE, "µs")
    report.notes.append(f"{FLOOR} (see bench/cpu_child.py) are {floor:.2f} times {BARE}")
    report.goal("refusing costs no more than accepting", refusing, refusing <= 1)
    return report


def _measured(system: System, count: int, settings: Mapping[str, str]) -> dict[str, list[float]]:
    [delivery] = deliveries.signed(system.secret(ours.SECRET), "one", 1)
    given = {
        "source": ours.SOURCE,
        "secret": system.secret(ours.SECRET),
        "headers": {name.lower(): value for name, value in delivery.headers.items()},
        "wrong": {"x-databricks-signature": deliveries.WRONG},
        "body": delivery.body.decode(),
    }
    env = {**system.environment(ours.ROUTES), **settings}
    measured: dict[str, list[float]] = told("bench.cpu_child", str(count), given=given, env=env, timeout=300)
    return measured


def reports(quick: bool) -> list[Report]:
    """Measure in the long form, about a minute, or the quick one."""
    with System() as system:
        return [run(system, 500 if quick else 20_000)]
