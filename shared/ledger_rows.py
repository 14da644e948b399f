"""How what the ledger knows stands in rows of table `steps`. Azure Table storage keeps 64 KB in one property."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from shared import storage
from shared.messages import Event, decode_event, encode_event
from shared.routes import Route
from shared.shapes import converted, decoded
from shared.steps import State, Step, moved, new_step

MAX_COLUMN = 1000  # columns for a person's eyes and for filters; the whole text stands in `event`
MAX_FOLDED = 30_000  # characters of routes in the row `event`: a property holds 32 Ki
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


def folded_routes(routes: Sequence[Route]) -> str:
    """Return the routes as they stand in the row `event`, empty if there are none, or more than a property holds."""
    text = msgspec.json.encode(routes).decode() if routes else ""
    return text if len(text) <= MAX_FOLDED else ""


def routes_of(rows: Mapping[str, Any]) -> list[Route]:
    """Return the routes that an event has started, from its rows by row key."""
    kept = [decoded(row["route"], Route) for key, row in rows.items() if key.startswith("route:")]
    return _folded(rows) + kept


def steps_of(rows: Mapping[str, Any]) -> dict[str, Step]:
    """Return the steps of an event by id, from its rows by row key; those that nobody has claimed yet have no etag."""
    implied = [_first_step(rows["event"], route) for route in _folded(rows)]
    written = [step_of(row) for key, row in rows.items() if key.startswith("step:")]
    return {step.id: step for step in (*implied, *written)}


def is_implied(step: Step) -> bool:
    """Tell whether the row `event` tells all of a first step: it is neither parked nor tells of another one."""
    return step.state in (State.READY, State.RUNNING) and not step.tells_of


def claim_columns(claimed: Step) -> dict[str, Any]:
    """Return what the row `event` tells of its one first step if that is claimed: since when, and until when."""
    return {"claimed": claimed.claimed, "leased": claimed.due}


def _first_step(row: Any, route: Route) -> Step:
    step = new_step(row["PartitionKey"], route, route.steps[0], _moment(row["routed"]))
    if "claimed" not in row:
        return step
    since, until = _moment(row["claimed"]), _moment(row["leased"])
    return moved(step, since, State.RUNNING, fence=1, attempts=1, claimed=since, due=until)


def _moment(value: datetime) -> datetime:
    return datetime.fromisoformat(value.isoformat())  # the SDK's kind of datetime is none that msgspec knows


def _folded(rows: Mapping[str, Any]) -> list[Route]:
    folded = rows["event"].get("routes") if "event" in rows else ""
    return decoded(folded, list[Route]) if folded else []


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
