"""What waits for a person: dead and parked events, poison, stopped routes, and queues that grow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import islice

from handlers.doctor.storage import QUEUES
from handlers.story import state_of
from shared import brakes, ledger, open_events, poison, recent, storage
from shared.errors import UnknownStep
from shared.findings import Finding, defect, ok, warning

DAYS = 7
NEWEST = 300
MANY_WAITING = 1000
STRANDED = timedelta(hours=24)
Checks = dict[str, Callable[[], Iterator[Finding]]]


def checks(now: datetime) -> Checks:
    """Return what is counted, by its name."""
    return {
        "dead and parked events": lambda: _unhappy(now),
        "poison": _poison,
        "events under way": lambda: _under_way(now),
        "queues": _queues,
        "stopped routes": _stopped,
    }


def _unhappy(now: datetime) -> Iterator[Finding]:
    states: Counter[str] = Counter()
    for event_id in recent.event_ids(now - timedelta(days=DAYS), now + timedelta(days=1), NEWEST):
        try:
            states[state_of(ledger.read(event_id))] += 1
        except UnknownStep:
            continue  # not written yet, or just forgotten
    for state in ("dead", "parked", "in_doubt"):
        if states[state]:
            yield warning(
                state,
                f"{states[state]} of the {states.total()} newest events of {DAYS} days are {state}",
                f"python -m cli events list --state {state}; then replay or resolve them",
                "ledger",
            )
    if not any(states[state] for state in ("dead", "parked", "in_doubt")):
        yield ok("dead", f"none of the {states.total()} newest events of {DAYS} days is dead or parked", "ledger")


def _poison() -> Iterator[Finding]:
    count = poison.count()
    if count:
        advice = "read their reasons in the table `poison`; python -m cli events replay --since routes the events again"
        yield warning("poison", f"{count} messages that no function could take", advice, "ledger")
    else:
        yield ok("poison", "no message is kept", "ledger")


def _under_way(now: datetime) -> Iterator[Finding]:
    count = sum(1 for _ in islice(open_events.ids_before(now - STRANDED), MANY_WAITING))
    if count:
        seen = f"{count} events are under way for more than {STRANDED.total_seconds() / 3600:.0f} h"
        yield warning("under way", seen, "python -m cli events list shows what they wait for", "ledger")
    else:
        yield ok("under way", "no event is under way for longer than a day", "ledger")


def _queues() -> Iterator[Finding]:
    from azure.core.exceptions import ResourceNotFoundError

    for name in QUEUES:
        try:
            count = int(storage.queue(name).get_queue_properties().approximate_message_count or 0)
        except ResourceNotFoundError:
            count = 0  # nothing has been sent yet
        if count > MANY_WAITING:
            advice = "is the function that takes them running? Look at its invocations and its scale limit"
            yield defect("waiting", f"{count} messages wait", advice, f"queue {name}")
        else:
            yield ok("waiting", f"{count} messages wait", f"queue {name}")


def _stopped() -> Iterator[Finding]:
    stops = brakes.stopped_routes()
    for name, stop in stops.items():
        seen = f"stopped since {stop.since:%Y-%m-%d %H:%M} UTC: {stop.reason}"
        yield warning("stopped", seen, f"python -m cli routes start {name} --replay", f"route {name}")
    if not stops:
        yield ok("stopped", "no route is stopped", "routes")
