"""The list of the events that have not ended, for the sweeper: table `open`.

An event is put there before its first row is written, and taken away after its last. Whoever takes it away may have
stood still since it saw the end, and an operator may have replayed a step meanwhile: what is put there once more is
another row, and a row that was found goes only if it is still as it was found.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any

from shared import storage

TABLE = "open"
AGAIN = " "  # in the key of a row: after the id of an event that was put there once more


def add(event_id: str, now: datetime) -> None:
    """Put a new event on the list."""
    _put(event_id, event_id, now)


def add_again(event_id: str, now: datetime) -> None:
    """Put an event that is known on the list once more: before any of its steps gets ready."""
    _put(event_id, f"{event_id}{AGAIN}{now.timestamp():.6f}", now)


def ids() -> Iterator[str]:
    """Yield the ids of the events that have not ended, each once."""
    yield from _listed("PartitionKey ge @first", {"first": ""})


def ids_before(moment: datetime) -> Iterator[str]:
    """Yield the ids of the events that have not ended since they were begun, or replayed, before that moment."""
    yield from _listed("since lt @before", {"before": moment})


def entries(event_id: str) -> list[Any]:
    """Return the rows of an event, for `remove_entry`."""
    span = {"partition": _partition(event_id), "first": event_id, "last": f"{event_id}~"}
    return list(storage.rows(TABLE, "PartitionKey eq @partition and RowKey ge @first and RowKey lt @last", span))


def remove(event_id: str) -> None:
    """Take away what `add` has put there, and nothing that was put there again."""
    _delete(_partition(event_id), event_id)


def remove_entry(entry: Any) -> None:
    """Take away a row, unless somebody has just put it there anew."""
    from azure.core import MatchConditions

    unchanged = {"etag": entry.metadata["etag"], "match_condition": MatchConditions.IfNotModified}
    _delete(entry["PartitionKey"], entry["RowKey"], **unchanged)


def _delete(partition: str, row_key: str, **condition: Any) -> None:
    from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError

    with suppress(ResourceNotFoundError, ResourceModifiedError):
        storage.table(TABLE).delete_entity(partition, row_key, **condition)


def _put(event_id: str, row_key: str, now: datetime) -> None:
    storage.put_row(TABLE, {"PartitionKey": _partition(event_id), "RowKey": row_key, "since": now})


def _partition(event_id: str) -> str:
    return event_id[:1]


def _listed(condition: str, values: dict[str, Any]) -> Iterator[str]:
    found = (str(row["RowKey"]).partition(AGAIN)[0] for row in storage.rows(TABLE, condition, values))
    yield from (event_id for event_id, _ in itertools.groupby(found))  # the rows of one event are neighbours
