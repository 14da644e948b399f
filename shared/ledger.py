"""The ledger: what happened to every event, in Table storage.

Table `steps`, one partition per event: a row `event` with the routes it started (as they were then, so that a change
of the file leaves events under way alone), and a row `step:ID` for each step whose turn has come. Two exceptions: a
route's first step has no row before somebody claims it or, claimed with its event (the row `event` tells that), before
something has come of it. And routes that fill more than a property have a row `route:NAME` each, and their first steps
one from the start.
Every change of a step is an Insert, or a Replace with If-Match: whoever read an older row, or none, gets ClaimLost.
Two more tables lead to the events: `open` (shared/open_events.py) to those that have not ended, `recent`
(shared/recent.py) to all, newest first.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from shared import failures, ledger_writes, open_events, recent, storage
from shared.errors import ClaimLost, UnknownStep
from shared.ledger_rows import (
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
from shared.shapes import decoded
from shared.steps import ENDED, State, Step, held, moved, new_step, status_step
from shared.stories import Cause, Decision, Story


def announce(event: Event, now: datetime, *, opens: bool) -> None:
    """Put an event on the index of all events and, if it may start routes, on the sweeper's list: before `record`.

    Whatever `record` then leaves undone, its message brings again, and the list leads the sweeper to it.
    """
    recent.note(event)
    if opens:
        open_events.add(event.id, now)


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
            recent.remove(*recent.key_of(event))
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
    open_events.add_again(story.event.id, now)
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
    else:
        open_events.remove(story.event.id)


def close_all(event_id: str) -> None:
    """Take the event from the sweeper's list, however often it was put there, if it has ended."""
    found = open_events.entries(event_id)
    if found and _has_ended(event_id):
        for entry in found:
            open_events.remove_entry(entry)


def _has_ended(event_id: str) -> bool:
    """The rows tell: a large event is not fetched from its blob for this."""
    return all(step.state in ENDED for step in steps_of(_rows(event_id)).values())


def forget(index_row: dict[str, Any]) -> None:
    """Remove an event with all that belongs to it; its index row last, so that a broken-off run is taken up again."""
    event_id = str(index_row["event"])
    rows = list(_rows(event_id).values())
    for row in rows:
        if row.get("blob"):
            storage.delete_blob(row["blob"])
    ledger_writes.delete(rows)
    close_all(event_id)
    recent.remove(index_row["PartitionKey"], index_row["RowKey"])


def _rows(event_id: str) -> dict[str, Any]:
    return {row["RowKey"]: row for row in storage.rows(STEPS, "PartitionKey eq @id", {"id": event_id})}


def _complete(event_id: str, rows: list[dict[str, Any]]) -> None:
    """Write what is missing of an event whose rows did not fit one transaction when its first writer stopped."""
    there = set(_rows(event_id))
    if "event" not in there:
        ledger_writes.complete(rows, there)
