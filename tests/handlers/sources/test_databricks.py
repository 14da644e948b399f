"""Databricks: which deliveries are genuine, and what each event says."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.sources import databricks
from shared.deliveries import Delivery
from shared.errors import InvalidEvent

SECRET = b"wine-dev-webhook-secret"
NOW = 1_600_000_000.5
TIME = 1589859029343
DOCUMENTED = json.loads((Path(__file__).parents[2] / "deliveries" / "databricks.json").read_text())
STAGE_CHANGE: dict[str, Any] = DOCUMENTED["MODEL_VERSION_TRANSITIONED_STAGE"]


def signature_of(body: bytes, secret: bytes = SECRET) -> str:
    return hmac.new(secret, body, hashlib.sha256).hexdigest()


def is_signed(signature: str | None, body: bytes = b"{}", *secrets: bytes) -> bool:
    headers = {} if signature is None else {"x-databricks-signature": signature}
    return databricks.KIND.is_signed(headers, body, secrets or [SECRET])


def read(body: Any) -> Delivery:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return databricks.KIND.read("wine-dev", {}, raw, NOW)


def refusal(body: Any) -> str:
    with pytest.raises(InvalidEvent) as error:
        read(body)
    return str(error.value)


# Signature


def test_the_hex_signature_of_the_raw_body_is_accepted() -> None:
    body = json.dumps(STAGE_CHANGE, indent=3).encode()
    assert is_signed(signature_of(body), body)
    assert not is_signed(signature_of(body), json.dumps(STAGE_CHANGE).encode())


def test_both_secrets_of_a_rotation_are_accepted_and_no_third() -> None:
    for secret in (b"the-new-secret-of-it", b"the-old-secret-of-it"):
        assert is_signed(signature_of(b"{}", secret), b"{}", b"the-new-secret-of-it", b"the-old-secret-of-it")
    assert not is_signed(signature_of(b"{}"), b"{}", b"the-new-secret-of-it", b"the-old-secret-of-it")


GOOD = signature_of(b"{}")


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        GOOD[:-1],
        GOOD + "0",
        GOOD.upper(),
        f" {GOOD}",
        f"{GOOD}\n",
        f"sha256={GOOD}",
        f"{GOOD},{GOOD}",
        f"0x{GOOD}",
        "0" * 64,
        "é" * 64,
        "\u0661" * 64,
        GOOD[:63] + "g",
        signature_of(b"{} "),
    ],
)
def test_an_odd_or_missing_signature_is_not_accepted(signature: str | None) -> None:
    assert not is_signed(signature)


@settings(deadline=None, max_examples=200)
@given(st.text())
def test_any_header_is_judged_without_an_error(signature: str) -> None:
    assert is_signed(signature) is (signature == GOOD)


# Events

BASE: dict[str, Any] = {"webhook_id": "c5596721253c4b42", "event_timestamp": TIME, "model_name": "wine", "version": "8"}
EVENTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "MODEL_VERSION_CREATED": ({}, "model_version.created", ""),
    "MODEL_VERSION_TAG_SET": ({"tags": [{"key": "a", "value": "1"}]}, "model_version_tag.set", ""),
    "COMMENT_CREATED": ({"comment": "good"}, "comment.created", ""),
    "MODEL_VERSION_TRANSITIONED_STAGE": (
        {"from_stage": "None", "to_stage": "Archived"},
        "model_version.stage_changed",
        "Archived",
    ),
    "MODEL_VERSION_TRANSITIONED_TO_STAGING": ({"from_stage": "None"}, "model_version.stage_changed", "Staging"),
    "MODEL_VERSION_TRANSITIONED_TO_PRODUCTION": (
        {"to_stage": "Production"},
        "model_version.stage_changed",
        "Production",
    ),
    "MODEL_VERSION_TRANSITIONED_TO_ARCHIVED": ({"to_stage": ""}, "model_version.stage_changed", "Archived"),
    "TRANSITION_REQUEST_CREATED": ({"to_stage": "Staging"}, "transition_request.created", "Staging"),
    "TRANSITION_REQUEST_TO_STAGING_CREATED": ({}, "transition_request.created", "Staging"),
    "TRANSITION_REQUEST_TO_PRODUCTION_CREATED": ({"to_stage": None}, "transition_request.created", "Production"),
    "TRANSITION_REQUEST_TO_ARCHIVED_CREATED": ({}, "transition_request.created", "Archived"),
    "REGISTERED_MODEL_CREATED": ({"version": None}, "registered_model.created", ""),
}


@pytest.mark.parametrize("name", EVENTS)
def test_each_of_the_twelve_events_is_known(name: str) -> None:
    more, type, to_stage = EVENTS[name]
    delivery = read({"event": name, **BASE, **more})
    event = delivery.event
    assert (event.type, event.to_stage, event.model, event.version) == (
        type,
        to_stage,
        "wine",
        more.get("version", "8") or "",
    )
    assert (event.source, event.timestamp, event.received) == ("wine-dev", TIME, NOW)
    assert (delivery.test, delivery.sent) == (False, TIME / 1000)


@pytest.mark.parametrize("name", [name for name in DOCUMENTED if name.isupper()])
def test_the_documented_bodies_are_read_whole(name: str) -> None:
    body = DOCUMENTED[name]
    event = read(body).event
    assert (event.model, event.version, event.timestamp) == (
        body["model_name"],
        body["version"],
        body["event_timestamp"],
    )
    assert (event.from_stage, event.to_stage) == (body.get("from_stage", ""), body.get("to_stage", ""))
    assert event.tags == {tag["key"]: tag["value"] for tag in body.get("tags", [])}
    assert (event.comment, event.text) == (body.get("comment", ""), body["text"])
    assert json.loads(event.payload) == body


def test_the_delivery_is_known_by_its_bytes() -> None:
    one, same, other = (read(json.dumps(STAGE_CHANGE, indent=indent).encode()).event for indent in (None, None, 1))
    assert one.delivery == same.delivery != other.delivery
    assert one.id == same.id == other.id


# Test calls


@pytest.mark.parametrize(
    "change",
    [
        {"model_name": None},
        {"model_name": ""},
        {"text": "A test webhook trigger for the event."},
        {"model_name": "", "event_timestamp": None, "version": None, "to_stage": None},
        {"model_name": "", "event_timestamp": 0},
        {"model_name": "", "event_timestamp": -(2**70)},
    ],
)
def test_a_test_call_is_known_and_has_no_age(change: dict[str, Any]) -> None:
    delivery = read({**STAGE_CHANGE, **change})
    assert (delivery.test, delivery.sent) == (True, None)
    assert delivery.event.type == "model_version.stage_changed"


def test_a_test_call_may_leave_out_all_but_the_event() -> None:
    assert read({"event": "MODEL_VERSION_CREATED"}).test


@pytest.mark.parametrize("text", ["This is no test. A test webhook trigger", "a test webhook trigger", "", None])
def test_a_text_that_only_mentions_a_test_is_none(text: str | None) -> None:
    assert not read({**STAGE_CHANGE, "text": text}).test


# What is not a valid event

WRONG = {"event": "str", "event_timestamp": "int", "webhook_id": "str", "model_name": "str", "version": "str"}
WRONG |= {"from_stage": "str", "to_stage": "str", "comment": "str", "text": "str", "tags": "array"}
OTHERS: dict[str, list[Any]] = {
    "str": [5, 1.5, True, [], {}, ["x"]],
    "int": ["1589859029343", 1.5, 1589859029343.5, True, [], {}],
    "array": ["x", 5, True, {}, {"key": "a", "value": "b"}],
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, kind in WRONG.items() for value in OTHERS[kind]], ids=str
)
def test_a_field_of_a_wrong_type_is_named(field: str, value: Any) -> None:
    assert f"`$.{field}`" in refusal({**STAGE_CHANGE, field: value})


@pytest.mark.parametrize(
    ("tags", "place"),
    [
        ([{"key": "a"}], "$.tags[0]"),
        ([{"key": "a", "value": None}], "$.tags[0].value"),
        ([{"key": "a", "value": "b"}, {"key": 1, "value": "b"}], "$.tags[1].key"),
        (["a"], "$.tags[0]"),
        ([None], "$.tags[0]"),
    ],
)
def test_a_tag_of_a_wrong_shape_is_named(tags: Any, place: str) -> None:
    assert f"`{place}`" in refusal({**DOCUMENTED["MODEL_VERSION_TAG_SET"], "tags": tags})


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b'"x"', b"5", b"{}", b"\xff", b'{"event": null}', b"[" * 100_000]
)
def test_a_body_that_is_no_event_is_refused(body: bytes) -> None:
    assert refusal(body)


def test_a_key_that_stands_twice_is_refused() -> None:
    raw = json.dumps(STAGE_CHANGE)[:-1] + ', "to_stage": "Staging"}'
    assert "'to_stage' stands twice" in refusal(raw.encode())


@pytest.mark.parametrize("event", ["", "model_version_created", "A-B", " A", "A\n", "1A", "_A", "A" * 101, "É", "A.B"])
def test_what_is_no_event_name_is_refused(event: str) -> None:
    assert "`event` is no event name" in refusal({**STAGE_CHANGE, "event": event})


@pytest.mark.parametrize("time", [None, 0, -1, 10**14, 2**70])
@pytest.mark.parametrize("event", ["MODEL_VERSION_TRANSITIONED_STAGE", "MODEL_RENAMED"])
def test_an_event_needs_its_time(event: str, time: int | None) -> None:
    assert "needs `event_timestamp`" in refusal({**STAGE_CHANGE, "event": event, "event_timestamp": time})


@pytest.mark.parametrize("version", [None, ""])
@pytest.mark.parametrize("event", [name for name in EVENTS if name != "REGISTERED_MODEL_CREATED"])
def test_an_event_of_a_version_needs_its_version(event: str, version: str | None) -> None:
    assert (
        refusal({"event": event, **BASE, **EVENTS[event][0], "version": version})
        == f"{event} needs the field `version`"
    )


@pytest.mark.parametrize("stage", [None, ""])
def test_a_stage_change_needs_its_stage(stage: str | None) -> None:
    assert "needs the field `to_stage`" in refusal({**STAGE_CHANGE, "to_stage": stage})


@pytest.mark.parametrize("event", [name for name in EVENTS if "_TO_" in name])
@pytest.mark.parametrize("stage", ["None", "staging", "STAGING", "Elsewhere"])
def test_an_event_name_that_contradicts_its_stage_is_refused(event: str, stage: str) -> None:
    assert (
        refusal({**STAGE_CHANGE, "event": event, "to_stage": stage}) == f"{event} contradicts its `to_stage` {stage!r}"
    )


@pytest.mark.parametrize("event", ["MODEL_RENAMED", "MODEL_VERSION_TRANSITIONED_TO_CANARY", "A", "X9_"])
def test_an_unknown_event_is_kept_under_its_own_name(event: str) -> None:
    delivery = read({"event": event, "event_timestamp": TIME, "model_name": "wine", "news": {"any": [1, None, 2**64]}})
    assert (delivery.event.type, delivery.test) == (f"databricks.{event.lower()}", False)


# Whatever is sent

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda child: st.lists(child, max_size=3) | st.dictionaries(st.text(max_size=4), child, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from([*EVENTS, "MODEL_RENAMED"]), st.sampled_from([*WRONG, "other"]), JSON)
def test_any_value_of_any_field_is_read_or_refused(event: str, field: str, value: Any) -> None:
    body = {**STAGE_CHANGE, "event": event, field: value}
    if "_TO_" in event and field != "to_stage":
        del body["to_stage"]
    try:
        delivery = read(body)
    except InvalidEvent:
        return
    assert len(delivery.event.id) == 64
