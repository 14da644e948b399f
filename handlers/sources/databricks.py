"""Databricks workspace model registry webhooks.

Signature: `X-Databricks-Signature` = lower-case hex HMAC-SHA256 of the raw body. There is neither a delivery id nor a
timestamp header, so the delivery is identified by its bytes, and its age is that of the signed `event_timestamp`.
Contract: docs.databricks.com/aws/en/mlflow/model-registry-webhooks. Only some bodies are documented there; what is
read here beyond them (the specific `…_TO_STAGING` names, transition requests) is optional in the body.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

import msgspec

from shared.deliveries import Delivery, SourceKind, required, shaped
from shared.errors import InvalidEvent
from shared.messages import Event, identify
from shared.signatures import is_signed
from shared.strict_json import parse

SIGNATURE = "x-databricks-signature"
TEST_TEXT = "A test webhook trigger"
_HEX = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,99}")
_STAGES = {"STAGING": "Staging", "PRODUCTION": "Production", "ARCHIVED": "Archived"}

# the generic and the specific name of one act are one event type, with the stage the specific name tells
_TYPES: dict[str, tuple[str, str]] = {
    "REGISTERED_MODEL_CREATED": ("registered_model.created", ""),
    "MODEL_VERSION_CREATED": ("model_version.created", ""),
    "MODEL_VERSION_TAG_SET": ("model_version_tag.set", ""),
    "COMMENT_CREATED": ("comment.created", ""),
    "MODEL_VERSION_TRANSITIONED_STAGE": ("model_version.stage_changed", ""),
    "TRANSITION_REQUEST_CREATED": ("transition_request.created", ""),
    **{f"MODEL_VERSION_TRANSITIONED_TO_{key}": ("model_version.stage_changed", to) for key, to in _STAGES.items()},
    **{f"TRANSITION_REQUEST_TO_{key}_CREATED": ("transition_request.created", to) for key, to in _STAGES.items()},
}


class _Tag(msgspec.Struct, frozen=True):
    key: str
    value: str


class _Body(msgspec.Struct, frozen=True):
    event: str
    event_timestamp: int | None = None
    webhook_id: str | None = None
    model_name: str | None = None
    version: str | None = None
    from_stage: str | None = None
    to_stage: str | None = None
    comment: str | None = None
    text: str | None = None
    tags: list[_Tag] | None = None


def _is_signed(headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes]) -> bool:
    signature = headers.get(SIGNATURE, "")
    return bool(_HEX.fullmatch(signature)) and is_signed(body, bytes.fromhex(signature), secrets)


def _read(source: str, headers: Mapping[str, str], body: bytes, now: float) -> Delivery:
    found = shaped(parse(body), _Body)
    if found.event not in _TYPES and not _NAME.fullmatch(found.event):
        raise InvalidEvent("`event` is no event name: upper-case letters, digits and `_`")
    test = not found.model_name or (found.text or "").startswith(TEST_TEXT)
    event = _event(source, found, body, now, test)
    return Delivery(event=event, sent=None if test else event.timestamp / 1000, test=test)


def _event(source: str, body: _Body, raw: bytes, now: float, test: bool) -> Event:
    type, named_stage = _TYPES.get(body.event, (f"databricks.{body.event.lower()}", ""))
    if not test:
        _check(type, named_stage, body)
    timestamp = body.event_timestamp or 0
    tags = {tag.key: tag.value for tag in body.tags} if body.tags else {}
    model, version = body.model_name or "", body.version or ""
    from_stage, to_stage = body.from_stage or "", body.to_stage or named_stage
    return Event(
        id=identify(
            source,
            type,
            timestamp=timestamp,
            model=model,
            version=version,
            from_stage=from_stage,
            to_stage=to_stage,
            detail=_detail(body, tags, raw),
        ),
        source=source,
        type=type,
        delivery=hashlib.sha256(raw).hexdigest()[:32],
        timestamp=timestamp,
        received=now,
        model=model,
        version=version,
        from_stage=from_stage,
        to_stage=to_stage,
        tags=tags,
        comment=body.comment or "",
        text=body.text or "",
        payload=raw.decode(),
    )


def _detail(body: _Body, tags: dict[str, str], raw: bytes) -> list[object]:
    if body.event in _TYPES:
        return [tags, body.comment or ""]
    # of an unknown event nobody knows which fields carry its meaning: all but the webhook's id
    return [{key: value for key, value in parse(raw).items() if key != "webhook_id"}]


def _check(type: str, named_stage: str, body: _Body) -> None:
    if body.event_timestamp is None or not 0 < body.event_timestamp < 10**14:
        raise InvalidEvent(f"{body.event} needs `event_timestamp` in milliseconds since 1970")
    if body.event in _TYPES and type != "registered_model.created":
        required(body.version, "version", body.event)
    if type == "model_version.stage_changed":
        required(body.to_stage or named_stage, "to_stage", body.event)
    if named_stage and body.to_stage not in (None, "", named_stage):
        raise InvalidEvent(f"{body.event} contradicts its `to_stage` {body.to_stage!r}")


KIND = SourceKind(max_age=24 * 3600, is_signed=_is_signed, read=_read)
