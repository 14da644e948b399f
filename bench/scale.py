"""Scale: the drain of a full queue by 1, 2 and 4 workers, memory over ten minutes, and whether anybody waits.

All share one Azurite, a single Node process: what it can do in a second is the limit that shows here first, so its
share of a processor is told beside each figure. What Azure's own limits are: docs/scale.md.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import psutil

from bench import deliveries, load
from bench.contestants import ours
from bench.contestants.contestant import Running
from bench.end_to_end import telling
from bench.feeding import Feeder
from bench.report import Report
from bench.rounds import Figure, quantile
from local.system import System
from local.worker import ROOT, Host

ROUND_TRIP_SECONDS = 120.0
NEIGHBOURS = {
    "healthy": "healthy events of another route",
    "poison": "a route whose target answers 503 for ever",
    "throttled": "a target that answers 429, Retry-After: 2",
    "slow": "a target that takes 2 seconds",
    "hot": "one model version, again and again",
}
FIRST, LAST = "first tenth, per s", "last tenth, per s"


def drain(events: int, workers: list[int], backlog: int = 500) -> Report:
    """Let so many workers work off events of a one-step route, each time anew; `backlog` of them always wait.

    Not all wait at once: what a get or a delete takes Azurite grows with the length of the queue (160 of them 0.9 s at
    1,000 messages, 12 s at 10,000), and Azurite would be all that is measured. Azure's queues don't do so. Its tables
    can't be kept short: calls take longer the more rows it holds, and the rates of the first and the last tenth tell
    how much.
    """
    columns = {"seconds": "{:.1f}", "events per s": "{:.0f}", FIRST: "{:.0f}", LAST: "{:.0f}"}
    columns |= {"cores of the workers": "{:.2f}", "cores of Azurite": "{:.2f}"}
    report = Report("scale_drain", f"Drain of {events:,} queued events", columns)
    report.plotted, report.unit = ("events per s",), "per s"
    for count in workers:
        with System() as system:
            cells = _drained(system, events, count, backlog)
        report.rows.append((f"{count} worker{'s' * (count > 1)}", {key: Figure([each]) for key, each in cells.items()}))
    report.notes += [
        f"{backlog:,} events wait at any moment, until the last of them have been put in",
        "workers, Azurite, stand-ins and the feeder share this machine's cores: see the machine in the JSON",
    ]
    return report


def _drained(system: System, events: int, count: int, backlog: int) -> dict[str, float]:
    with ExitStack() as stack:
        settings = system.environment(ours.ROUTES)
        stack.enter_context(Feeder(system, settings, events, backlog))
        hosts = [stack.enter_context(Host(ROOT, settings)) for _ in range(count)]
        watched = [psutil.Process(host.pid) for host in hosts], [psutil.Process(system.azurite.process.pid)]
        before, began = [_cpu(each) for each in watched], time.monotonic()
        done = len(system.devops.starts)
        _wait(lambda: len(system.devops.starts) >= events, events / 5 + ROUND_TRIP_SECONDS)
        seconds = time.monotonic() - began
        spent = [(_cpu(each) - was) / seconds for each, was in zip(watched, before, strict=True)]
    if len(system.devops.starts) != events:
        raise RuntimeError(f"{len(system.devops.starts)} releases for {events} events")
    rate = (events - done) / seconds
    moments = sorted(each.time for each in system.devops.starts)
    some = max(events // 10, 2)
    names = ("seconds", "events per s", FIRST, LAST, "cores of the workers", "cores of Azurite")
    figures = (seconds, rate, _rate(moments[:some]), _rate(moments[-some:]), *spent)
    return dict(zip(names, figures, strict=True))


def _rate(moments: Sequence[float]) -> float:
    """Return how many a second these are, which have come at these moments."""
    return (len(moments) - 1) / (moments[-1] - moments[0])


def _cpu(processes: list[psutil.Process]) -> float:
    return float(sum(sum(each.cpu_times()[:2]) for each in processes))


def soak(seconds: float, rate: float) -> Report:
    """Send at a steady rate and watch a worker's memory; telemetry goes out as in Azure."""
    columns = dict.fromkeys(("events", "MB early", "MB late", "MB most", "MB more per hour"), "{:.1f}")
    report = Report("scale_soak", f"Memory of a worker over {seconds:.0f} s at {rate:.0f} events/s", columns)
    with System() as system, ours.relay(system, **telling(system)).running() as running:
        requests = deliveries.signed(system.secret(ours.SECRET), "three", round(seconds * rate))
        samples = _sampled(
            running,
            lambda: load.run(
                running.url, requests, concurrency=32, count=len(requests), seconds=seconds + 30, rate=rate
            ),
        )
    early, late = (_middle(samples, since, until) for since, until in ((0.25, 0.5), (0.75, 1.0)))
    growth = (late - early) / (seconds / 2 / 3600)
    values = (float(len(requests)), early, late, max(samples), growth)
    report.rows.append(("registry relay", {key: Figure([each]) for key, each in zip(columns, values, strict=True)}))
    report.goal("memory is flat: the last quarter within 3 % of the second", late / early, late <= 1.03 * early)
    report.more["samples"] = [round(each, 1) for each in samples]
    return report


def _sampled(running: Running, work: Callable[[], load.Measured]) -> list[float]:
    thread = threading.Thread(target=work)
    thread.start()
    samples, process = [], psutil.Process(running.pid)
    while thread.is_alive():
        samples.append(process.memory_info().rss / 2**20)
        thread.join(1.0)
    return samples


def _middle(samples: list[float], since: float, until: float) -> float:
    return statistics.median(samples[int(len(samples) * since) : max(int(len(samples) * until), 1)] or samples)


def neighbours(count: int, rate: float, kinds: Sequence[str] = tuple(NEIGHBOURS)) -> Report:
    """Send healthy events beside others, at the same rate; the first row's others have to be healthy too."""
    columns = {"p50": "{:.0f}", "p99": "{:.0f}", "times p50": "{:.2f}", "healthy": "{:.0f}"}
    report = Report("scale_neighbours", f"Latency of a healthy route in ms, {rate:.0f}/s beside {rate:.0f}/s", columns)
    report.plotted, report.unit = ("p50", "p99"), "ms"
    first = 0.0
    for kind in kinds:
        title = NEIGHBOURS[kind]
        with System() as system, ours.relay(system).running() as running:
            _paced(running, deliveries.signed(system.secret(ours.SECRET), "three-warm", 3), 5.0)
            _settle(system, 3)
            _upset(system, kind)
            taken = _beside(system, running, kind, count, rate)
        p50, p99 = quantile(taken, 0.5) * 1000, quantile(taken, 0.99) * 1000
        first = first or p50
        values = {"p50": p50, "p99": p99, "times p50": p50 / first, "healthy": float(len(taken))}
        report.rows.append((title, {key: Figure([each]) for key, each in values.items()}))
        if kind != "healthy":
            report.goal(f"beside {title}: p50 at most 1.5 times", p50 / first, p50 <= 1.5 * first)
    report.notes.append(
        "a slow target holds places of one instance (24 at once): when all are held, only more instances help"
    )
    return report


def _settle(system: System, releases: int) -> None:
    """Wait until what a worker does once has been done: so many releases, and the messages after them."""
    _wait(lambda: len(system.devops.starts) == releases, 30)
    time.sleep(1.0)


def _upset(system: System, kind: str) -> None:
    faults = system.chat.faults
    if kind == "poison":
        faults.add("POST", "^/slack/", times=None, status=503)
    elif kind == "throttled":
        faults.add("POST", "^/slack/", times=None, status=429, headers={"Retry-After": "2"})
    elif kind == "slow":
        faults.add("POST", "^/slack/", times=None, slow=2.0)


def _beside(system: System, running: Running, kind: str, count: int, rate: float) -> list[float]:
    secret = system.secret(ours.SECRET)
    healthy = deliveries.signed(secret, "one", count)
    others = deliveries.signed(secret, "call", count)
    if kind == "hot":
        others = deliveries.of_one_version(secret, "call-hot", count)
    found: list[load.Measured] = []
    threads = [threading.Thread(target=lambda each: found.append(_paced(running, each, rate)), args=(others,))]
    threads[0].start()
    sent = _paced(running, healthy, rate)
    threads[0].join()
    if {*sent.counts, *found[0].counts} != {202}:
        raise RuntimeError(f"answered {sent.counts} and {found[0].counts}")
    _wait(lambda: len(system.devops.starts) >= count + 3, ROUND_TRIP_SECONDS)
    due = {f"one-{number}": moment for number, moment in enumerate(sent.sent)}
    started = [(str(each.variables["modelName"].get("value")), each.time) for each in system.devops.starts[3:]]
    if sorted(model for model, _ in started) != sorted(due):
        raise RuntimeError(f"{len(started)} releases for {count} healthy events")
    return [moment - due[model] for model, moment in started]


def _paced(running: Running, requests: list[load.Request], rate: float) -> load.Measured:
    seconds = len(requests) / rate + 60
    return load.run(running.url, requests, concurrency=32, count=len(requests), seconds=seconds, rate=rate)


def _wait(look: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not look() and time.monotonic() < deadline:
        time.sleep(0.05)


def reports(quick: bool) -> Iterator[Report]:
    """Measure in the long form, an hour, or the quick one."""
    yield drain(20, [1, 2]) if quick else drain(20_000, [1, 2, 4])
    yield soak(4, 2.0) if quick else soak(600, 5.0)
    yield neighbours(5, 5.0, ["healthy", "throttled"]) if quick else neighbours(200, 5.0)
