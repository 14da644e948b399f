"""The event that a plan is made for: of a file, or of words on the command line."""

from __future__ import annotations

import base64
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cli.output import refused

if TYPE_CHECKING:
    from shared.messages import Event
    from shared.routes import Routes

MAX_BYTES = 4 * 1024 * 1024
BEARS = {"databricks": "event", "mlflow": "entity", "databricks_jobs": "event_type"}
"""The key by which the body of each kind of source is known."""


def event_of_file(name: str, source: str, routes: Routes) -> tuple[Event, bool]:
    """Return the event of a file, and whether it is a registry's test call.

    The file holds a delivery's body; a recorded delivery (`body_b64`, `headers`); an event as JSON; or a story as
    `events show --json` prints it. Raises BadParameter for a source that is unknown or not clear; what is no event
    ends the command with exit status 1.
    """
    raw, headers = _read(name), dict[str, str]()
    found = _object(name, raw)
    if isinstance(found.get("body_b64"), str):
        raw, headers = _recorded(name, found)
        found = _object(name, raw)
    event = found.get("details", found)
    if isinstance(event, dict) and {"id", "type", "timestamp"} <= event.keys():
        return _whole(name, {**event, **({"source": source} if source else {})}, routes), False
    return _delivered(name, raw, headers, _source(source, routes, _kind(name, found)), routes)


def event_of_words(type: str, source: str, routes: Routes, *, tags: list[str], comment: str, **fields: str) -> Event:
    """Return the event that words of the command line tell of. Raises BadParameter for what makes none."""
    from difflib import get_close_matches

    from shared.messages import Event, identify
    from shared.routes import EVENT_TYPES

    if type not in EVENT_TYPES:
        near = get_close_matches(type, EVENT_TYPES, n=1)
        raise typer.BadParameter(f"--type {type!r} is no event type: " + (near[0] if near else ", ".join(EVENT_TYPES)))
    wanted, now = _tags(tags), time.time()
    of = _source(source, routes, "")
    timestamp = int(now * 1000)
    return Event(
        id=identify(of, type, timestamp=timestamp, detail=[wanted, comment], **fields),
        source=of,
        type=type,
        delivery="plan",
        timestamp=timestamp,
        received=now,
        tags=wanted,
        comment=comment,
        **fields,
    )


def _tags(given: list[str]) -> dict[str, str]:
    pairs = [each.partition("=") for each in given]
    if any(not key or not equals for key, equals, _ in pairs):
        raise typer.BadParameter("--tag has to be KEY=VALUE")
    return {key: value for key, _, value in pairs}


def _read(name: str) -> bytes:
    try:
        raw = sys.stdin.buffer.read(MAX_BYTES + 1) if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise refused(f"{name} can't be read: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise refused(f"{name} is larger than any delivery")
    return raw


def _object(name: str, raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        raise refused(f"{name} is not JSON") from None
    if not isinstance(found, dict):
        raise refused(f"{name} is no JSON object")
    return found


def _recorded(name: str, found: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    given = found.get("headers", {})
    try:
        headers = {str(key).lower(): str(value) for key, value in given.items()}
        return base64.b64decode(found["body_b64"], validate=True), headers
    except (ValueError, AttributeError):
        raise refused(f"{name} is no recorded delivery: `body_b64` is base64, `headers` an object") from None


def _kind(name: str, found: dict[str, Any]) -> str:
    kinds = [kind for kind, key in BEARS.items() if isinstance(found.get(key), str)]
    if not kinds:
        raise refused(
            f"{name} is no delivery: it has none of the keys {', '.join(BEARS.values())}; and no event either"
        )
    return kinds[0]


def _source(given: str, routes: Routes, kind: str) -> str:
    """Return the source that is meant: the one given, or the only one (of the kind)."""
    names = [name for name, source in routes.sources.items() if source.kind == kind or not kind]
    if given:
        if given not in routes.sources:
            raise typer.BadParameter(f"--source {given!r} is none of {', '.join(routes.sources)}")
        return given
    if len(names) != 1:
        raise typer.BadParameter(f"--source is needed: one of {', '.join(names) or ', '.join(routes.sources)}")
    return names[0]


def _whole(name: str, event: dict[str, Any], routes: Routes) -> Event:
    import msgspec

    from shared.messages import Event

    event.setdefault("delivery", "plan")
    event.setdefault("received", time.time())
    if "source" not in event:
        event["source"] = _source("", routes, "")
    try:
        return msgspec.convert(event, type=Event)
    except msgspec.ValidationError as error:
        raise refused(f"{name} is no event: {error}") from None


def _delivered(name: str, raw: bytes, headers: dict[str, str], source: str, routes: Routes) -> tuple[Event, bool]:
    """Read the body as the app does once it has verified the signature, which nobody asks for here."""
    from handlers.sources import SOURCES
    from shared.errors import InvalidEvent

    now = time.time()
    headers = {"x-mlflow-delivery-id": "plan", "x-mlflow-timestamp": str(int(now)), **headers}
    try:
        delivery = SOURCES[routes.sources[source].kind].read(source, headers, raw, now)
    except (InvalidEvent, ValueError) as error:
        raise refused(f"{name} is no delivery that source {source!r} takes: {error}") from None
    return delivery.event, delivery.test
