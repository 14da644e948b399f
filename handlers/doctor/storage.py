"""The storage account, by the identity that the app has: queue, table and blob, each written to, read and cleared."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from shared import storage
from shared.findings import Finding, ok
from shared.messages import EVENTS_QUEUE, STEPS_QUEUE

PLACE = "doctor"
SUBJECT = "storage account"
QUEUES = (EVENTS_QUEUE, STEPS_QUEUE)


def _queue() -> Iterator[Finding]:
    storage.send(PLACE, "a message of the doctor")
    client = storage.queue(PLACE)
    client.get_queue_properties()
    client.clear_messages()
    yield ok("queue", "messages can be put and taken", SUBJECT)


def _table() -> Iterator[Finding]:
    storage.put_row(PLACE, {"PartitionKey": PLACE, "RowKey": PLACE})
    storage.table(PLACE).get_entity(PLACE, PLACE)
    storage.table(PLACE).delete_entity(PLACE, PLACE)
    yield ok("table", "rows can be written, read and deleted", SUBJECT)


def _blob() -> Iterator[Finding]:
    storage.write_blob(PLACE, "a text of the doctor")
    storage.read_blob(PLACE)
    storage.delete_blob(PLACE)
    yield ok("blob", "large events can be stored, read and deleted", SUBJECT)


CHECKS: dict[str, Callable[[], Iterator[Finding]]] = {"queue": _queue, "table": _table, "blob": _blob}
