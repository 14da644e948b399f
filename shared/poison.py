"""Messages that no function could take: kept in the table `poison`, a partition for each queue, until replayed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from shared import storage

POISON = "poison"
MAX_TEXT_COLUMN = 32_000  # characters in one property


def kept(queue: str, since: datetime) -> Iterator[Any]:
    """Yield the rows of the queue's messages that were kept since then."""
    yield from (row for row in storage.rows(POISON, "PartitionKey eq @queue", {"queue": queue}) if row["at"] >= since)


def count() -> int:
    """Return how many messages are kept."""
    return sum(1 for _ in storage.rows(POISON, "PartitionKey ge @first", {"first": ""}))


def drop(row: Any) -> None:
    """Remove a kept message."""
    storage.table(POISON).delete_entity(row["PartitionKey"], row["RowKey"])


def keep(queue: str, key: str, message: str, reason: str, now: datetime) -> None:
    """Keep a message that no function could take, with its reason, in the table `poison`."""
    entity = {
        "PartitionKey": queue,
        "RowKey": key,
        "message": message[:MAX_TEXT_COLUMN],
        "reason": reason,
        "at": now,
    }
    storage.put_row(POISON, entity)
