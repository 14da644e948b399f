"""What no webhook reported: found to be so, then told or enqueued."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import NamedTuple

from handlers.receive import MAX_MESSAGE_BYTES
from handlers.reconcile_same import stored
from handlers.registry_facts import Pending, event_of
from handlers.turn import Clock
from shared import acts, ledger, recent, storage
from shared.errors import RelayError, UnknownStep
from shared.ledger_rows import MAX_COLUMN
from shared.messages import EVENTS_QUEUE, Event, EventMessage, encode
from shared.routes import Routes, Source
from shared.telemetry import tell, traceparent

log = logging.getLogger("relay.reconcile")


class Watched(NamedTuple):
    """A source whose registry is looked at; `partition` is where what was seen of it stands."""

    name: str
    source: Source
    routes: Routes
    partition: str


def tell_or_enqueue(watched: Watched, model: str, pending: Pending, clock: Clock) -> None:
    """Tell of a fact, or enqueue its event, unless a webhook has told of it or no route waits for it.

    Asked again, after a crash, the event is the same. Raises storage errors.
    """
    source, now = watched.source, clock()
    event = event_of(watched.name, source.kind, model, pending, now)
    if not watched.routes.matching(event) or acts.was_told(source.address, event, pending.since):
        return
    if _is_recorded(event, pending.since, now):
        return
    if source.reconcile == "alert":
        _tell(event, "unreported", logging.ERROR)
    elif acts.reserve(source.address, event, pending.since, pending.seen, now):
        _enqueue(event)
        _tell(event, "enqueued", logging.WARNING)


def failed(source: str, error: Exception | str, model: str = "") -> None:
    """Tell that a registry, or a model in it, could not be looked at."""
    said = str(error) if isinstance(error, RelayError | str) else type(error).__name__
    if not isinstance(error, RelayError | str):
        log.error("the registry of %s can't be looked at", source, exc_info=error)
    line = f"the registry of {source or 'every source'} can't be looked at{f' for {model}' if model else ''}: {said}"
    tell("reconcile", line, level=logging.ERROR, source=source, model=model, outcome="failed", reason=said)


def _tell(event: Event, outcome: str, level: int) -> None:
    stage_or_alias = event.to_stage or event.alias
    what = f"{event.type}{f' to {stage_or_alias}' if stage_or_alias else ''}"
    reason = f"no webhook reported {what} of {event.model} {event.version}, found in the registry of {event.source}"
    tell(
        "reconcile",
        f"{reason}: {outcome}",
        level=level,
        event=event.id if outcome == "enqueued" else "",
        event_type=event.type,
        model=event.model,
        version=event.version,
        source=event.source,
        outcome=outcome,
        reason=reason,
    )


def _is_recorded(event: Event, since: datetime, now: datetime) -> bool:
    """Tell whether the ledger knows an event of this act all the same: one that was routed while the source was not
    reconciled yet, or by a worker that had not read so."""
    for noted in recent.newest(since - acts.SKEW, now + acts.SKEW):
        if noted.model == event.model[:MAX_COLUMN] and _tells_of(noted.event_id, event):
            return True
    return False


def _tells_of(event_id: str, event: Event) -> bool:
    try:
        known = ledger.read(event_id).event
    except UnknownStep:
        return False  # its rows are not written yet, or just forgotten
    fields = ("source", "type", "model", "version", "to_stage", "alias")
    return all(getattr(known, field) == getattr(event, field) for field in fields)


def _enqueue(event: Event) -> None:
    message = encode(EventMessage(event=event, trace=traceparent()))
    if len(message.encode()) > MAX_MESSAGE_BYTES:
        message = encode(EventMessage(blob=stored(event), trace=traceparent()))
    storage.send(EVENTS_QUEUE, message)
