"""The index of all events, table `recent`: newest first, a partition a day, each event at the time it happened.

It is walked from any place in it: what lists and charts need, without a story read. A place is the key of an index row:
whoever was shown the events up to it goes on behind it, also when newer ones came.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from shared import storage
from shared.ledger_rows import MAX_COLUMN
from shared.messages import Event
from shared.settings import settings

TABLE = "recent"
LAST_MOMENT = 10**15  # milliseconds, beyond any date: counted down from it, the newest comes first
_PLACE = re.compile(r"([0-9]{16})-[0-9a-f]{64}")


class Noted(NamedTuple):
    """A row of the index: its place, the event's id, when it happened, and its model (1,000 characters at most)."""

    place: str
    event_id: str
    happened: datetime
    model: str


def note(event: Event) -> None:
    """Note an event by the time it happened, not by that of its delivery: told twice, it is noted once."""
    partition, row_key = key_of(event)
    row = {
        "PartitionKey": partition,
        "RowKey": row_key,
        "event": event.id,
        "happened": event.happened,
        "type": event.type,
        "model": event.model[:MAX_COLUMN],
    }
    storage.put_row(TABLE, row)


def key_of(event: Event) -> tuple[str, str]:
    """Return the key of an event's row: of its partition, and of the row in it."""
    return event.happened.date().isoformat(), f"{LAST_MOMENT - event.timestamp:016d}-{event.id}"


def remove(partition: str, row_key: str) -> None:
    """Take a row from the index."""
    storage.table(TABLE).delete_entity(partition, row_key)


def older_than(before: datetime, limit: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of the events that happened before the day of that moment, for `ledger.forget`."""
    found = storage.rows(TABLE, "PartitionKey lt @day", {"day": before.date().isoformat()})
    yield from itertools.islice(found, limit)


def newest(since: datetime, until: datetime, after: str = "") -> Iterator[Noted]:
    """Yield the events that happened between the two moments, newest first, from behind the place `after`.

    Costs a query for each day and each 1,000 rows. Raises ValueError for a place that is none.
    """
    day = min(until, moment_of(after)).date() if after else until.date()
    while day >= since.date():
        condition = "PartitionKey eq @day" + (" and RowKey gt @after" if after else "")
        for row in storage.rows(TABLE, condition, {"day": day.isoformat(), "after": after}):
            if since <= row["happened"] <= until:
                yield Noted(row["RowKey"], str(row["event"]), row["happened"], str(row.get("model", "")))
        after = ""
        day -= timedelta(days=1)


def event_ids(since: datetime, until: datetime, limit: int) -> Iterator[str]:
    """Yield the ids of the events that happened between the two moments, newest first, so many at most."""
    yield from (row.event_id for row in itertools.islice(newest(since, until), limit))


def remembered(since: datetime, now: datetime) -> datetime:
    """Return the moment, or the one before which the ledger has surely forgotten all: each day back costs a query."""
    return max(since, now - timedelta(days=settings().retention_days + 31))


def moment_of(place: str) -> datetime:
    """Return when the event at a place happened. Raises ValueError for a place that is none."""
    found = _PLACE.fullmatch(place)
    try:
        if found:
            return datetime.fromtimestamp((LAST_MOMENT - int(found[1])) / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        pass
    raise ValueError("`after` has to be what an earlier answer gave as `next`")
