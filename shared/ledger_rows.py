"""How what the ledger knows stands in rows of table `steps`. Azure Table storage keeps 64 KB in one property."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from shared import storage
from shared.messages import Event, decode_event, encode_event
from shared.routes import Route
from shared.shapes import converted
from shared.steps import State, Step

MAX_COLUMN = 1000  # columns for a person's eyes and for filters; the whole text stands in `event`
MAX_SKIPPED = 100  # routes that are told of as skipped: what a property holds


def event_row(event: Event, blob: str, cause: msgspec.Struct | None, skipped: Mapping[str, str]) -> dict[str, Any]:
    """Return the row `event`; `blob` is where the event lies that is too large for a row, else empty."""
    told = {}
    if cause:
        told["cause"] = msgspec.json.encode(cause).decode()
    if skipped:
        told["skipped"] = msgspec.json.encode(dict(itertools.islice(skipped.items(), MAX_SKIPPED))).decode()
    return {
        **told,
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


def event_of(row: Any) -> Event:
    """Return the event of a row `event`, from its blob if it has one."""
    return decode_event(storage.read_blob(row["blob"]) if row["blob"] else row["event"])


def route_row(event_id: str, route: Route) -> dict[str, Any]:
    """Return the row that keeps a route as it was when the event came."""
    return {
        "PartitionKey": event_id,
        "RowKey": f"route:{route.name}",
        "route": msgspec.json.encode(route).decode(),
    }


def step_row(step: Step) -> dict[str, Any]:
    """Return a step's row."""
    row: dict[str, Any] = {"PartitionKey": step.event_id, "RowKey": f"step:{step.id}"}
    for name in step.__struct_fields__:
        value = getattr(step, name)
        if name in ("progress", "history"):
            row[name] = msgspec.json.encode(value).decode()
        elif name not in ("event_id", "etag") and value is not None:
            row[name] = value.value if isinstance(value, State) else value
    return row


def step_of(row: Any) -> Step:
    """Return the step of a row, with the etag under which it was read."""
    values = {name: row[name] for name in Step.__struct_fields__ if name in row}
    values["progress"] = msgspec.json.decode(row["progress"])
    values["history"] = msgspec.json.decode(row["history"])
    values["event_id"], values["etag"] = row["PartitionKey"], row.metadata["etag"]
    for name in ("due", "created", "claimed", "ended"):
        if name in values:
            values[name] = values[name].isoformat()
    return converted(values, Step)
