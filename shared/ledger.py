"""The ledger: what happened to every event, in Table storage.

Table `steps`, one partition per event: a row `event`, a row `route:NAME` for each route it started (as the route was
then, so that a change of the file leaves events under way alone), a row `step:ID` for each step whose turn has come.
Table `open`: the events that have not ended, for the sweeper; written before the first and removed after the last
row of the event's end. Table `recent`: all events, newest first, a partition a day. Table `poison`: messages that
nothing could take. Every change of a step is a Replace with If-Match: whoever read an older row gets ClaimLost.
"""

from __future__ import annotations

import hmac
import itertools
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, TypeVar

import msgspec

from shared import storage
from shared.errors import ClaimLost, UnknownStep
from shared.messages import Event, decode_event, encode_event
from shared.routes import Route
from shared.steps import ENDED, State, Step, moved, new_step

STEPS, OPEN, RECENT, POISON, RELAY = "steps", "open", "recent", "poison", "relay"
MAX_COLUMN = 1000  # columns for a person's eyes and for filters; the whole text stands in `event`
MAX_TEXT_COLUMN = 32_000  # characters in one property
LAST_MOMENT = 10**15  # milliseconds, beyond any date: counted down from it, the newest comes first
TRANSACTION_ROWS = 100  # the service's limit for one transaction
Answer = TypeVar("Answer")


class Story(msgspec.Struct, frozen=True):
    """All that the ledger knows of one event."""

    event: Event
    routes: dict[str, Route]
    steps: dict[str, Step]

    @property
    def has_ended(self) -> bool:
        """Whether every step that came to its turn has ended: the next one's row comes with its predecessor's end."""
        return all(step.state in ENDED for step in self.steps.values())


def record(event: Event, blob: str, routes: Iterable[Route], now: datetime) -> list[Step]:
    """Write an event with the first step of each of its routes, unless it is known.

    Returns the steps that nobody has claimed yet: those just written or, if the event is known, those whose pointers
    may have been lost.
    """
    routes = list(routes)
    steps = [new_step(event.id, route, route.steps[0], now) for route in routes]
    rows = [*map(_step_row, steps), *(_route_row(event.id, route) for route in routes)]
    rows.append(_event_row(event, blob))  # last: where it stands, all stands
    _note_recent(event)
    if steps:
        reopen(event.id, now)
    from azure.data.tables import TableTransactionError

    try:
        for start in range(0, len(rows), TRANSACTION_ROWS):
            _write([("create", row) for row in rows[start : start + TRANSACTION_ROWS]])
    except TableTransactionError as error:
        if not _is_conflict(error):
            raise
        _complete(event.id, rows)
        known = read(event.id).steps.values()
        return [step for step in known if step.state is State.READY and step.fence == 0]
    return steps


def read(event_id: str) -> Story:
    """Return the event's story. Raises UnknownStep if there is none."""
    rows = {row["RowKey"]: row for row in _query(event_id)}
    if "event" not in rows:
        raise UnknownStep(f"the ledger holds no event {event_id!r}")
    routes = [msgspec.json.decode(row["route"], type=Route) for key, row in rows.items() if key.startswith("route:")]
    steps = [_step(row) for key, row in rows.items() if key.startswith("step:")]
    return Story(
        event=_event(rows["event"]),
        routes={route.name: route for route in routes},
        steps={step.id: step for step in steps},
    )


def change(step: Step, state: State, now: datetime, *, then: Iterable[Step] = (), **changes: Any) -> Step:
    """Move a step along an arrow, and in the same transaction insert the steps whose turn it makes.

    Returns the step as it stands now. Raises ClaimLost if the row is not as it was read.
    """
    from azure.core import MatchConditions
    from azure.data.tables import TableTransactionError

    after = moved(step, now, state, **changes)
    condition = {"mode": "replace", "etag": step.etag, "match_condition": MatchConditions.IfNotModified}
    operations: list[Any] = [("update", _step_row(after), condition)]
    operations += [("create", _step_row(new)) for new in then]
    try:
        replies = _write(operations)
    except TableTransactionError as error:
        if not _is_conflict(error):
            raise
        raise ClaimLost(f"step {step.id} was changed by another worker") from None
    return msgspec.structs.replace(after, etag=str(replies[0]["etag"]))


def close(event_id: str) -> None:
    """Take the event from the sweeper's list."""
    storage.table(OPEN).delete_entity(*_open_key(event_id))


def open_events() -> Iterator[str]:
    """Yield the ids of the events that have not ended."""
    for row in _rows(OPEN, "PartitionKey ge @first", {"first": ""}):
        yield str(row["RowKey"])


def recent(since: datetime, until: datetime, limit: int) -> Iterator[str]:
    """Yield the ids of the events that happened between the two moments, newest first."""
    day, count = until.date(), 0
    while day >= since.date() and count < limit:
        for row in _rows(RECENT, "PartitionKey eq @day", {"day": day.isoformat()}):
            if since <= row["happened"] <= until and count < limit:
                count += 1
                yield str(row["event"])
        day -= timedelta(days=1)


def older_than(before: datetime, limit: int) -> Iterator[dict[str, Any]]:
    """Yield the index rows of the events that happened before the day of that moment, for `forget`."""
    found = _rows(RECENT, "PartitionKey lt @day", {"day": before.date().isoformat()})
    yield from itertools.islice(found, limit)


def forget(index_row: dict[str, Any]) -> None:
    """Remove an event with all that belongs to it; its index row last, so that a broken-off run is taken up again."""
    event_id = str(index_row["event"])
    rows = _query(event_id)
    for row in rows:
        if row.get("blob"):
            storage.delete_blob(row["blob"])
    for start in range(0, len(rows), TRANSACTION_ROWS):
        _write([("delete", row) for row in rows[start : start + TRANSACTION_ROWS]])
    close(event_id)
    storage.table(RECENT).delete_entity(index_row["PartitionKey"], index_row["RowKey"])


def marker(step: Step) -> str:
    """Return what identifies the step at its target, 32 hex: nobody without access to the ledger can foretell it."""
    return hmac.digest(_marker_key(), step.key.encode(), "sha256").hex()[:32]


@cache
def _marker_key() -> bytes:
    from azure.core.exceptions import ResourceExistsError

    key = {"PartitionKey": "relay", "RowKey": "marker-key"}
    with suppress(ResourceExistsError):  # another process may be first: then its key is the app's key
        _created(RELAY, lambda: storage.table(RELAY).create_entity({**key, "value": secrets.token_hex(32)}))
    row = storage.table(RELAY).get_entity(key["PartitionKey"], key["RowKey"])
    return bytes.fromhex(row["value"])


def _created(table: str, write: Callable[[], Answer]) -> Answer:
    """Do the write, after creating the table if it turns out to be missing."""
    from azure.core.exceptions import ResourceNotFoundError
    from azure.data.tables import TableTransactionError

    try:
        return write()
    except (ResourceNotFoundError, TableTransactionError) as error:
        if error.status_code != 404:
            raise
        storage.create_table(table)
        return write()


def _write(operations: list[Any]) -> list[Any]:
    return list(_created(STEPS, lambda: storage.table(STEPS).submit_transaction(operations)))


def _query(event_id: str) -> list[Any]:
    return list(_rows(STEPS, "PartitionKey eq @id", {"id": event_id}))


def _rows(table: str, condition: str, values: dict[str, str]) -> Iterator[Any]:
    """Yield the rows that meet the condition; none if the table has not been made yet."""
    from azure.core.exceptions import ResourceNotFoundError

    try:
        yield from storage.table(table).query_entities(condition, parameters=values)
    except ResourceNotFoundError:
        return


def _complete(event_id: str, rows: list[dict[str, Any]]) -> None:
    """Write what is missing of an event whose rows did not fit one transaction when its first writer stopped."""
    there = {row["RowKey"] for row in _query(event_id)}
    if "event" in there:
        return
    from azure.core.exceptions import ResourceExistsError

    for row in rows:
        if row["RowKey"] not in there:
            try:
                storage.table(STEPS).create_entity(row)
            except ResourceExistsError:
                continue  # another worker completes it at the same time


def _is_conflict(error: Any) -> bool:
    return error.status_code in (409, 412) or error.error_code in (
        "EntityAlreadyExists",
        "UpdateConditionNotSatisfied",
    )


def _open_key(event_id: str) -> tuple[str, str]:
    return event_id[:1], event_id


def reopen(event_id: str, now: datetime) -> None:
    """Put the event on the sweeper's list: before any of its steps gets ready."""
    partition, row = _open_key(event_id)
    entity = {"PartitionKey": partition, "RowKey": row, "since": now}
    _created(OPEN, lambda: storage.table(OPEN).upsert_entity(entity))


def _note_recent(event: Event) -> None:
    """Note an event by the time it happened, not by that of its delivery: told twice, it is noted once."""
    happened = datetime.fromtimestamp(event.timestamp / 1000, UTC)
    row = {
        "PartitionKey": happened.date().isoformat(),
        "RowKey": f"{LAST_MOMENT - event.timestamp:016d}-{event.id}",
        "event": event.id,
        "happened": happened,
        "type": event.type,
        "model": event.model[:MAX_COLUMN],
    }
    _created(RECENT, lambda: storage.table(RECENT).upsert_entity(row))


def _event_row(event: Event, blob: str) -> dict[str, Any]:
    return {
        "PartitionKey": event.id,
        "RowKey": "event",
        "event": "" if blob else encode_event(event),
        "blob": blob,
        "source": event.source,
        "type": event.type,
        "model": event.model[:MAX_COLUMN],
        "version": event.version[:MAX_COLUMN],
        "received": datetime.fromtimestamp(event.received, UTC),
    }


def _event(row: Any) -> Event:
    return decode_event(storage.read_blob(row["blob"]) if row["blob"] else row["event"])


def _route_row(event_id: str, route: Route) -> dict[str, Any]:
    return {
        "PartitionKey": event_id,
        "RowKey": f"route:{route.name}",
        "route": msgspec.json.encode(route).decode(),
    }


def _step_row(step: Step) -> dict[str, Any]:
    row: dict[str, Any] = {"PartitionKey": step.event_id, "RowKey": f"step:{step.id}"}
    for name in step.__struct_fields__:
        value = getattr(step, name)
        if name in ("progress", "history"):
            row[name] = msgspec.json.encode(value).decode()
        elif name not in ("event_id", "etag") and value is not None:
            row[name] = value.value if isinstance(value, State) else value
    return row


def _step(row: Any) -> Step:
    values = {name: row[name] for name in Step.__struct_fields__ if name in row}
    values["progress"] = msgspec.json.decode(row["progress"])
    values["history"] = msgspec.json.decode(row["history"])
    values["event_id"], values["etag"] = row["PartitionKey"], row.metadata["etag"]
    for name in ("due", "created", "claimed", "ended"):
        if name in values:
            values[name] = values[name].isoformat()
    return msgspec.convert(values, type=Step)


def kept_poison(queue: str, since: datetime) -> Iterator[Any]:
    """Yield the rows of the queue's messages that were kept since then."""
    yield from (row for row in _rows(POISON, "PartitionKey eq @queue", {"queue": queue}) if row["at"] >= since)


def drop_poison(row: Any) -> None:
    """Remove a kept message."""
    storage.table(POISON).delete_entity(row["PartitionKey"], row["RowKey"])


def keep_poison(queue: str, key: str, message: str, reason: str, now: datetime) -> None:
    """Keep a message that no function could take, with its reason, in the table `poison`."""
    entity = {
        "PartitionKey": queue,
        "RowKey": key,
        "message": message[:MAX_TEXT_COLUMN],
        "reason": reason,
        "at": now,
    }
    _created(POISON, lambda: storage.table(POISON).upsert_entity(entity))
