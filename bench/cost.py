"""Cost per event: storage transactions, Key Vault calls, target calls, execution time; routes of one and three steps.

Counted, not timed: at proxies before Azurite and in the stand-ins' own logs, one event after the other in a worker that
is warm. Every event of a route costs the same, and every operation has its reason in REASONS.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence

import requests

from bench import cold_start, deliveries
from bench.contestants import ours
from bench.counting import Counting
from bench.report import Report
from bench.rounds import Figure
from local.collector import AT_ONCE
from local.system import System
from local.worker import ROOT, Host

ROUTES = {"one-step": "one", "one-call": "call", "three-steps": "three"}
TITLES = {
    "one-step": "one step: a release",
    "one-call": "one step: a message",
    "three-steps": "three steps: a release, two messages",
}
DONE = {"route_event": "delete message events", "run_step": "delete message steps"}
"""How an execution of a queue's function shows itself. A step that is run in route_event's hand is none of its own."""
QUIET_SECONDS, PATIENCE_SECONDS = 0.5, 40.0
REASONS = {
    "put message events": "the delivery is stored before it is answered (the host's queue output)",
    "get messages events": "route_event's turn",
    "delete message events": "route_event is done",
    "recent merge": "the index by time, for lists and retention; before the event, so that none is missing there",
    "open merge": "the sweeper's list; before the steps, so that none can be stranded",
    "budget merge": "the event counts against its model version's budget",
    "budget query": "how much of the budget is spent",
    "steps insert": "the event with its routes and the claim of its first step; that step's progress, or its end",
    "steps replace": "each further claim; each further progress; each further end that nothing follows",
    "steps transaction": "an end with the next step",
    "open delete": "the event has ended",
}


class Spent:
    """What one event has cost: storage operations, calls of vault, identity and targets, milliseconds of functions."""

    def __init__(self) -> None:
        self.storage: dict[str, int] = {}
        self.calls: dict[str, int] = {}
        self.executions: Counter[str] = Counter()
        self.milliseconds: Counter[str] = Counter()


def count(system: System, events: int) -> dict[str, list[Spent]]:
    """Return what each event of each route has cost, in a worker that has seen one event of each before."""
    with Counting(system.azurite) as counting:
        settings = {**system.environment(ours.ROUTES), "AzureWebJobsStorage": counting.connection_string}
        settings |= {**system.collector.environment(), **ours.NO_TIMERS}
        with Host(ROOT, settings) as worker:
            meter = Meter(system, counting, worker)
            for route in ROUTES:
                meter.spend(route, 1)
            return {route: meter.spend(route, events) for route in ROUTES}


class Meter:
    """Sends one event after the other and reads off what each has cost."""

    def __init__(self, system: System, counting: Counting, worker: Host, start: int = 0) -> None:
        self._system, self._counting, self._worker = system, counting, worker
        self._number = start

    def spend(self, route: str, events: int) -> list[Spent]:
        """Send events of a route, each when the one before has ended."""
        return [self._one(ROUTES[route]) for _ in range(events)]

    def _one(self, prefix: str) -> Spent:
        self._number += 1
        [delivery] = deliveries.signed(self._system.secret(ours.SECRET), prefix, 1, self._number)
        logs = {name: len(log) for name, log in self._logs().items()}
        spans = len(self._system.collector.spans)
        self._counting.take()
        url = f"{self._worker.url}/api/webhooks/{ours.SOURCE}"
        reply = requests.post(url, data=delivery.body, headers=delivery.headers, timeout=60)
        if reply.status_code != 202:
            raise RuntimeError(f"the delivery was answered {reply.status_code}: {reply.text}")
        self._wait()
        spent = Spent()
        spent.storage = self._counting.take()
        spent.calls = {name: len(log) - logs[name] for name, log in self._logs().items()}
        spent.executions = Counter(
            receive_delivery=1, **{name: spent.storage.get(done, 0) for name, done in DONE.items()}
        )
        for span in self._system.collector.spans[spans:]:
            if span.name in spent.executions:
                spent.milliseconds[span.name] += (span.end - span.start) // 10**6
        return spent

    def _logs(self) -> dict[str, list[object]]:
        system = self._system
        parts = {"vault": system.vault, "identity": system.identity, "devops": system.devops, "chat": system.chat}
        return {name: list(part.faults.log) for name, part in parts.items()}

    def _wait(self) -> None:
        """Wait until the event is closed, and nothing but the periodic is asked any more."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._counting.counts["open delete"]:
            if time.monotonic() > deadline:
                raise RuntimeError(f"an event did not end:\n{self._worker.log()[-2000:]}")
            time.sleep(0.05)
        time.sleep(QUIET_SECONDS)  # the message's delete, and the telemetry


def telemetry(system: System, events: int) -> dict[str, tuple[float, float]]:
    """Return how many lines, spans and so on, and how many KB of JSON, an event of each route sends to Application
    Insights; without what is sent by time (metrics)."""
    settings = {**system.environment(ours.ROUTES), **cold_start.insights(system), **AT_ONCE}
    told: dict[str, tuple[float, float]] = {}
    with Counting(system.azurite) as counting:
        settings |= {"AzureWebJobsStorage": counting.connection_string, **ours.NO_TIMERS}
        with Host(ROOT, settings) as worker:
            meter = Meter(system, counting, worker, start=1000)
            for route in ROUTES:
                meter.spend(route, 1)
                before = len(system.collector.tracked)
                meter.spend(route, events)
                sent = [each for each in system.collector.tracked[before:] if "Metric" not in each["name"]]
                size = sum(len(json.dumps(each)) for each in sent) / 1024
                told[route] = len(sent) / events, size / events
    return told


def report_of(spent: dict[str, list[Spent]], told: dict[str, tuple[float, float]] | None = None) -> list[Report]:
    """Return the table per route, with the telemetry that was `told` of, and the table per operation."""
    columns = dict.fromkeys(("transactions", "queue", "table", "vault", "identity", "target calls"), "{:.0f}")
    columns |= {"executions": "{:.0f}", "receive ms": "{:.0f}", "route and run ms": "{:.0f}"}
    total = Report("cost", "Cost per event, in a warm worker", columns, plotted=("queue", "table"))
    operations = dict.fromkeys(sorted({key for each in _all(spent) for key in each.storage}), "{:.0f}")
    detail = Report("cost_operations", "Storage transactions per event", dict.fromkeys(TITLES.values(), "{:.0f}"))
    for route, events in spent.items():
        cells = {name: Figure(values) for name, values in _cells(events).items()}
        if told:
            total.columns |= {"telemetry items": "{:.1f}", "telemetry KB": "{:.1f}"}
            cells |= {
                f"telemetry {unit}": Figure([each]) for unit, each in zip(("items", "KB"), told[route], strict=True)
            }
        total.rows.append((TITLES[route], {**cells}))
    for operation in operations:
        row = {TITLES[r]: Figure([float(e.storage.get(operation, 0)) for e in events]) for r, events in spent.items()}
        detail.rows.append((operation, {**row, "why": REASONS.get(operation, "no reason is known")}))
    detail.columns["why"] = "{}"
    unknown = sorted(set(operations) - REASONS.keys())
    total.goal("operations without a reason: none", float(len(unknown)), not unknown)
    uneven = [route for route, events in spent.items() if any(e.storage != events[0].storage for e in events)]
    total.goal("every event of a route costs the same", float(len(uneven)), not uneven)
    total.notes.append("polls, timers' locks, switches and sweeps are not in it: docs/cost.md counts them by time")
    total.notes.append("milliseconds are of this machine, with storage a process away")
    return [total, detail]


def _all(spent: dict[str, list[Spent]]) -> list[Spent]:
    return [each for events in spent.values() for each in events]


def _cells(events: Sequence[Spent]) -> dict[str, list[float]]:
    def of(look: object) -> list[float]:
        assert callable(look)
        return [float(look(each)) for each in events]

    return {
        "transactions": of(lambda e: sum(e.storage.values())),
        "queue": of(lambda e: sum(n for key, n in e.storage.items() if "message" in key)),
        "table": of(lambda e: sum(n for key, n in e.storage.items() if "message" not in key)),
        "vault": of(lambda e: e.calls["vault"]),
        "identity": of(lambda e: e.calls["identity"]),
        "target calls": of(lambda e: e.calls["devops"] + e.calls["chat"]),
        "executions": of(lambda e: sum(e.executions.values())),
        "receive ms": of(lambda e: e.milliseconds["receive_delivery"]),
        "route and run ms": of(lambda e: e.milliseconds["route_event"]),
    }


def reports(quick: bool) -> list[Report]:
    """Measure in the long form, about 2 minutes, or the quick one."""
    with System() as system:
        events = 2 if quick else 20
        return report_of(count(system, events), telemetry(system, events))
