"""The event id: one act is one event whoever tells it and however it is written, another act is another event."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from handlers.sources import databricks, mlflow
from shared.messages import (
    Event,
    EventMessage,
    StepMessage,
    decode_event,
    decode_event_message,
    decode_step_message,
    encode,
    encode_event,
)

MANY = settings(deadline=None, max_examples=100)
STAGES = ("None", "Staging", "Production", "Archived")
MLFLOW_HEADERS = {"x-mlflow-delivery-id": "bed16ad9-34b8-4faa-9c9f-d062f2c79add", "x-mlflow-timestamp": "1795215456"}

word = st.text(min_size=1, max_size=8)
tags = st.lists(st.fixed_dictionaries({"key": word, "value": word}), max_size=3, unique_by=lambda tag: tag["key"])
bodies = st.fixed_dictionaries(
    {
        "event": st.just("MODEL_VERSION_TRANSITIONED_STAGE"),
        "webhook_id": word,
        "event_timestamp": st.integers(1, 10**14 - 1),
        "model_name": word,
        "version": word,
        "from_stage": st.sampled_from(STAGES),
        "to_stage": st.sampled_from(STAGES),
        "comment": st.text(max_size=8),
        "tags": tags,
    }
)


def event(body: dict[str, Any], source: str = "wine-dev", **layout: Any) -> Event:
    return databricks.KIND.read(source, {}, json.dumps(body, **layout).encode(), 1.0).event


@MANY
@given(bodies, st.randoms(use_true_random=False), st.sampled_from([None, 0, 4]), st.booleans())
def test_order_of_keys_and_white_space_do_not_change_the_event(
    body: dict[str, Any], random: Any, indent: int | None, ascii_only: bool
) -> None:
    keys = list(body)
    random.shuffle(keys)
    shuffled = {key: body[key] for key in keys}
    shuffled["tags"] = [{"value": tag["value"], "key": tag["key"]} for tag in body["tags"]]
    random.shuffle(shuffled["tags"])
    assert event(shuffled, indent=indent, ensure_ascii=ascii_only).id == event(body).id


@MANY
@given(bodies, word, st.text())
def test_two_webhooks_that_tell_of_one_act_tell_of_one_event(body: dict[str, Any], webhook: str, text: str) -> None:
    assume(not text.startswith(databricks.TEST_TEXT))
    assert event({**body, "webhook_id": webhook, "text": text}).id == event(body).id


@pytest.mark.parametrize("stage", ["Staging", "Production", "Archived"])
@pytest.mark.parametrize("keeps_to_stage", [True, False])
@MANY
@given(bodies)
def test_the_generic_and_the_specific_name_of_a_stage_change_are_one_event(
    stage: str, keeps_to_stage: bool, body: dict[str, Any]
) -> None:
    generic = {**body, "to_stage": stage}
    specific = {**generic, "event": f"MODEL_VERSION_TRANSITIONED_TO_{stage.upper()}"}
    if not keeps_to_stage:
        del specific["to_stage"]
    assert event(specific).id == event(generic).id


@pytest.mark.parametrize("stage", ["Staging", "Production", "Archived"])
@MANY
@given(bodies)
def test_the_generic_and_the_specific_name_of_a_request_are_one_event(stage: str, body: dict[str, Any]) -> None:
    generic = {**body, "event": "TRANSITION_REQUEST_CREATED", "to_stage": stage}
    specific = {**generic, "event": f"TRANSITION_REQUEST_TO_{stage.upper()}_CREATED"}
    assert event(specific).id == event(generic).id
    assert event(generic).id != event({**generic, "event": "MODEL_VERSION_TRANSITIONED_STAGE"}).id


@pytest.mark.parametrize(
    "field", ["event_timestamp", "model_name", "version", "from_stage", "to_stage", "comment", "tags"]
)
@MANY
@given(bodies, bodies)
def test_another_meaning_is_another_event(field: str, body: dict[str, Any], other: dict[str, Any]) -> None:
    assume(meaning(body[field]) != meaning(other[field]))
    assert event({**body, field: other[field]}).id != event(body).id


def meaning(value: Any) -> Any:
    return {tag["key"]: tag["value"] for tag in value} if isinstance(value, list) else value


@MANY
@given(bodies, word, word)
def test_another_source_is_another_event(body: dict[str, Any], source: str, other: str) -> None:
    assert (event(body, source).id == event(body, other).id) is (source == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"model_name": "ab", "version": "c"}, {"model_name": "a", "version": "bc"}),
        ({"from_stage": "Staging", "to_stage": "None"}, {"from_stage": "None", "to_stage": "Staging"}),
        ({"comment": "[]"}, {"tags": []}),
        ({"model_name": '","'}, {"version": '","'}),
    ],
    ids=["where one field ends", "there and back", "texts that look like lists", "texts that look like JSON"],
)
def test_fields_do_not_run_into_each_other(one: dict[str, Any], other: dict[str, Any]) -> None:
    body = {"event": "MODEL_VERSION_TRANSITIONED_STAGE", "event_timestamp": 1, "model_name": "m", "version": "1"}
    body |= {"to_stage": "Production"}
    assert event({**body, **one}).id != event({**body, **other}).id


@MANY
@given(bodies, st.dictionaries(word, word, min_size=1, max_size=2))
def test_an_unknown_event_is_told_apart_by_all_its_fields_but_the_webhook(
    body: dict[str, Any], more: dict[str, str]
) -> None:
    unknown = {**body, "event": "MODEL_RENAMED"}
    assume(not more.keys() & unknown.keys())
    assert event({**unknown, **more}).id != event(unknown).id
    assert event({**unknown, "webhook_id": "another"}).id == event(unknown).id


def mlflow_event(
    data: dict[str, Any], source: str = "models", act: str = "model_version.created", **more: Any
) -> Event:
    entity, action = act.split(".")
    body = {"entity": entity, "action": action, "timestamp": "2026-11-20T22:57:36.214666+00:00", "data": data, **more}
    return mlflow.KIND.read(source, MLFLOW_HEADERS, json.dumps(body).encode(), 1.0).event


def test_an_mlflow_event_is_the_act_and_not_the_delivery() -> None:
    data = {"name": "m", "version": "1", "tags": {"a": "1", "b": "2"}, "source": "models:/1"}
    turned = {"source": "models:/1", "tags": {"b": "2", "a": "1"}, "version": "1", "name": "m"}
    body = {"timestamp": "2026-11-20T22:57:36.214666+00:00", "action": "created", "entity": "model_version"}
    again = json.dumps({"data": turned, **body}, indent=1).encode()
    headers = {"x-mlflow-delivery-id": "another", "x-mlflow-timestamp": "1795215460"}
    assert mlflow.KIND.read("models", headers, again, 2.0).event.id == mlflow_event(data).id


MLFLOW_CHANGES: dict[str, dict[str, Any]] = {
    "source": {"source": "other-models"},
    "type": {"act": "model_version_tag.deleted"},
    "model": {"data": {"name": "n"}},
    "version": {"data": {"version": "2"}},
    "alias": {"data": {"alias": "champion"}},
    "key": {"data": {"key": "approved"}},
    "value": {"data": {"value": "yes"}},
    "tags": {"data": {"tags": {"a": "2"}}},
    "an unknown field": {"data": {"run_id": "1"}},
    "the smallest part of the time": {"timestamp": "2026-11-20T22:57:36.214667+00:00"},
    "workspace": {"workspace": "other"},
}


@pytest.mark.parametrize("change", MLFLOW_CHANGES.values(), ids=MLFLOW_CHANGES.keys())
def test_another_meaning_is_another_mlflow_event(change: dict[str, Any]) -> None:
    data = {"name": "m", "version": "1", "key": "k", "value": "v", "tags": {"a": "1"}}
    before = mlflow_event(data, act="model_version_tag.set")
    after = mlflow_event(**{"act": "model_version_tag.set", **change, "data": {**data, **change.get("data", {})}})
    assert after.id != before.id


number = st.integers(-(2**63), 2**63 - 1)
events = st.builds(
    Event,
    id=st.text(),
    source=st.text(),
    type=st.text(),
    delivery=st.text(),
    timestamp=number,
    received=st.floats(allow_nan=False, allow_infinity=False),
    model=st.text(),
    version=st.text(),
    from_stage=st.text(),
    to_stage=st.text(),
    alias=st.text(),
    tags=st.dictionaries(st.text(), st.text(), max_size=4),
    comment=st.text(),
    text=st.text(),
    payload=st.text(),
)


@MANY
@given(events)
def test_an_event_comes_out_of_the_queue_as_it_went_in(event: Event) -> None:
    assert decode_event(encode_event(event)) == event
    assert decode_event(encode_event(event).encode()) == event
    assert decode_event_message(encode(EventMessage(event=event)).encode()) == EventMessage(event=event)


@MANY
@given(st.text(), st.text())
def test_a_pointer_comes_out_of_the_queue_as_it_went_in(event_key: str, step: str) -> None:
    pointer = StepMessage(event_key=event_key, step=step)
    assert decode_step_message(encode(pointer).encode()) == pointer


@MANY
@given(events)
def test_a_queue_message_does_not_look_like_json_to_the_host(event: Event) -> None:
    assert encode(EventMessage(event=event))[0] not in '{["0123456789-tfn '


NO_POINTER: dict[str, bytes] = {
    "empty": b"",
    "JSON without our mark": b'{"event_key": "e", "step": "s"}',
    "our mark alone": b"relay ",
    "null": b"relay null",
    "a list": b"relay []",
    "no fields": b"relay {}",
    "one field": b'relay {"event_key": "e"}',
    "a number": b'relay {"event_key": 1, "step": "s"}',
    "cut short": b'relay {"event_key": "e", "step": "s"',
    "no UTF-8": b'relay {"event_key": "\xff", "step": "s"}',
    "binary": bytes(range(256)),
}


@pytest.mark.parametrize("body", NO_POINTER.values(), ids=NO_POINTER.keys())
def test_what_is_no_pointer_is_a_decode_error_and_nothing_else(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_step_message(body)
