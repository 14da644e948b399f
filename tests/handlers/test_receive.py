"""The front door: every delivery is answered with the truth, and only a 202 leaves anything behind."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from local import sender
from local.system import System
from shared import vault
from tests.conftest import IMPATIENT, ROUTES, Relay, until

Headers = dict[str, str]
OK = {"event": "COMMENT_CREATED", "model_name": "quiet", "version": "1", "comment": "c", "text": "t"}


def comment(**changes: Any) -> bytes:
    """A valid body that no route waits for, so that it can be sent at will."""
    body = {**OK, "event_timestamp": int(time.time() * 1000), **changes}
    return json.dumps({key: value for key, value in body.items() if value is not None}).encode()


def kept(relay: Relay) -> int:
    """How many events are in the ledger or on their way there."""
    return len(relay.events()) + relay.queued("events")


@pytest.fixture
def nothing_kept(relay: Relay) -> Any:
    """Assert that the test leaves neither an event nor a message."""
    relay.databricks(comment(comment="makes the queue and the tables"))
    until(lambda: relay.queued("events") == 0)
    before = kept(relay)
    yield
    time.sleep(0.3)  # time for a message to be seen, if there were one; without one there is nothing to wait for
    assert kept(relay) == before


def signed(relay: Relay, body: bytes) -> Headers:
    return sender.databricks_headers(relay.system.secret("wine-dev-webhook"), body)


def other_signature(change: Callable[[str], str | None]) -> Callable[[Relay, bytes], Headers]:
    """Headers whose signature was right before the change."""

    def headers(relay: Relay, body: bytes) -> Headers:
        right = signed(relay, body)
        wrong = change(right.pop("X-Databricks-Signature"))
        return right if wrong is None else {**right, "X-Databricks-Signature": wrong}

    return headers


BAD_SIGNATURES = {
    "none": lambda _: None,
    "empty": lambda _: "",
    "of other bytes": lambda _: hashlib.sha256(b"other").hexdigest(),
    "cut": lambda right: right[:-1],
    "in upper case": lambda right: right.upper(),
    "with a prefix": lambda right: f"sha256={right}",
    "doubled": lambda right: f"{right},{right}",
    "oversized": lambda right: right * 200,
    "not ASCII": lambda right: right[:-1] + "é".encode().decode("latin-1"),
    "not hexadecimal": lambda right: "z" * 64,
    "in superscript digits": lambda right: ("²" * 64).encode().decode("latin-1"),
}


@pytest.mark.parametrize("change", BAD_SIGNATURES.values(), ids=BAD_SIGNATURES)
def test_a_delivery_with_a_bad_signature_is_answered_401(
    relay: Relay, nothing_kept: None, change: Callable[[str], str | None]
) -> None:
    body = comment()
    reply = relay.post("wine-dev", body, other_signature(change)(relay, body))
    assert (reply.status_code, reply.json()) == (401, {"error": "unauthorized"})


def test_a_signature_that_is_not_even_utf_8_is_refused_by_the_host(relay: Relay, nothing_kept: None) -> None:
    body = comment()
    headers = signed(relay, body)
    wrong = headers["X-Databricks-Signature"][:-1] + "\xe9"
    assert relay.post("wine-dev", body, {**headers, "X-Databricks-Signature": wrong}).status_code == 400


def test_two_signature_headers_are_answered_401(relay: Relay, nothing_kept: None) -> None:
    import http.client

    body = comment()
    connection = http.client.HTTPConnection(relay.worker.url.removeprefix("http://"), timeout=30)
    connection.putrequest("POST", "/api/webhooks/wine-dev")
    for _ in range(2):
        connection.putheader("X-Databricks-Signature", signed(relay, body)["X-Databricks-Signature"])
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    assert connection.getresponse().status == 401


def test_a_delivery_signed_with_another_secret_is_answered_401(relay: Relay, nothing_kept: None) -> None:
    body = comment()
    assert relay.post("wine-dev", body, sender.databricks_headers("x" * 32, body)).status_code == 401


@pytest.mark.parametrize("position", [0, 20, -1])
def test_a_body_changed_by_one_byte_is_answered_401(relay: Relay, nothing_kept: None, position: int) -> None:
    body = bytearray(comment())
    headers = signed(relay, bytes(body))
    body[position] ^= 1
    assert relay.post("wine-dev", bytes(body), headers).status_code == 401


def test_an_unknown_source_is_answered_like_a_bad_signature(relay: Relay, nothing_kept: None) -> None:
    body = comment()
    unknown = relay.post("no-such-source", body, signed(relay, body))
    unsigned = relay.post("wine-dev", body, {})
    assert unknown.status_code == unsigned.status_code == 401
    assert unknown.content == unsigned.content


def deep(levels: int) -> bytes:
    return b'{"event":' + b"[" * levels + b"]" * levels + b"}"


BAD_BODIES = {
    "empty": b"",
    "not JSON": b"event=MODEL_VERSION_CREATED",
    "cut": comment()[:-1],
    "no object": b"[]",
    "a number": b"7",
    "nested 33 deep": deep(33),
    "nested 100,000 deep": deep(100_000),
    "a key twice": comment()[:-1] + b',"event":"MODEL_VERSION_CREATED"}',
    "a key twice further in": comment()[:-1] + b',"tags":[{"key":"a","key":"b","value":"c"}]}',
    "NaN": comment()[:-1] + b',"more":NaN}',
    "infinity": comment()[:-1] + b',"more":-Infinity}',
    "an integer of 5,000 digits": comment()[:-1] + b',"more":' + b"9" * 5000 + b"}",
    "a number beyond doubles": comment()[:-1] + b',"more":1e999}',
    "half a surrogate pair": comment()[:-1] + b',"more":"\\ud800"}',
    "UTF-16": comment().decode().encode("utf-16"),
    "a byte-order mark": b"\xef\xbb\xbf" + comment(),
    "Latin-1": comment()[:-1] + b',"more":"\xe9"}',
    "event of a wrong type": comment(event=7),
    "event missing": comment(event=None),
    "event no name": comment(event="comment created"),
    "model of a wrong type": comment(model_name=["a"]),
    "version a number": comment(version=1),
    "version missing": comment(version=None),
    "timestamp a text": comment(event_timestamp="1589859029343"),
    "timestamp fractional": comment(event_timestamp=1589859029343.5),
    "timestamp true": comment(event_timestamp=True),
    "timestamp missing": comment(event_timestamp=None),
    "tags no list": comment(event="MODEL_VERSION_TAG_SET", tags={"a": "b"}),
    "tag without value": comment(event="MODEL_VERSION_TAG_SET", tags=[{"key": "a"}]),
    "stage change without stage": comment(event="MODEL_VERSION_TRANSITIONED_STAGE"),
    "stage against its name": comment(event="MODEL_VERSION_TRANSITIONED_TO_STAGING", to_stage="Production"),
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
def test_a_signed_body_that_is_no_event_is_answered_400_with_the_reason(
    relay: Relay, nothing_kept: None, body: bytes
) -> None:
    reply = relay.databricks(body)
    assert reply.status_code == 400
    assert len(reply.json()["error"]) > 10


def test_a_wrong_field_is_named(relay: Relay) -> None:
    assert "model_name" in relay.databricks(comment(model_name=7)).json()["error"]


@pytest.mark.parametrize("source", ["wine-dev", "no-such-source"])
def test_two_mebibytes_are_answered_413_whoever_sends_them(relay: Relay, nothing_kept: None, source: str) -> None:
    body = comment(comment="x" * 2 * 1024 * 1024)
    assert relay.post(source, body, signed(relay, body)).status_code == 413


@pytest.mark.parametrize(("offset", "status"), [(-23.5, 202), (-24.5, 422), (0.005, 202), (1, 422)])
def test_a_databricks_delivery_is_taken_for_a_day_and_not_from_the_future(
    relay: Relay, offset: float, status: int
) -> None:
    sent = int((time.time() + offset * 3600) * 1000)
    assert relay.databricks(comment(event_timestamp=sent)).status_code == status


def test_max_age_of_a_source_is_a_setting(relay: Relay) -> None:
    body = comment(event_timestamp=int((time.time() - 10 * 86400) * 1000))
    assert relay.databricks(body).status_code == 422
    assert relay.databricks(body, source="patient").status_code == 202


def alias(model: str = "quiet", name: str = "quiet") -> bytes:
    return json.dumps(
        sender.mlflow_body("model_version_alias", "created", {"name": model, "alias": name, "version": "1"})
    ).encode()


@pytest.mark.parametrize(("age", "status"), [(0, 202), (290, 202), (320, 422), (-50, 202), (-90, 422)])
def test_an_mlflow_delivery_is_taken_for_300_seconds(relay: Relay, age: float, status: int) -> None:
    body = alias()
    headers = sender.mlflow_headers(relay.system.secret("models-webhook"), body, sent=time.time() - age)
    assert relay.post("models", body, headers).status_code == status


@pytest.mark.parametrize("name", ["X-MLflow-Delivery-Id", "X-MLflow-Timestamp", "X-MLflow-Signature"])
@pytest.mark.parametrize("value", [None, "", "v1,", "other"])
def test_an_mlflow_delivery_without_one_of_its_headers_is_answered_401(
    relay: Relay, nothing_kept: None, name: str, value: str | None
) -> None:
    body = alias()
    headers = sender.mlflow_headers(relay.system.secret("models-webhook"), body)
    headers.pop(name)
    assert relay.post("models", body, headers if value is None else {**headers, name: value}).status_code == 401


def test_an_mlflow_signature_does_not_hold_for_another_time_or_delivery(relay: Relay, nothing_kept: None) -> None:
    body = alias()
    headers = sender.mlflow_headers(relay.system.secret("models-webhook"), body)
    later = {**headers, "X-MLflow-Timestamp": str(int(time.time()) + 1)}
    other = {**headers, "X-MLflow-Delivery-Id": "00000000-0000-0000-0000-000000000000"}
    assert relay.post("models", body, later).status_code == relay.post("models", body, other).status_code == 401


def test_the_authorization_header_is_checked_where_the_source_wants_it(relay: Relay) -> None:
    body = comment()
    headers = signed(relay, body)
    right = relay.system.secret("guarded-authorization")
    assert relay.post("guarded", body, headers).status_code == 401
    assert relay.post("guarded", body, {**headers, "Authorization": right + "x"}).status_code == 401
    assert relay.post("guarded", body, {**headers, "Authorization": right}).status_code == 202


@pytest.mark.parametrize("event", ["SOMETHING_NEW", "MODEL_VERSION_DELETED"])
def test_an_unknown_event_is_taken_kept_and_starts_nothing(relay: Relay, model: str, event: str) -> None:
    reply = relay.databricks(comment(event=event, model_name=f"release-{model}", version=None))
    assert (reply.status_code, reply.json()["plan"]) == (202, [])
    story = until(lambda: relay.story(reply.json()["event"]))
    assert story.event.type == f"databricks.{event.lower()}"
    assert not story.steps


@pytest.mark.parametrize("entity", ["prompt", "prompt_version", "budget_policy"])
def test_mlflow_events_that_are_not_about_models_are_taken(relay: Relay, entity: str) -> None:
    body = sender.mlflow_body(entity, "exceeded", {"name": "p", "version": "1"})
    assert relay.mlflow(body).status_code == 202


@pytest.mark.parametrize(
    "test_call",
    [
        {"model_name": "", "text": "A test webhook trigger from the registry"},
        {"model_name": None, "event_timestamp": None, "version": None},
        {"text": "A test webhook trigger for event COMMENT_CREATED"},
    ],
    ids=["empty model", "hardly any field", "by its text"],
)
def test_databricks_test_call_is_answered_with_the_plan_and_acts_on_nothing(
    relay: Relay, nothing_kept: None, test_call: dict[str, Any]
) -> None:
    reply = relay.databricks(comment(**test_call))
    plan = {entry["route"]: entry for entry in reply.json()["plan"]}
    assert (reply.status_code, reply.json()["test"]) == (202, True)
    assert plan["tell-slack"]["matches"]
    assert plan["tell-slack"]["steps"][0]["target"] == "slack"
    assert "event is" in plan["release"]["because"]
    assert "alias-run" not in plan, "a route of another source is no part of the plan"


def test_mlflow_test_call_is_answered_with_the_plan_and_acts_on_nothing(relay: Relay, nothing_kept: None) -> None:
    example = {"name": "example_model", "alias": "example_alias", "version": "1"}
    reply = relay.mlflow(sender.mlflow_body("model_version_alias", "created", example))
    assert (reply.status_code, reply.json()["test"]) == (202, True)
    plan = {entry["route"]: entry for entry in reply.json()["plan"]}
    assert plan["alias-run"]["if"] == {"alias": "champion"}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_another_method_is_answered_404(relay: Relay, method: str) -> None:
    assert requests.request(method, relay.url("wine-dev"), timeout=30).status_code == 404


def test_a_repeated_delivery_is_answered_202_and_acted_on_once(relay: Relay, model: str) -> None:
    body = json.dumps(sender.databricks_stage_change(f"release-{model}", "1", "Production")).encode()
    replies = [relay.databricks(body) for _ in range(5)]
    assert {reply.status_code for reply in replies} == {202}
    assert len({reply.content for reply in replies}) == 1
    relay.ended(replies[0].json()["event"])
    until(lambda: relay.queued("events") == 0)
    assert sum(1 for start in relay.system.devops.starts if model in str(start.variables)) == 1


def test_what_storage_did_not_take_is_not_answered_202_and_the_senders_retry_succeeds(model: str) -> None:
    with System() as system:
        relay = Relay(system, system.worker({**IMPATIENT}))
        assert relay.databricks(comment()).status_code == 202
        system.azurite.stop()
        bodies = {
            "small": sender.databricks_stage_change(f"release-{model}", "1", "Production"),
            "large": {**sender.databricks_stage_change(f"release-{model}", "2", "Production"), "text": "x" * 100_000},
        }
        assert [relay.databricks(body).status_code for body in bodies.values()] == [500, 500]
        system.azurite.start()
        assert [relay.databricks(body).status_code for body in bodies.values()] == [202, 202]
        until(lambda: len([start for start in system.devops.starts if model in str(start.variables)]) == 2)


def test_a_delivery_is_answered_while_steps_hold_every_thread(model: str) -> None:
    with System() as system:
        relay = Relay(system, system.worker({**IMPATIENT, "PYTHON_THREADPOOL_THREAD_COUNT": "2"}))
        system.devops.faults.add("POST", "releases$", times=None, slow=5)
        for version in "12":
            relay.databricks(sender.databricks_stage_change(f"release-{model}", version, "Production"))
        until(lambda: len(system.devops.faults.calls("POST", "releases$")) == 2)
        assert relay.databricks(comment()).status_code == 202
        assert [call.status for call in system.devops.faults.calls("POST", "releases$")] == [None, None]


def test_the_loop_on_which_deliveries_are_judged_asks_nobody_and_opens_nothing(relay: Relay) -> None:
    body, large = comment(), comment(text="x" * 100_000)
    right, wrong = signed(relay, body), other_signature(BAD_SIGNATURES["of other bytes"])(relay, body)
    news, due = vault.NEWS_SECONDS + 0.1, 2.1
    given = [(0.0, right, body), (0.0, right, body), (news, wrong, body), (due, right, body)]
    settings = {**relay.system.environment(ROUTES), "SECRET_CACHE_SECONDS": "2", "TELEMETRY": "host"}
    told = judged([*given, (0.0, signed(relay, large), large)], settings)
    assert told["statuses"] == [202, 202, 401, 202, 202]
    assert told["loop"] == []
    assert told["threads"].count("secret wine-dev-webhook is fetched") == 3
    assert {what.partition(" ")[0] for what in told["threads"]} >= {"open", "socket.connect"}


def judged(given: list[tuple[float, Headers, bytes]], settings: dict[str, str]) -> dict[str, list[Any]]:
    """Have deliveries judged by receive_child.py, each after so many seconds; return what it prints."""
    told = [
        (pause, "wine-dev", {key.lower(): value for key, value in headers.items()}, body.decode())
        for pause, headers, body in given
    ]
    command, env = [sys.executable, "-m", "tests.handlers.receive_child"], {**os.environ, **settings}
    done = subprocess.run(command, input=json.dumps(told), env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[Any]] = json.loads(done.stdout.splitlines()[-1])
    return found
