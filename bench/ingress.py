"""Ingress: verified deliveries per second and their latency, at concurrency 1, 16 and 64.

The same signed bodies go to each contestant; each writes to a queue of its own in the same Azurite. What was answered
202 is counted in the queue; a delivery whose signature is wrong has to be answered 401 and leave nothing there.
All contestants run all the time, and take turns of a second or so: a shared machine's pace changes by half within
minutes, and two that are compared have to meet the same pace. Nobody begins before the one before has done all that it
does after its answers: the commands that it has started, the requests that it was left with. Each turn begins with some
deliveries that are not measured: whoever is the first to use Azurite after others that don't would find it cold.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from typing import NamedTuple

from bench import deliveries, load
from bench.contestants import ours
from bench.contestants.contestant import Contestant, Running
from bench.processes import wait_until_idle
from bench.report import Report, figures
from bench.rounds import Figure, measure, quantile
from local.system import System

CONCURRENCIES = (1, 16, 64)
WARM_UP, WARM_SECONDS = 100, 1.0  # at most: Azurite and the contestant itself have rested since its last turn
RELAY, TELLING, BARE, STARLETTE = "registry relay", "relay, telemetry", "bare function", "Starlette and SDK"


def contestants(system: System) -> list[Contestant]:
    """Return those that need nothing but PyPI."""
    telling = {**ours.HTTP_ONLY, "OTEL_EXPORTER_OTLP_ENDPOINT": system.collector.url}
    return [
        ours.relay(system, **ours.HTTP_ONLY),
        ours.relay(system, TELLING, **telling),
        ours.bare(system),
        ours.starlette(system),
    ]


def run(
    system: System,
    entered: Sequence[Contestant],
    *,
    rounds: int,
    count: int,
    seconds: float,
    concurrencies: Sequence[int] = CONCURRENCIES,
) -> Report:
    """Measure them; `count` deliveries at each concurrency and round, for so many seconds at most. Returns the report.

    What was broken off without an answer is counted. Raises RuntimeError if a contestant answered anything but success,
    or its queue does not hold what it accepted.
    """
    columns = {f"{what} at {c}": "{:,.0f}" if what == "per s" else "{:.1f}" for c in concurrencies for what in _WHAT}
    report = Report("ingress", "Ingress: deliveries accepted per second; p50, p99 in ms", columns)
    report.plotted, report.unit = [f"per s at {c}" for c in concurrencies], "per s"
    requests = deliveries.signed(system.secret(ours.SECRET), "one", min(count, 500))
    with ExitStack() as stack:
        running = [_started(stack, each, requests, seconds) for each in entered]
        found = measure(running, rounds, lambda each: _once(each, requests, count, seconds, concurrencies))
        for each, cells in zip(running, found, strict=True):
            cells |= {key: Figure([value]) for key, value in _refused(each, requests, min(count, 200), seconds).items()}
    report.columns |= dict.fromkeys(
        ("unanswered", "refused with 401", "answered otherwise", "queued of them"), "{:.0f}"
    )
    report.columns |= {"stored before the answer": "{}", "version": "{}"}
    for contestant, cells in zip(entered, found, strict=True):
        more = {"stored before the answer": contestant.stores, "version": contestant.version}
        report.rows.append((contestant.name, {**cells, **more}))
    _judge(report, concurrencies)
    return report


_WHAT = ("per s", "p50", "p99")


class _Entered(NamedTuple):
    """A contestant, and its process."""

    contestant: Contestant
    running: Running


def _started(stack: ExitStack, contestant: Contestant, requests: Sequence[load.Request], seconds: float) -> _Entered:
    running = stack.enter_context(contestant.running())
    _ask(running, requests, 16, min(len(requests), 100), seconds)  # what is done once is done before
    return _Entered(contestant, running)


def _once(
    entered: _Entered, requests: Sequence[load.Request], count: int, seconds: float, concurrencies: Sequence[int]
) -> dict[str, float]:
    told = {"unanswered": 0.0}
    _accepted(entered, requests, 1, min(count, WARM_UP), WARM_SECONDS)
    for concurrency in concurrencies:
        measured = _accepted(entered, requests, concurrency, count, seconds)
        told[f"per s at {concurrency}"] = measured.per_second
        told["unanswered"] += measured.counts.get(0, 0)
        told[f"p50 at {concurrency}"] = quantile(measured.latencies, 0.5) * 1000
        told[f"p99 at {concurrency}"] = quantile(measured.latencies, 0.99) * 1000
    told["busy after its turn"] = float(not wait_until_idle(entered.running.pid))
    return told


def _accepted(
    entered: _Entered, requests: Sequence[load.Request], concurrency: int, count: int, seconds: float
) -> load.Measured:
    contestant, running = entered
    if contestant.empty:
        contestant.empty()
    measured = _ask(running, requests, concurrency, count, seconds)
    unanswered = measured.counts.get(0, 0)  # whoever got no answer does not know whether it was taken
    accepted = sum(times for status, times in measured.counts.items() if 200 <= status < 300)
    if accepted + unanswered < len(measured.statuses):
        raise RuntimeError(f"{contestant.name} answered {measured.counts} to good deliveries")
    if contestant.queued and not accepted <= (there := contestant.queued()) <= accepted + unanswered:
        raise RuntimeError(f"{contestant.name} accepted {accepted}, and its queue holds {there}")
    return measured


def _refused(entered: _Entered, requests: Sequence[load.Request], count: int, seconds: float) -> dict[str, float]:
    contestant, running = entered
    if not contestant.verifies:
        return {}
    if contestant.empty:
        contestant.empty()
    measured = _ask(running, deliveries.wrongly_signed(requests), 16, count, seconds)
    told = {
        "refused with 401": float(measured.counts.get(401, 0)),
        "answered otherwise": float(sum(measured.counts.values()) - measured.counts.get(401, 0)),
        "refused per s at 16": measured.per_second,
    }
    return {**told, "queued of them": float(contestant.queued())} if contestant.queued else told


def _ask(
    running: Running, requests: Sequence[load.Request], concurrency: int, count: int, seconds: float
) -> load.Measured:
    return load.run(running.url, requests, concurrency=concurrency, count=count, seconds=seconds)


def _judge(report: Report, concurrencies: Sequence[int]) -> None:
    for concurrency in concurrencies:
        column = f"per s at {concurrency}"
        bare, starlette = (report.ratio(RELAY, name, column) for name in (BARE, STARLETTE))
        report.goal(f"{column}: at least 0.9 of the bare function", bare, bare >= 0.9)
        report.goal(f"{column}: above the Starlette app", starlette, starlette > 1.0)
    cells = figures(dict(report.rows)[RELAY])
    refused, others = cells["refused with 401"], cells["answered otherwise"]
    with suppress(KeyError):
        queued = cells["queued of them"]
        always = max(others.values) == 0 and max(queued.values) == 0 and min(refused.values) > 0
        report.goal("a wrong signature: always 401, never a queue write", max(queued.values), always)


def reports(quick: bool) -> list[Report]:
    """Measure in the long form, about 6 minutes, or the quick one."""
    with System() as system:
        if quick:
            return [run(system, contestants(system), rounds=1, count=60, seconds=5, concurrencies=(1, 16))]
        return [run(system, contestants(system), rounds=25, count=400, seconds=10)]
