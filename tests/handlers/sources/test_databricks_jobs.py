"""Job notifications of Databricks: who is let in, what is read, what counts as one event."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
import requests

from handlers.sources.databricks_jobs import KIND
from local import sender
from shared.deliveries import Delivery
from shared.errors import InvalidEvent
from shared.steps import State
from tests.conftest import Relay

USER = "databricks:a-password-of-the-jobs"
NOW = 1_800_000_000.5


def notification(what: str = "failure", run: int = 900, name: str = "Nightly") -> dict[str, Any]:
    return sender.databricks_job_notification(what, run, 77, name)


def send(relay: Relay, body: Any, user: str = USER) -> requests.Response:
    return sender.send_databricks_job(relay.url("jobs"), user, body)


def read(body: Any, now: float = NOW) -> Delivery:
    return KIND.read("jobs", {}, json.dumps(body).encode(), now)


def test_a_failed_run_starts_the_route_that_waits_for_it(relay: Relay, model: str) -> None:
    reply = send(relay, notification(run=int(model, 16), name=f"nightly-{model}"))
    assert (reply.status_code, reply.json()["plan"]) == (202, [{"route": "tell-of-failed-job"}])
    story = relay.ended(reply.json()["event"])
    assert [step.state for step in story.steps.values()] == [State.SUCCEEDED]
    texts = [message.text for message in relay.system.chat.messages]
    assert f"nightly-{model} failed: run {int(model, 16)} of job 77" in texts


def test_one_run_that_ends_once_is_one_event_however_often_it_is_told(relay: Relay, model: str) -> None:
    body = notification(run=int(model, 16), name=f"nightly-{model}")
    first, again = send(relay, body), send(relay, body)
    assert first.json()["event"] == again.json()["event"]
    relay.ended(first.json()["event"])
    texts = [message.text for message in relay.system.chat.messages]
    assert len([text for text in texts if f"nightly-{model}" in text]) == 1


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Basic",
        "Basic " + base64.b64encode(b"databricks:another-password").decode(),
        "Basic " + base64.b64encode(USER.encode()).decode() + " ",
        "Basic " + USER,
        "Bearer " + base64.b64encode(USER.encode()).decode(),
        "Basic \u00fc",
    ],
)
def test_without_the_user_and_password_nobody_is_let_in(authorization: str | None) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    assert not KIND.is_signed(headers, b"{}", [USER.encode()])


def test_a_wrong_password_is_answered_401_and_nothing_is_kept(relay: Relay, model: str) -> None:
    reply = send(relay, notification(run=int(model, 16)), "databricks:a-password-of-somebody")
    assert (reply.status_code, reply.json()) == (401, {"error": "unauthorized"})
    kept = read(notification(run=int(model, 16))).event.id
    assert relay.story(kept) is None


def test_every_secret_that_is_valid_now_lets_in() -> None:
    headers = {"authorization": "basic " + base64.b64encode(USER.encode()).decode()}
    assert KIND.is_signed(headers, b"", [b"databricks:the-password-of-yesterday", USER.encode()])


@pytest.mark.parametrize(
    ("what", "type"), [("start", "job.started"), ("success", "job.succeeded"), ("failure", "job.failed")]
)
def test_a_notification_is_read(what: str, type: str) -> None:
    delivery = read(notification(what))
    event = delivery.event
    assert (event.type, event.model, event.version) == (type, "Nightly", "900")
    assert event.tags == {"job_id": "77", "run_id": "900", "workspace_id": "7405616424934601"}
    assert (event.received, event.timestamp) == (NOW, 1_800_000_000_500)
    assert (delivery.sent, delivery.test) == (None, False)


def test_ids_as_texts_a_new_name_and_another_time_make_no_other_event() -> None:
    as_texts = {
        "event_type": "jobs.on_failure",
        "workspace_id": "7405616424934601",
        "run": {"run_id": "900"},
        "job": {"job_id": "77", "name": "Nightly, renamed"},
    }
    assert read(as_texts, NOW + 60).event.id == read(notification()).event.id


def test_another_run_job_workspace_or_end_is_another_event() -> None:
    others = [
        notification(run=901),
        notification("success"),
        {**notification(), "job": {"job_id": 78, "name": "Nightly"}},
        {**notification(), "workspace_id": 1},
    ]
    assert len({read(body).event.id for body in [notification(), *others]}) == 5


def test_a_job_without_a_name_is_called_by_its_id() -> None:
    assert read({**notification(), "job": {"job_id": 77}}).event.model == "job 77"


def test_what_a_task_tells_and_other_notifications_are_kept_but_start_nothing(relay: Relay, model: str) -> None:
    body = notification(run=int(model, 16), name=f"nightly-{model}")
    task = {**body, "task": {"task_key": "train"}, "run": {"run_id": int(model, 16), "parent_run_id": 900}}
    slow = {**body, "event_type": "jobs.on_duration_warning_threshold_exceeded"}
    for told, type in ((task, "job_task.failed"), (slow, "job.duration_warning_threshold_exceeded")):
        reply = send(relay, told)
        assert (reply.status_code, reply.json()["plan"]) == (202, [])
        story = relay.ended(reply.json()["event"])
        assert (story.event.type, story.steps) == (type, {})
    assert read(task).event.tags["task_key"] == "train"
    assert read(task).event.tags["parent_run_id"] == "900"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"event_type": "MODEL_VERSION_CREATED"}, "no notification of a job"),
        ({"event_type": "jobs.on_Failure"}, "no notification of a job"),
        ({"event_type": None}, "event_type"),
        ({"run": {}}, "run_id"),
        ({"run": {"run_id": ""}}, "run.run_id"),
        ({"job": {"job_id": None}}, "job_id"),
        ({"job": "Nightly"}, "job"),
        ({"run": {"run_id": 1.5}}, "run_id"),
    ],
)
def test_what_is_no_notification_is_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidEvent, match=words):
        read({**notification(), **wrong})


def test_no_json_from_a_user_who_is_let_in_is_answered_400(relay: Relay) -> None:
    assert send(relay, b"{").status_code == 400
