"""The words that travel: an event, and the two kinds of queue message."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import msgspec

from shared.shapes import decoded

EVENTS_QUEUE = "events"
STEPS_QUEUE = "steps"


EVENT_FIELDS = (
    "id",
    "source",
    "type",
    "model",
    "version",
    "from_stage",
    "to_stage",
    "alias",
    "comment",
    "text",
    "delivery",
    "timestamp",
)
"""The fields of an event that a placeholder may name; its tags besides, as `tags.NAME`."""


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What happened in a registry, whoever said it.

    `type` is dotted (`model_version.stage_changed`); `timestamp` is the sender's own time of the act, in
    milliseconds since 1970; `payload` is the delivery's body as it was received, `delivery` its id;
    `received` is when, in seconds since 1970. Fields that the type does not have are empty.
    """

    id: str
    source: str
    type: str
    delivery: str
    timestamp: int
    received: float
    model: str = ""
    version: str = ""
    from_stage: str = ""
    to_stage: str = ""
    alias: str = ""
    tags: dict[str, str] = {}
    comment: str = ""
    text: str = ""
    payload: str = ""

    @property
    def happened(self) -> datetime:
        """When it happened; never before 1970: tables hold no time before 1601, and their SDK reads none before the
        year 1000."""
        return datetime.fromtimestamp(max(self.timestamp, 0) / 1000, UTC)


PREFIX = "relay "
"""What every queue message begins with. The Functions host parses an output that looks like JSON and prints it anew:
indented, and with every text that looks like a date rewritten. What does not look like JSON it leaves alone."""


class EventMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What lies in the queue `events`: the event itself or, if it is too large, the blob that holds it; and the W3C
    traceparent of its delivery."""

    event: Event | None = None
    blob: str = ""
    trace: str = ""


class StepMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What lies in the queue `steps`: a pointer. The ledger's row is the truth."""

    event_key: str
    step: str


def identify(
    source: str,
    type: str,
    *,
    timestamp: int | str,
    model: str = "",
    version: str = "",
    from_stage: str = "",
    to_stage: str = "",
    alias: str = "",
    detail: object = None,
) -> str:
    """Return the event id, 64 hex: the same for every delivery that tells of the same act.

    `detail` is whatever else sets two acts apart (tags, comment). The webhook's id is left out on purpose:
    two webhooks that tell of one act tell of one event.
    """
    meaning = [source, type, model, version, from_stage, to_stage, alias, timestamp, detail]
    return hashlib.sha256(msgspec.json.encode(meaning, order="sorted")).hexdigest()


def encode_event(event: Event) -> str:
    """Return the event as the JSON text that ledger and blobs keep."""
    return msgspec.json.encode(event).decode()


def decode_event(text: bytes | str) -> Event:
    """Return the event of a JSON text. Raises msgspec.DecodeError for anything else."""
    return decoded(text, Event)


def encode(message: EventMessage | StepMessage) -> str:
    """Return the message as the text that lies in its queue."""
    return PREFIX + msgspec.json.encode(message).decode()


def decode_event_message(body: bytes) -> EventMessage:
    """Return the message of a queue text. Raises msgspec.DecodeError for anything else."""
    return decoded(_json_of(body), EventMessage)


def decode_step_message(body: bytes) -> StepMessage:
    """Return the pointer of a queue text. Raises msgspec.DecodeError for anything else."""
    return decoded(_json_of(body), StepMessage)


def _json_of(body: bytes) -> bytes:
    if not body.startswith(PREFIX.encode()):
        raise msgspec.DecodeError("this message was not written by the relay")
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(str(error)) from None
    return body[len(PREFIX) :]
