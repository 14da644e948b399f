"""The ledger: what happened to every event, in Table storage.

Table `steps`, one partition per event: a row `event` with the routes it started (as they were then, so that a change
of the file leaves events under way alone), and a row `step:ID` for each step whose turn has come. Two exceptions: a
route's first step has no row before somebody claims it or, claimed with its event (the row `event` tells that), before
something has come of it. And routes that fill more than a property have a row `route:NAME` each, and their first steps
one from the start.
Table `open`: the events that have not ended, for the sweeper; written before the first and removed after the last
row of the event's end. Table `recent`: all events, newest first, a partition a day; `shared/recent.py` walks it. Every
change of a step is an Insert, or a Replace with If-Match: whoever read an older row, or none, gets ClaimLost.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import msgspec

from shared import failures, ledger_writes, storage
from shared.errors import ClaimLost, UnknownStep
from shared.ledger_rows import (
    MAX_COLUMN,
    claim_columns,
    event_of,
    event_row,
    folded_routes,
    is_implied,
    route_row,
    routes_of,
    step_row,
    steps_of,
)
from shared.ledger_writes import STEPS
from shared.messages import Event
from shared.routes import Route
from shared.shapes import decoded
from shared.steps import ENDED, State, Step, held, moved, new_step, status_step

OPEN, RECENT = "open", "recent"
AGAIN = " "  # in the key of a row of the list: after the id of an event that was put there once more
LAST_MOMENT = 10**15  # milliseconds, beyond any date: counted down from it, the newest comes first


class Cause(msgspec.Struct, frozen=True):
    """The step of another event that caused this one; `chain` are the routes that led here, the oldest first."""

    event_id: str
    step: str
    chain: tuple[str, ...]


class Story(msgspec.Struct, frozen=True):
    """All that the ledger knows of one event. `skipped` are routes that match but were not started, with the reason;
    `trace` is the W3C traceparent under which it was routed, for what its steps tell."""

    event: Event
    routes: dict[str, Route]
    steps: dict[str, Step]
    cause: Cause | None = None
    skipped: dict[str, str] = {}
    trace: str = ""

    @property
    def chain(self) -> tuple[str, ...]:
        """The routes that led to this event."""
        return self.cause.chain if self.cause else ()

    @property
    def has_ended(self) -> bool:
        """Whether every step that came to its turn has ended: the next one's row comes with its predecessor's end."""
        return all(step.state in ENDED for step in self.steps.values())


class Decision(msgspec.Struct, frozen=True):
    """What an event starts: the `routes` that do, those of them whose first step is `parked` at once and why, and the
    routes that are `skipped` although they match, and why; `cause` if a step of ours caused the event."""

    routes: tuple[Route, ...]
    parked: dict[str, str] = {}
    skipped: dict[str, str] = {}
    cause: Cause | None = None


def announce(event: Event, now: datetime, *, opens: bool) -> None:
    """Put an event on the index of all events and, if it may start routes, on the sweeper's list: before `record`.

    Whatever `record` then leaves undone, its message brings again, and the list leads the sweeper to it.
    """
    _note_recent(event)
    if opens:
        _open(event.id, now)


def foresee(event: Event, decision: Decision, now: datetime, trace: str = "") -> Story:
    """Return the story of an event as `record` will write it, if it is new."""
    steps = {step.id: step for step in _first_steps(event.id, decision, now)}
    return Story(event, {each.name: each for each in decision.routes}, steps, decision.cause, decision.skipped, trace)


def record(story: Story, blob: str, now: datetime, claimed: Step | None = None) -> tuple[Story, bool]:
    """Write an event with the first step of each of its routes, unless it is known: `foresee` made the `story`.

    It has been announced before. `claimed` is one of the steps as it is once it is claimed by this write. Returns the
    story as it stands now, and whether it is new.
    """
    event, routes = story.event, list(story.routes.values())
    folded = folded_routes(routes)
    steps = {**story.steps, **({claimed.id: claimed} if claimed else {})}
    written = [step for step in steps.values() if not folded or not is_implied(step)]
    rows = [*map(step_row, written), *(route_row(event.id, route) for route in routes if not folded)]
    told = {"trace": story.trace, "routes": folded, "routed": now, **(claim_columns(claimed) if claimed else {})}
    # last: where it stands, all stands
    rows.append({**event_row(event, blob, story.cause, story.skipped), **told})
    etags = ledger_writes.insert(rows)
    if not etags:
        _complete(event.id, rows)
        known = read(event.id)
        if known.event.timestamp != event.timestamp:  # a sender without a time of its own repeats itself
            storage.table(RECENT).delete_entity(*_recent_key(event))
        return known, False
    for step in steps.values():
        failures.note(step, now)  # one that is parked from the start
    as_written = {**steps, **{step.id: step for step in _written(written, etags)}}
    return msgspec.structs.replace(story, steps=as_written), True


def _written(steps: Sequence[Step], etags: list[str]) -> list[Step]:
    return [msgspec.structs.replace(step, etag=etag) for step, etag in zip(steps, etags, strict=False)]


def extend(story: Story, decision: Decision, now: datetime) -> list[Step]:
    """Start further routes for an event that is known; return their first steps that are ready.

    Raises ClaimLost if another worker has just done the same.
    """
    steps = _first_steps(story.event.id, decision, now)
    rows = [*map(step_row, steps), *(route_row(story.event.id, route) for route in decision.routes)]
    reopen(story.event.id, now)
    if not ledger_writes.insert(rows):
        raise ClaimLost(f"event {story.event.id} was routed by another worker")
    return [step for step in steps if step.state is State.READY]


def _first_steps(event_id: str, decision: Decision, now: datetime) -> list[Step]:
    steps = []
    for route in decision.routes:
        step = new_step(event_id, route, route.steps[0], now)
        if reason := decision.parked.get(route.name, ""):
            step = held(step, now, reason)
        steps.append(step)
        if route.write_status:
            steps.append(status_step(route, step, now, ended=False))
    return steps


def read(event_id: str) -> Story:
    """Return the event's story. Raises UnknownStep if there is none, or if it is just being forgotten."""
    from azure.core.exceptions import ResourceNotFoundError

    rows = _rows(event_id)
    unknown = UnknownStep(f"the ledger holds no event {event_id!r}")
    if "event" not in rows:
        raise unknown
    try:
        event = event_of(rows["event"])
    except ResourceNotFoundError:  # its blob goes before its rows
        raise unknown from None
    return Story(
        event=event,
        routes={route.name: route for route in routes_of(rows)},
        steps=steps_of(rows),
        cause=decoded(rows["event"]["cause"], Cause) if rows["event"].get("cause") else None,
        skipped=decoded(rows["event"].get("skipped") or b"{}", dict[str, str]),
        trace=rows["event"].get("trace") or "",
    )


def change(step: Step, state: State, now: datetime, *, then: Sequence[Step] = (), **changes: Any) -> list[Step]:
    """Move a step along an arrow, and insert with it, in one transaction, the steps `then` whose turn it makes.

    Returns the step, and after it the others, as they stand now. Raises ClaimLost if the row is not as it was read.
    """
    after = moved(step, now, state, **changes)
    etags = ledger_writes.write(step_row(after), step.etag, [step_row(new) for new in then])
    if state is not step.state:
        failures.note(after, now)
    return _written([after, *then], etags)


def close(story: Story) -> None:
    """Take an event, all of whose steps have ended, from the sweeper's list.

    Whoever calls this may have stood still since it saw the end, and an operator may have replayed a step meanwhile:
    that is another row of the list, which stays.
    """
    if any(step.reopened for step in story.steps.values()):
        close_all(story.event.id)
        return
    _delete_open(_open_key(story.event.id))


def close_all(event_id: str) -> None:
    """Take the event from the sweeper's list, however often it was put there, if it has ended."""
    partition, first = _open_key(event_id)
    span = {"partition": partition, "first": first, "last": f"{first}~"}
    found = list(storage.rows(OPEN, "PartitionKey eq @partition and RowKey ge @first and RowKey lt @last", span))
    if found and _has_ended(event_id):
        for row in found:
            _delete_open((row["PartitionKey"], row["RowKey"]), row.metadata["etag"])


def _delete_open(key: tuple[str, str], etag: str = "") -> None:
    """Delete a row of the list; with its etag, only if nobody has just put it there anew."""
    from azure.core import MatchConditions
    from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError

    unchanged: dict[str, Any] = {"etag": etag, "match_condition": MatchConditions.IfNotModified} if etag else {}
    with suppress(ResourceNotFoundError, ResourceModifiedError):
        storage.table(OPEN).delete_entity(*key, **unchanged)


def _has_ended(event_id: str) -> bool:
    """The rows tell: a large event is not fetched from its blob for this."""
    return all(step.state in ENDED for step in steps_of(_rows(event_id)).values())


def open_events() -> Iterator[str]:
    """Yield the ids of the events that have not ended, each once."""
    yield from _listed("PartitionKey ge @first", {"first": ""})


def open_before(moment: datetime) -> Iterator[str]:
    """Yield the ids of the events that have not ended since they were begun, or replayed, before that moment."""
    yield from _listed("since lt @before", {"before": moment})


def _listed(condition: str, values: dict[str, Any]) -> Iterator[str]:
    ids = (str(row["RowKey"]).partition(AGAIN)[0] for row in storage.rows(OPEN, condition, values))
    yield from (event_id for event_id, _ in itertools.groupby(ids))  # the rows of one event are neighbours


def older_than(before: datetime, limit: int) -> Iterator[dict[str, Any]]:
    """Yield the index rows of the events that happened before the day of that moment, for `forget`."""
    found = storage.rows(RECENT, "PartitionKey lt @day", {"day": before.date().isoformat()})
    yield from itertools.islice(found, limit)


def forget(index_row: dict[str, Any]) -> None:
    """Remove an event with all that belongs to it; its index row last, so that a broken-off run is taken up again."""
    event_id = str(index_row["event"])
    rows = list(_rows(event_id).values())
    for row in rows:
        if row.get("blob"):
            storage.delete_blob(row["blob"])
    ledger_writes.delete(rows)
    close_all(event_id)
    storage.table(RECENT).delete_entity(index_row["PartitionKey"], index_row["RowKey"])


def _rows(event_id: str) -> dict[str, Any]:
    return {row["RowKey"]: row for row in storage.rows(STEPS, "PartitionKey eq @id", {"id": event_id})}


def _complete(event_id: str, rows: list[dict[str, Any]]) -> None:
    """Write what is missing of an event whose rows did not fit one transaction when its first writer stopped."""
    there = set(_rows(event_id))
    if "event" not in there:
        ledger_writes.complete(rows, there)


def _open_key(event_id: str, again: str = "") -> tuple[str, str]:
    return event_id[:1], event_id + again


def reopen(event_id: str, now: datetime) -> None:
    """Put an event that is known on the sweeper's list once more: before any of its steps gets ready."""
    _open(event_id, now, f"{AGAIN}{now.timestamp():.6f}")


def _open(event_id: str, now: datetime, again: str = "") -> None:
    partition, row_key = _open_key(event_id, again)
    storage.put_row(OPEN, {"PartitionKey": partition, "RowKey": row_key, "since": now})


def _note_recent(event: Event) -> None:
    """Note an event by the time it happened, not by that of its delivery: told twice, it is noted once."""
    partition, row_key = _recent_key(event)
    row = {
        "PartitionKey": partition,
        "RowKey": row_key,
        "event": event.id,
        "happened": event.happened,
        "type": event.type,
        "model": event.model[:MAX_COLUMN],
    }
    storage.put_row(RECENT, row)


def _recent_key(event: Event) -> tuple[str, str]:
    return event.happened.date().isoformat(), f"{LAST_MOMENT - event.timestamp:016d}-{event.id}"
