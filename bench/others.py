"""Ingress and end to end beside n8n, Node-RED and Debian's webhook: `make bench-peers`, which gets them first."""

from __future__ import annotations

from collections.abc import Iterator

from bench import end_to_end, ingress
from bench.contestants import peers
from bench.end_to_end import Pace
from bench.report import Report
from local.system import System

N8N = "n8n"


def ingress_report(
    system: System, *, rounds: int, count: int, seconds: float, concurrencies: tuple[int, ...]
) -> Report:
    """Measure the relay and every peer that is installed."""
    entered = [*ingress.contestants(system), *peers.for_ingress(system)]
    report = ingress.run(system, entered, rounds=rounds, count=count, seconds=seconds, concurrencies=concurrencies)
    report.name, report.title = "peers_ingress", f"{report.title}; beside others"
    report.notes += peers.missing()
    for concurrency in concurrencies:
        column = f"per s at {concurrency}"
        times = report.ratio(ingress.RELAY, N8N, column)
        report.goal(f"{column}: at least 3 times n8n", times, times >= 3)
    return report


def releases_report(system: System, *, rounds: int, paces: list[Pace]) -> Report:
    """Measure the time to an active release beside n8n, and what n8n keeps when it is killed."""
    others = peers.for_releases(system)
    entered, killed = [*end_to_end.contestants(system), *others], [*end_to_end.hasty(system), *others]
    report = end_to_end.run(system, entered, rounds=rounds, paces=paces, killed=killed)
    report.name, report.title = "peers_end_to_end", f"{report.title}; beside n8n"
    report.notes += [
        "n8n makes one call in its own process right after its answer, so it is ahead on latency",
        *peers.missing(),
    ]
    return report


def reports(quick: bool) -> Iterator[Report]:
    """Measure in the long form, about 20 minutes, or the quick one."""
    with System() as system:
        if quick:
            paces = [Pace("idle", 3, 2.0), Pace("at 20/s", 20, 20.0)]
            yield ingress_report(system, rounds=1, count=60, seconds=5, concurrencies=(1, 16))
            yield releases_report(system, rounds=1, paces=paces)
        else:
            paces = [Pace("idle", 20, 1.0), Pace("at 20/s", 400, 20.0)]
            yield ingress_report(system, rounds=12, count=400, seconds=5, concurrencies=ingress.CONCURRENCIES)
            yield releases_report(system, rounds=3, paces=paces)
