"""Open-source MLflow 3 webhooks.

Signature: `X-MLflow-Signature: v1,<base64>`, HMAC-SHA256 over `{delivery id}.{timestamp}.` and the raw body, with the
delivery id and the unix time from their headers; a retry repeats all three. Contract: mlflow/webhooks/delivery.py and
types.py of MLflow 3.17, and recorded deliveries (tests/deliveries).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from shared.deliveries import Delivery, SourceKind, required, shaped
from shared.errors import InvalidEvent
from shared.messages import Event, identify
from shared.routes import EVENT_TYPES
from shared.signatures import is_signed
from shared.strict_json import parse

SIGNATURE, TIMESTAMP, DELIVERY = "x-mlflow-signature", "x-mlflow-timestamp", "x-mlflow-delivery-id"
_DIGITS = re.compile(r"[0-9]{1,12}")
_DELIVERY_ID = re.compile(r"[0-9A-Za-z-]{1,64}")
_WORD = re.compile(r"[a-z][a-z0-9_]{0,63}")
_VERSIONED = ("model_version", "prompt_version")

_TAG = {"key": "example_key", "value": "example_value"}
_DESCRIBED = {"tags": {"example_key": "example_value"}}
# MLflow's test call bears no mark: it is known by its example data, whole (mlflow/webhooks/types.py)
_EXAMPLES: tuple[dict[str, Any], ...] = (
    {"name": "example_model", "description": "An example registered model", **_DESCRIBED},
    {
        "name": "example_model",
        "version": "1",
        "source": "models:/123",
        "run_id": "abcd1234abcd5678",
        "description": "An example model version",
        **_DESCRIBED,
    },
    {"name": "example_prompt", "description": "An example prompt", **_DESCRIBED},
    {
        "name": "example_prompt",
        "version": "1",
        "template": "Hello {{name}}!",
        "description": "An example prompt version",
        **_DESCRIBED,
    },
    {"name": "example_prompt", **_TAG},
    {"name": "example_prompt", "key": "example_key"},
    {
        "budget_policy_id": "bp-abc123",
        "budget_unit": "USD",
        "budget_amount": 100.0,
        "current_spend": 105.50,
        "duration_unit": "MONTHS",
        "duration_value": 1,
        "target_scope": "ENDPOINT",
        "workspace": "default",
        "target_value": "ep-abc123",
        "window_start": 1704067200000,
    },
    *({"name": name, "version": "1", **_TAG} for name in ("example_model", "example_prompt")),
    *({"name": name, "version": "1", "key": "example_key"} for name in ("example_model", "example_prompt")),
    *({"name": name, "alias": "example_alias", "version": "1"} for name in ("example_model", "example_prompt")),
    *({"name": name, "alias": "example_alias"} for name in ("example_model", "example_prompt")),
)


class _Body(msgspec.Struct, frozen=True):
    entity: str
    action: str
    timestamp: str
    data: dict[str, Any]
    workspace: str | None = None


class _Data(msgspec.Struct, frozen=True):
    """The fields that some event type has; those of one type are checked by `_check`."""

    name: str | None = None
    version: str | None = None
    alias: str | None = None
    key: str | None = None
    value: str | None = None
    tags: dict[str, str] | None = None
    description: str | None = None


def _is_signed(headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes]) -> bool:
    delivery, timestamp = headers.get(DELIVERY, ""), headers.get(TIMESTAMP, "")
    version, _, text = headers.get(SIGNATURE, "").partition(",")
    if version != "v1" or not _DELIVERY_ID.fullmatch(delivery) or not _DIGITS.fullmatch(timestamp):
        return False
    try:
        signature = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return is_signed(f"{delivery}.{timestamp}.".encode() + body, signature, secrets)


def _read(source: str, headers: Mapping[str, str], body: bytes, now: float) -> Delivery:
    found = shaped(parse(body), _Body)
    if not _WORD.fullmatch(found.entity) or not _WORD.fullmatch(found.action):
        raise InvalidEvent("`entity` and `action` have to be lower-case words")
    type = f"{found.entity}.{found.action}"
    data = shaped(found.data, _Data)
    if type in EVENT_TYPES:
        _check(type, data)
    test = found.data in _EXAMPLES
    event = _event(source, type, found, data, headers[DELIVERY], body, now)
    return Delivery(event=event, sent=float(headers[TIMESTAMP]), test=test)


def _event(source: str, type: str, body: _Body, data: _Data, delivery: str, raw: bytes, now: float) -> Event:
    tags = dict(data.tags or {})
    if data.key is not None:
        tags[data.key] = data.value or ""
    meaning = {"model": data.name or "", "version": data.version or "", "alias": data.alias or ""}
    return Event(
        id=identify(source, type, timestamp=body.timestamp, detail=[body.data, body.workspace], **meaning),
        source=source,
        type=type,
        delivery=delivery,
        timestamp=_milliseconds(body.timestamp),
        received=now,
        tags=tags,
        text=data.description or "",
        payload=raw.decode(),
        **meaning,
    )


def _milliseconds(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidEvent("`timestamp` is no ISO 8601 time with its offset from UTC")
    return int(moment.timestamp() * 1000)


def _check(type: str, data: _Data) -> None:
    entity, _ = type.split(".")
    if entity.startswith(("registered_model", "model_version", "prompt")):
        required(data.name, "data.name", type)
    if entity in _VERSIONED or type in ("model_version_tag.set", "model_version_alias.created"):
        required(data.version, "data.version", type)
    if entity.endswith("_alias"):
        required(data.alias, "data.alias", type)
    if entity.endswith("_tag"):
        required(data.key, "data.key", type)


KIND = SourceKind(max_age=300, is_signed=_is_signed, read=_read)
