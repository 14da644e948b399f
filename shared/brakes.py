"""What keeps routes from running away: a switch per route, a budget per model version, and the echoes of our own acts.

Table `switches`: the routes that operators have stopped. Table `budget`: a partition per model version, a row for each
event that started routes. Table `echoes`: the registry events that our own steps are about to cause; the first event
that fits one takes it.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec

from shared import storage
from shared.messages import Event
from shared.routes import BUDGET_HOURS
from shared.shapes import decoded
from shared.stories import Cause

SWITCHES, BUDGET, ECHOES = "switches", "budget", "echoes"
BUDGET_WINDOW = timedelta(hours=BUDGET_HOURS)
ECHO_WINDOW = timedelta(hours=1)  # a registry tells of an act within seconds; a retry of the act comes later
FORGOTTEN = timedelta(days=2)


class Stop(msgspec.Struct, frozen=True):
    """That an operator has stopped a route: why, and when."""

    reason: str
    since: datetime


def stop_route(route: str, reason: str, now: datetime) -> None:
    """Let no step of the route act any more until `start_route`."""
    storage.put_row(SWITCHES, {"PartitionKey": "route", "RowKey": route, "reason": reason, "since": now})


def start_route(route: str) -> None:
    """Let the route's steps act again. One that was not stopped stays as it is."""
    storage.table(SWITCHES).delete_entity("route", route)


def stopped_routes() -> dict[str, Stop]:
    """Return the routes that operators have stopped."""
    rows = storage.rows(SWITCHES, "PartitionKey eq @kind", {"kind": "route"})
    return {str(row["RowKey"]): Stop(row["reason"], row["since"]) for row in rows}


def spend(event: Event, routes: int, now: datetime) -> int:
    """Note that the event starts so many routes; return how many its model version has started in 24 hours.

    An event that comes twice is counted once.
    """
    partition = budget_partition(event)
    row = {"PartitionKey": partition, "RowKey": event.id, "routes": routes, "at": now}
    storage.put_row(BUDGET, row)
    recent = {"version": partition, "since": now - BUDGET_WINDOW}
    return sum(int(row["routes"]) for row in storage.rows(BUDGET, "PartitionKey eq @version and at gt @since", recent))


def budget_partition(event: Event) -> str:
    """Return the name of the partition in which the routes of a model version are counted, or those of a job."""
    version = "" if event.type.startswith("job.") else event.version  # each run of a job is another version
    return hashlib.sha256(msgspec.json.encode([event.source, event.model, version])).hexdigest()


def expect(key: str, cause: Cause, step_key: str, now: datetime) -> None:
    """Note that a step is about to cause an event of this key (`shared.loops.echo_key`)."""
    told = msgspec.json.encode(cause).decode()
    storage.put_row(ECHOES, {"PartitionKey": key, "RowKey": step_key, "cause": told, "at": now, "event": ""})


def take_echo(key: str, event_id: str, now: datetime) -> Cause | None:
    """Return what caused the event, if a step of ours did; the same each time it is asked for one event."""
    from azure.core import MatchConditions
    from azure.core.exceptions import ResourceModifiedError

    for row in sorted(_echoes(key, now), key=lambda row: (row["event"] != event_id, row["at"])):
        if row["event"] not in ("", event_id):
            continue
        if not row["event"]:
            row["event"], etag = event_id, row.metadata["etag"]
            try:
                storage.table(ECHOES).update_entity(row, etag=etag, match_condition=MatchConditions.IfNotModified)
            except ResourceModifiedError:
                continue  # another event has taken it
        return decoded(row["cause"], Cause)
    return None


def _echoes(key: str, now: datetime) -> Iterator[Any]:
    rows = storage.rows(ECHOES, "PartitionKey eq @key", {"key": key})
    yield from (row for row in rows if row["at"] > now - ECHO_WINDOW)


def forget(now: datetime) -> int:
    """Remove what is too old to count, 1,000 rows of each table at most; return how many rows that were."""
    count = 0
    for name in (BUDGET, ECHOES):
        old = storage.rows(name, "at lt @before", {"before": now - FORGOTTEN})
        for row in itertools.islice(old, 1000):
            storage.table(name).delete_entity(row["PartitionKey"], row["RowKey"])
            count += 1
    return count
