"""MLflow: recorded deliveries of a real server are genuine, changed ones are not, and each event says what it said."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.sources import mlflow
from shared.deliveries import Delivery
from shared.errors import InvalidEvent
from shared.routes import EVENT_TYPES

FILES = sorted((Path(__file__).parents[2] / "deliveries").glob("mlflow-*.json"))
NOW = 1_795_215_500.5
SECRET = b"models-webhook-secret"
ID, SENT = "bed16ad9-34b8-4faa-9c9f-d062f2c79add", "1795215456"
TIME = "2026-11-20T22:57:36.214666+00:00"
MILLISECONDS = 1795215456214

recorded = pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])


class Recorded:
    """One delivery as a real server sent it."""

    def __init__(self, file: Path) -> None:
        content = json.loads(file.read_text())
        self.secret = content["secret"].encode()
        self.headers = {name.lower(): value for name, value in content["headers"].items()}
        self.body = base64.b64decode(content["body_b64"])
        match = re.match(r"mlflow-\d+-([a-z_]+\.[a-z_]+)-", file.name)
        assert match
        self.type = match[1]


def headers_of(body: bytes, secret: bytes = SECRET, delivery: str = ID, sent: str = SENT) -> dict[str, str]:
    mac = hmac.new(secret, f"{delivery}.{sent}.".encode() + body, hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(mac).decode()}"
    return {"x-mlflow-delivery-id": delivery, "x-mlflow-timestamp": sent, "x-mlflow-signature": signature}


def read(type: str, data: Any, **more: Any) -> Delivery:
    entity, _, action = type.partition(".")
    body = {"entity": entity, "action": action, "timestamp": TIME, "data": data, **more}
    raw = json.dumps(body).encode()
    return mlflow.KIND.read("models", headers_of(raw), raw, NOW)


def refusal(type: str, data: Any, **more: Any) -> str:
    with pytest.raises(InvalidEvent) as error:
        read(type, data, **more)
    return str(error.value)


# Recorded deliveries


def test_there_is_a_recorded_delivery_of_every_kind_of_act() -> None:
    assert len(FILES) == 18
    assert len({Recorded(file).type for file in FILES}) == 14


@recorded
def test_a_recorded_delivery_is_signed_and_read(file: Path) -> None:
    record = Recorded(file)
    assert mlflow.KIND.is_signed(record.headers, record.body, [b"another secret of it", record.secret])
    delivery = mlflow.KIND.read("models", record.headers, record.body, NOW)
    event, data = delivery.event, json.loads(record.body)["data"]
    assert event.type == record.type
    assert event.type in EVENT_TYPES
    assert (event.model, event.version, event.alias) == (data["name"], data.get("version", ""), data.get("alias", ""))
    tags = {data["key"]: data.get("value", "")} if "key" in data else data.get("tags", {})
    assert (event.tags, event.text) == (tags, data.get("description", ""))
    assert (event.delivery, event.payload) == (record.headers["x-mlflow-delivery-id"], record.body.decode())
    assert delivery.sent == float(record.headers["x-mlflow-timestamp"])
    assert abs(event.timestamp / 1000 - delivery.sent) < 60
    assert not delivery.test


@recorded
def test_a_recorded_delivery_with_any_byte_changed_is_not_signed(file: Path) -> None:
    record = Recorded(file)
    body = record.body
    for at in range(len(body)):
        changed = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        assert not mlflow.KIND.is_signed(record.headers, changed, [record.secret])
    for changed in (body[:-1], body + b"\n", b" " + body, b""):
        assert not mlflow.KIND.is_signed(record.headers, changed, [record.secret])


@recorded
def test_a_recorded_delivery_is_not_signed_with_another_secret(file: Path) -> None:
    record = Recorded(file)
    assert not mlflow.KIND.is_signed(record.headers, record.body, [record.secret + b"x", b"another secret of it"])
    assert not mlflow.KIND.is_signed(record.headers, record.body, [])


def test_the_recorded_acts_are_as_many_events() -> None:
    records = [Recorded(file) for file in FILES]
    events = [mlflow.KIND.read("models", record.headers, record.body, NOW).event for record in records]
    assert len({event.id for event in events}) == len(FILES)


# Headers

BODY = b"{}"
GOOD = headers_of(BODY)
MAC = GOOD["x-mlflow-signature"].removeprefix("v1,")


def is_signed(**changes: str | None) -> bool:
    names = {"delivery": "x-mlflow-delivery-id", "sent": "x-mlflow-timestamp", "signature": "x-mlflow-signature"}
    headers = {**GOOD, **{names[name]: value for name, value in changes.items() if value is not None}}
    for name, value in changes.items():
        if value is None:
            del headers[names[name]]
    return mlflow.KIND.is_signed(headers, BODY, [SECRET])


def test_the_headers_as_they_are_sent_hold() -> None:
    assert is_signed()


@pytest.mark.parametrize("name", ["delivery", "sent", "signature"])
@pytest.mark.parametrize("value", [None, "", " ", "é", "\n", "x" * 10_000])
def test_a_missing_or_odd_header_does_not_hold(name: str, value: str | None) -> None:
    assert not is_signed(**{name: value})


@pytest.mark.parametrize(
    "signature",
    [
        MAC,
        f"v2,{MAC}",
        f"V1,{MAC}",
        f"v1 ,{MAC}",
        f"v1, {MAC}",
        f"v1,{MAC} ",
        f"v1,{MAC}\n",
        f" v1,{MAC}",
        f"v1;{MAC}",
        "v1,",
        "v1",
        ",",
        f"v1,{MAC},v1,{MAC}",
        f"v1,{MAC} v1,{MAC}",
        f"v1,{MAC[:-1]}",
        f"v1,{MAC}=",
        f"v1,{MAC[:-4]}",
        f"v1,{base64.b64decode(MAC).hex()}",
        f"v1,{'A' * 43}=",
        f"v1,{MAC[:20]}\n{MAC[20:]}",
        f"v1,{MAC.swapcase()}",
        "v1,é",
    ],
)
def test_an_odd_signature_does_not_hold(signature: str) -> None:
    assert not is_signed(signature=signature)


@pytest.mark.parametrize(
    "sent",
    [
        "1795215457",
        "01795215456",
        "1795215456.0",
        "+1795215456",
        " 1795215456",
        "1795215456\n",
        "1e9",
        "-1",
        "0x10",
        "\u0661",
        "1795215456, 1795215456",
        "9" * 13,
    ],
)
def test_a_changed_or_odd_time_does_not_hold_even_if_it_was_signed(sent: str) -> None:
    assert not is_signed(sent=sent)
    if sent != "1795215457" and sent != "01795215456":
        assert not mlflow.KIND.is_signed(headers_of(BODY, sent=sent), BODY, [SECRET])


@pytest.mark.parametrize("delivery", [f"{ID}.1", "a.b", ".", "a b", "a\n", "é", "x" * 65, "a/b", "a,b"])
def test_an_odd_delivery_id_does_not_hold_even_if_it_was_signed(delivery: str) -> None:
    assert not mlflow.KIND.is_signed(headers_of(BODY, delivery=delivery), BODY, [SECRET])


def test_the_borders_between_id_time_and_body_cannot_be_moved() -> None:
    body = b"5.{}"
    headers = headers_of(body, sent="179521545")
    assert mlflow.KIND.is_signed(headers, body, [SECRET])
    assert not mlflow.KIND.is_signed({**headers, "x-mlflow-timestamp": "179521545.5"}, b"{}", [SECRET])
    assert not mlflow.KIND.is_signed({**headers, "x-mlflow-timestamp": "1795215455"}, b"{}", [SECRET])


@settings(deadline=None, max_examples=200)
@given(st.text(), st.text(), st.text())
def test_any_headers_are_judged_without_an_error(delivery: str, sent: str, signature: str) -> None:
    assert not is_signed(delivery=delivery, sent=sent, signature=f"v1,{signature}")


# Test calls: the example data of mlflow/webhooks/types.py

_DESCRIBED = {"tags": {"example_key": "example_value"}}
_KEY, _VALUE = {"key": "example_key"}, {"value": "example_value"}
BUDGET = {
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
}
MODEL, PROMPT = {"name": "example_model"}, {"name": "example_prompt"}
VERSION = {"version": "1"}
EXAMPLES: dict[str, dict[str, Any]] = {
    "registered_model.created": {**MODEL, **_DESCRIBED, "description": "An example registered model"},
    "model_version.created": {
        **MODEL,
        **VERSION,
        "source": "models:/123",
        "run_id": "abcd1234abcd5678",
        **_DESCRIBED,
        "description": "An example model version",
    },
    "model_version_tag.set": {**MODEL, **VERSION, **_KEY, **_VALUE},
    "model_version_tag.deleted": {**MODEL, **VERSION, **_KEY},
    "model_version_alias.created": {**MODEL, "alias": "example_alias", **VERSION},
    "model_version_alias.deleted": {**MODEL, "alias": "example_alias"},
    "prompt.created": {**PROMPT, **_DESCRIBED, "description": "An example prompt"},
    "prompt_version.created": {
        **PROMPT,
        **VERSION,
        "template": "Hello {{name}}!",
        **_DESCRIBED,
        "description": "An example prompt version",
    },
    "prompt_tag.set": {**PROMPT, **_KEY, **_VALUE},
    "prompt_tag.deleted": {**PROMPT, **_KEY},
    "prompt_version_tag.set": {**PROMPT, **VERSION, **_KEY, **_VALUE},
    "prompt_version_tag.deleted": {**PROMPT, **VERSION, **_KEY},
    "prompt_alias.created": {**PROMPT, "alias": "example_alias", **VERSION},
    "prompt_alias.deleted": {**PROMPT, "alias": "example_alias"},
    "budget_policy.exceeded": BUDGET,
}


@pytest.mark.parametrize("type", EXAMPLES)
def test_mlflows_own_example_is_a_test_call(type: str) -> None:
    delivery = read(type, EXAMPLES[type])
    assert delivery.test
    assert delivery.event.type == type
    assert type in EVENT_TYPES


@pytest.mark.parametrize(
    ("type", "field"), [(type, field) for type, data in EXAMPLES.items() for field in data], ids=str
)
def test_a_real_act_that_differs_from_the_example_in_one_field_is_no_test(type: str, field: str) -> None:
    example = EXAMPLES[type]
    other: Any = {"example_key": "another"} if field == "tags" else "another"
    assert not read(type, {**example, field: other}).test


@pytest.mark.parametrize("type", ["registered_model.created", "model_version.created", "model_version_alias.created"])
def test_a_real_act_that_has_more_than_the_example_is_no_test(type: str) -> None:
    assert not read(type, {**EXAMPLES[type], "more": "x"}).test


def test_a_real_model_that_is_named_like_the_example_is_no_test() -> None:
    data: dict[str, Any] = {
        "name": "example_model",
        "version": "7",
        "source": "models:/m-1",
        "run_id": None,
        "tags": {},
        "description": None,
    }
    assert not read("model_version.created", data).test
    assert not read("model_version_alias.created", {"name": "example_model", "alias": "champion", "version": "1"}).test


# Events


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        (TIME, MILLISECONDS),
        ("2026-11-20T22:57:36Z", 1795215456000),
        ("2026-11-21T00:57:36.214+02:00", MILLISECONDS),
        ("2026-11-20T22:57:36-00:00", 1795215456000),
    ],
)
def test_the_time_of_the_act_is_read_with_its_offset(text: str, milliseconds: int) -> None:
    assert read("registered_model.created", {"name": "m"}, timestamp=text).event.timestamp == milliseconds


@pytest.mark.parametrize(
    "text",
    ["", "now", "2026-11-20T22:57:36", "2026-11-20", "1795215456", "2026-99-20T22:57:36Z", "2026-11-20T22:57:36+99:00"],
)
def test_a_time_without_its_offset_is_refused(text: str) -> None:
    assert "`timestamp` is no ISO 8601 time" in refusal("registered_model.created", {"name": "m"}, timestamp=text)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_the_first_and_the_last_moment_are_no_error(text: str) -> None:
    assert read("registered_model.created", {"name": "m"}, timestamp=text).event.id


NEEDED = [
    ("registered_model.created", "name"),
    ("model_version.created", "name"),
    ("model_version.created", "version"),
    ("model_version_tag.set", "name"),
    ("model_version_tag.set", "version"),
    ("model_version_tag.set", "key"),
    ("model_version_tag.deleted", "key"),
    ("model_version_alias.created", "name"),
    ("model_version_alias.created", "alias"),
    ("model_version_alias.created", "version"),
    ("model_version_alias.deleted", "alias"),
    ("prompt.created", "name"),
    ("prompt_version.created", "version"),
    ("prompt_tag.set", "key"),
    ("prompt_alias.created", "alias"),
]


@pytest.mark.parametrize(("type", "field"), NEEDED, ids=str)
@pytest.mark.parametrize("left", ["out", "null", "empty"])
def test_a_missing_field_is_named(type: str, field: str, left: str) -> None:
    data: dict[str, Any] = {"name": "m", "version": "1", "alias": "a", "key": "k", "value": "v"}
    data[field] = {"null": None, "empty": "", "out": None}[left]
    if left == "out":
        del data[field]
    assert refusal(type, data) == f"{type} needs the field `data.{field}`"


def test_what_mlflow_leaves_empty_is_fine() -> None:
    data: dict[str, Any] = {"name": "m", "version": "1", "source": "s", "run_id": None, "tags": {}, "description": None}
    event = read("model_version.created", data).event
    assert (event.tags, event.text) == ({}, "")
    assert read("registered_model.created", {"name": "m", "tags": None, "description": None}).event.tags == {}


@pytest.mark.parametrize("field", ["name", "version", "alias", "key", "value", "description"])
@pytest.mark.parametrize("value", [5, 1.5, True, [], {}], ids=str)
def test_a_field_of_a_wrong_type_is_named(field: str, value: Any) -> None:
    data = {"name": "m", "version": "1", field: value}
    assert f"`$.{field}`" in refusal("model_version.created", data)


@pytest.mark.parametrize(
    "tags", [5, "x", [], [{"key": "a", "value": "b"}], {"a": 1}, {"a": None}, {"a": ["b"]}], ids=str
)
def test_tags_of_a_wrong_type_are_named(tags: Any) -> None:
    assert "`$.tags" in refusal("model_version.created", {"name": "m", "version": "1", "tags": tags})


@pytest.mark.parametrize("field", ["entity", "action", "timestamp", "data", "workspace"])
@pytest.mark.parametrize("value", [5, True, ["x"]], ids=str)
def test_a_field_around_the_data_of_a_wrong_type_is_named(field: str, value: Any) -> None:
    around = {"data": {"name": "m"}, field: value}
    assert f"`$.{field}`" in refusal("registered_model.created", **around)


@pytest.mark.parametrize("field", ["entity", "action", "timestamp", "data"])
def test_a_missing_field_around_the_data_is_named(field: str) -> None:
    body = {"entity": "registered_model", "action": "created", "timestamp": TIME, "data": {"name": "m"}}
    del body[field]
    raw = json.dumps(body).encode()
    with pytest.raises(InvalidEvent, match=f"`{field}`"):
        mlflow.KIND.read("models", headers_of(raw), raw, NOW)


@pytest.mark.parametrize("word", ["", "Model", "a.b", "a-b", "a b", "é", "1a", "a\n", "a" * 65])
@pytest.mark.parametrize("field", ["entity", "action"])
def test_what_is_no_word_is_no_entity_and_no_action(field: str, word: str) -> None:
    assert "lower-case words" in refusal("registered_model.created", {"name": "m"}, **{field: word})


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}", b"\xff", b"NaN", b"[" * 100_000])
def test_a_body_that_is_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidEvent):
        mlflow.KIND.read("models", headers_of(body), body, NOW)


@pytest.mark.parametrize(
    ("type", "data"),
    [
        ("gateway_route.created", {"anything": [1, 1.5, None, 2**64]}),
        ("experiment.renamed", {}),
        ("experiment_tag.set", {"experiment": "1"}),
        ("webhook_alias.created", {"webhook": "1"}),
        ("model_version.archived", {"name": "m"}),
        ("prompt_optimizer.finished", {"job": "1"}),
        ("budget_policy.reset", {"budget_policy_id": "bp-1"}),
    ],
)
def test_an_unknown_type_is_kept_under_its_name_whatever_fields_it_has(type: str, data: dict[str, Any]) -> None:
    delivery = read(type, data)
    assert (delivery.event.type, delivery.test) == (type, False)


def test_a_workspace_sets_two_servers_worth_of_models_apart() -> None:
    one, other = (read("registered_model.created", {"name": "m"}, workspace=name).event for name in ("one", "other"))
    assert one.id != other.id


# Whatever is sent

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda child: st.lists(child, max_size=3) | st.dictionaries(st.text(max_size=4), child, max_size=3),
    max_leaves=6,
)
FIELDS = ["name", "version", "alias", "key", "value", "tags", "description", "run_id", "source", "other"]


@settings(deadline=None, max_examples=300)
@given(st.sampled_from([*EXAMPLES, "gateway_route.created"]), st.sampled_from(FIELDS), JSON)
def test_any_value_of_any_field_is_read_or_refused(type: str, field: str, value: Any) -> None:
    data = {"name": "m", "version": "1", "alias": "a", "key": "k", field: value}
    try:
        delivery = read(type, data)
    except InvalidEvent:
        return
    assert len(delivery.event.id) == 64


@settings(deadline=None, max_examples=150)
@given(
    st.text(max_size=30) | st.datetimes().map(str) | st.from_regex(r"\A\d{4}-W?\d\d-\d\dT\d\d:\d\d(Z|[+-]\d\d:\d\d)\Z")
)
def test_any_time_is_read_or_refused(text: str) -> None:
    try:
        delivery = read("registered_model.created", {"name": "m"}, timestamp=text)
    except InvalidEvent:
        return
    assert isinstance(delivery.event.timestamp, int)
