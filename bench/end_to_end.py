"""End to end: from the POST until the release is active at the stand-in, idle and at 20 events a second.

Beside the relay stands a bare queue pump on the same host, which calls the same stand-in once. What each keeps when it
is killed between its reply and the call is measured too: it is why the relay makes more calls than one.
"""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from bench import deliveries, load
from bench.contestants import ours
from bench.contestants.contestant import Contestant, Running
from bench.report import Report
from bench.rounds import Figure, measure, quantile
from local.system import System

RELAY, PUMP = "registry relay", "bare queue pump"
PATIENCE_SECONDS = 60.0
# Shortened, or a crash would be seen to be mended only after minutes: in Azure a message of a dead worker comes back
# after 10 minutes, and a step's lease lasts 2 unless STEP_LEASE_SECONDS says otherwise.
HASTY = {
    "LOCAL_QUEUE_LEASE_SECONDS": "3",
    "STEP_LEASE_SECONDS": "3",
    "SETTLE_SECONDS": "1",
    "SWEEP_SCHEDULE": "*/2 * * * * *",
}


@dataclass(frozen=True)
class Pace:
    """So many events, at so many per second."""

    name: str
    count: int
    rate: float


def contestants(system: System) -> list[Contestant]:
    """Return those that need nothing but PyPI."""
    return [ours.relay(system), ours.relay(system, f"{RELAY}, telemetry", **telling(system)), ours.pump(system)]


def telling(system: System) -> dict[str, str]:
    """Return the settings with which telemetry goes to the collector as it does in Azure: in batches."""
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": system.collector.url}


def hasty(system: System) -> list[Contestant]:
    """Return those that are killed: with short leases, so that what comes of it is seen soon."""
    return [ours.relay(system, **HASTY), ours.pump(system, **HASTY)]


def run(
    system: System, entered: Sequence[Contestant], *, rounds: int, paces: Sequence[Pace], killed: Sequence[Contestant]
) -> Report:
    """Measure latency at each pace, and what is kept by those that are killed. Returns the report."""
    columns = {f"{what} {pace.name}": "{:.0f}" for pace in paces for what in ("p50", "p99")}
    report = Report("end_to_end", "From the POST until the release is active, in ms", {**columns, "releases": "{:.0f}"})
    report.plotted, report.unit = [*columns], "ms"
    trial = _Trial(system)
    found = measure(entered, rounds, lambda each: trial.latencies(each, paces))
    rows = {each.name: dict(cells) for each, cells in zip(entered, found, strict=True)}
    for contestant in killed:
        rows.setdefault(contestant.name, {}).update(
            {name: Figure([value]) for name, value in trial.survivors(contestant).items()}
        )
    report.columns |= {"killed with": "{:.0f}", "kept": "{:.0f}", "started twice": "{:.0f}"}
    stores = {each.name: each.stores for each in (*entered, *killed)}
    report.rows += [(name, {**cells, "stored before the answer": stores[name]}) for name, cells in rows.items()]
    _judge(report, paces)
    return report


@contextmanager
def uncollected() -> Iterator[None]:
    """Let the garbage collector of this process, in which the stand-ins answer, rest meanwhile, as timeit does.

    A stand-in's log of requests grows, and to go through it takes up to 90 ms, in which no call is answered.
    """
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class _Trial:
    def __init__(self, system: System) -> None:
        self._system, self._runs = system, 0

    def latencies(self, contestant: Contestant, paces: Sequence[Pace]) -> dict[str, float]:
        """Return p50 and p99 at each pace, in milliseconds. Raises RuntimeError if a release is missing or doubled."""
        told: dict[str, float] = {"releases": 0.0}
        with contestant.running() as running:
            self._measured(contestant, running, Pace("", 5, 5.0))  # what is done once is done before
            for pace in paces:
                taken = self._measured(contestant, running, pace)
                told[f"p50 {pace.name}"] = quantile(taken, 0.5) * 1000
                told[f"p99 {pace.name}"] = quantile(taken, 0.99) * 1000
                told["releases"] += len(taken)
        return told

    def _measured(self, contestant: Contestant, running: Running, pace: Pace) -> list[float]:
        with uncollected():
            sent = self._send(contestant, running, pace)
            started = self._started(sent, PATIENCE_SECONDS)
        counts = Counter(model for model, _ in started)
        if counts != Counter(sent.keys()):
            raise RuntimeError(f"{contestant.name} started {sum(counts.values())} releases for {len(sent)} events")
        return [moment - sent[model] for model, moment in started]

    def _send(self, contestant: Contestant, running: Running, pace: Pace) -> dict[str, float]:
        """Send at the pace; return when each model's event was sent."""
        self._runs += 1
        prefix = f"one-{self._runs}"
        requests = deliveries.signed(self._system.secret(ours.SECRET), prefix, pace.count)
        seconds = pace.count / pace.rate + PATIENCE_SECONDS
        measured = load.run(running.url, requests, concurrency=64, count=pace.count, seconds=seconds, rate=pace.rate)
        if any(not 200 <= status < 300 for status in measured.statuses) or len(measured.sent) != pace.count:
            raise RuntimeError(f"{contestant.name} answered {measured.counts}")
        return {f"{prefix}-{number}": moment for number, moment in enumerate(measured.sent)}

    def _started(self, sent: dict[str, float], patience: float) -> list[tuple[str, float]]:
        def look() -> list[tuple[str, float]]:
            starts = [(str(each.variables["modelName"].get("value")), each.time) for each in self._system.devops.starts]
            return [(model, moment) for model, moment in starts if model in sent]

        _wait(lambda: len({model for model, _ in look()}) == len(sent), patience)
        time.sleep(0.2)  # a second start would follow at once
        return look()

    def survivors(self, contestant: Contestant, events: int = 5, patience: float = 25.0) -> dict[str, float]:
        """Kill it between its reply and the call; return how many events were answered, kept, and started twice."""
        faults = self._system.devops.faults
        seen = len(faults.calls("POST", "releases$"))
        with contestant.running() as running:
            faults.add("POST", "releases$", times=None, hang=4.0)  # the call comes, nothing is done, no answer
            sent = self._send(contestant, running, Pace("", events, 20.0))
            _wait(lambda: len(faults.calls("POST", "releases$")) >= seen + events, 5.0)
            running.kill()
            faults.clear()
        with contestant.running():
            started = Counter(model for model, _ in self._started(sent, patience))
        twice = sum(count > 1 for count in started.values())
        return {"killed with": float(events), "kept": float(len(started)), "started twice": float(twice)}


def _wait(look: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not look() and time.monotonic() < deadline:
        time.sleep(0.02)


def _judge(report: Report, paces: Sequence[Pace]) -> None:
    for pace in paces:
        median, tail = (report.median(RELAY, f"{what} {pace.name}") for what in ("p50", "p99"))
        times = report.ratio(RELAY, PUMP, f"p50 {pace.name}")
        report.goal(f"p50 {pace.name}: at most 3 times the pump", times, times <= 3)
        report.goal(f"p99 {pace.name}: within 3 times p50", tail / median, tail <= 3 * median)
    kept, killed, twice = (report.median(RELAY, column) for column in ("kept", "killed with", "started twice"))
    report.goal("the relay keeps all when killed, and starts none twice", kept, kept == killed and twice == 0)
    report.notes.append(
        "a release is two calls and three conditional writes (see cost); the pump makes one call, no record"
    )
    report.notes.append(
        f"killed with leases of {HASTY['STEP_LEASE_SECONDS']} s; in Azure a crash is mended after minutes"
    )


def reports(quick: bool) -> list[Report]:
    """Measure in the long form, about 9 minutes, or the quick one."""
    with System() as system:
        if quick:
            paces = [Pace("idle", 3, 2.0), Pace("at 20/s", 20, 20.0)]
            return [run(system, contestants(system)[::2], rounds=1, paces=paces, killed=hasty(system)[:1])]
        paces = [Pace("idle", 20, 1.0), Pace("at 20/s", 400, 20.0)]
        return [run(system, contestants(system), rounds=3, paces=paces, killed=hasty(system))]
