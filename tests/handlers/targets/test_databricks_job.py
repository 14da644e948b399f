"""Databricks jobs: one run per step whatever is lost on the way, followed to its result where the route waits."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from handlers.targets.databricks_job import Options, connect
from local import sender
from local.databricks import Databricks
from local.databricks_jobs import JobRun
from local.faults import Call
from local.system import WORKSPACE
from shared.attempts import Access
from shared.registries import Registry
from shared.steps import State, Step
from shared.templates import fill
from tests.conftest import Relay, until

RUN_NOW = r"/api/2.2/jobs/run-now$"
ONE_RUN = r"/api/2.2/jobs/runs/get$"
LOSSES: list[dict[str, Any]] = [{"status": 500}, {"drop": True}, {"status": 200, "body": {}}]
PAT = "dapi-of-the-session"
JOBS_USER = "databricks:a-password-of-the-jobs"


@pytest.fixture(autouse=True)
def databricks(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> Iterator[Databricks]:
    workspace = relay.system.databricks
    if 7 not in workspace.jobs:
        workspace.add_job(7, "Train", parameters=["model_name", "model_version"])
        workspace.add_job(8, "Anything")
        workspace.pats.add(PAT)
        relay.system.vault.set("databricks-pat", PAT)
    monkeypatch.setattr(workspace, "run_seconds", 0.3)
    yield workspace
    workspace.faults.clear()


def runs(databricks: Databricks, model: str) -> list[JobRun]:
    return [run for run in databricks.runs_of(7) if run.parameters["model_name"].endswith(model)]


def step_of(relay: Relay, event: str, route: str) -> Step:
    return relay.ended(event).steps[f"{route}.databricks_job"]


def started(databricks: Databricks, key: str) -> list[Call]:
    calls = databricks.faults.calls("POST", RUN_NOW)
    return [call for call in calls if call.body["idempotency_token"] == key]


def test_a_run_is_started_with_its_parameters_and_followed_to_its_end(
    relay: Relay, databricks: Databricks, model: str
) -> None:
    story = relay.ended(relay.stage_change(f"retrain-{model}", "4"))
    [run] = runs(databricks, model)
    assert run.parameters == {"model_name": f"retrain-{model}", "model_version": "4"}
    step = story.steps["retrain.databricks_job"]
    assert (step.state, step.outcome) == (State.SUCCEEDED, f"run {run.id} succeeded")
    assert (step.ref, step.link) == (str(run.id), f"{databricks.url}/jobs/7/runs/{run.id}")
    texts = [message.text for message in relay.system.chat.messages]
    assert f"retrain-{model} is trained: {step.link}" in texts
    assert len(started(databricks, step.key)) == 1


def test_runs_whose_replies_were_lost_are_not_started_again(relay: Relay, databricks: Databricks, model: str) -> None:
    before = len(databricks.runs_of(8))
    for loss in LOSSES:
        databricks.faults.add("POST", RUN_NOW, before=False, **loss)
    events = [relay.stage_change(f"pat-job-{model}", version) for version in "123"]
    steps = [step_of(relay, event, "job-by-pat") for event in events]
    assert [step.state for step in steps] == [State.SUCCEEDED] * 3
    assert {step.ref for step in steps} == {str(run.id) for run in databricks.runs_of(8)[before:]}
    assert [[call.committed for call in started(databricks, step.key)] for step in steps] == [[True, True]] * 3


def test_what_was_refused_for_now_is_started_later(relay: Relay, databricks: Databricks, model: str) -> None:
    databricks.faults.add("POST", RUN_NOW, status=429, headers={"Retry-After": "1"})
    step = step_of(relay, relay.stage_change(f"pat-job-{model}"), "job-by-pat")
    assert (step.state, step.attempts) == (State.SUCCEEDED, 2)
    first, second = started(databricks, step.key)
    assert (first.committed, second.committed) == (False, True)
    assert second.time - first.time >= 1


def test_a_run_that_fails_ends_the_step_with_its_own_words(relay: Relay, databricks: Databricks, model: str) -> None:
    databricks.next_result = ("FAILED", "Task train failed: no such table")
    step = step_of(relay, relay.stage_change(f"retrain-{model}"), "retrain")
    [run] = runs(databricks, model)
    assert step.state is State.DEAD
    assert step.reason == f"run {run.id} ended FAILED: Task train failed: no such table"
    assert step.link == f"{databricks.url}/jobs/7/runs/{run.id}"
    texts = [message.text for message in relay.system.chat.messages]
    assert f"retrain-{model}: retrain failed at databricks_job: {step.reason} {step.link}" in texts


def test_trouble_while_asking_how_a_run_stands_is_waited_out(relay: Relay, databricks: Databricks, model: str) -> None:
    databricks.faults.add("GET", ONE_RUN, status=503)
    step = step_of(relay, relay.stage_change(f"retrain-{model}"), "retrain")
    assert (step.state, len(runs(databricks, model))) == (State.SUCCEEDED, 1)


def test_a_run_is_not_waited_for_longer_than_the_route_says(relay: Relay, databricks: Databricks, model: str) -> None:
    databricks.run_seconds = 600.0
    step = step_of(relay, relay.stage_change(f"hasty-job-{model}"), "job-impatiently")
    assert step.state is State.DEAD
    assert "is still RUNNING after 0.0001 h" in step.reason


def test_a_job_that_does_not_exist_ends_the_step_with_the_services_reason(relay: Relay, model: str) -> None:
    step = step_of(relay, relay.stage_change(f"no-job-{model}"), "job-of-nothing")
    assert step.state is State.DEAD
    assert step.reason == "Databricks answered 400: INVALID_PARAMETER_VALUE: Job 999 does not exist."


def test_a_value_that_could_be_a_command_starts_nothing(relay: Relay, databricks: Databricks, model: str) -> None:
    step = step_of(relay, relay.stage_change(f"retrain-$(rm) {model}"), "retrain")
    assert step.state is State.DEAD
    assert "'$'" in step.reason
    assert runs(databricks, model) == []


def test_a_personal_access_token_is_used_and_a_revoked_one_told(
    relay: Relay, databricks: Databricks, model: str
) -> None:
    event = relay.stage_change(f"pat-job-{model}")
    step = step_of(relay, event, "job-by-pat")
    assert databricks.job_runs[int(step.ref)].user == "pat-owner@example.com"
    databricks.pats.remove(PAT)
    try:
        step = step_of(relay, relay.stage_change(f"pat-job-{model}", "2"), "job-by-pat")
    finally:
        databricks.pats.add(PAT)
    assert step.state is State.DEAD
    assert "did not accept the credentials (403)" in step.reason


def message_of(databricks: Databricks, step: Step) -> Any:
    run = databricks.job_runs[int(step.ref)]
    assert run.parameters == {}
    return json.loads(run.notebook_parameters["event_message"])


def test_the_event_goes_along_as_databricks_itself_would_send_it(
    relay: Relay, databricks: Databricks, model: str
) -> None:
    name = f"told-job-{model}"
    body = sender.databricks_stage_change(name, "8", "Production")
    event = str(relay.databricks(body).json()["event"])
    message = message_of(databricks, step_of(relay, event, "job-with-event"))
    assert message == {key: value for key, value in body.items() if key != "webhook_id"}


@pytest.mark.parametrize("comment", ['", "model_name": "other', "two\nlines {model} {{x}} \\", "größer € 🍷 \u2028"])
def test_no_text_of_an_event_breaks_out_of_its_field(
    relay: Relay, databricks: Databricks, model: str, comment: str
) -> None:
    event = relay.comment(f"told-job-{model}", comment)
    message = message_of(databricks, step_of(relay, event, "job-with-event"))
    assert (message["event"], message["model_name"]) == ("COMMENT_CREATED", f"told-job-{model}")
    assert message["comment"] == comment
    assert "to_stage" not in message


def test_a_transition_starts_a_run_and_its_end_comes_back_as_an_event(
    relay: Relay, databricks: Databricks, model: str
) -> None:
    name = f"retrain-{model}"
    databricks.add_version(name)
    hook = databricks.add_webhook(
        relay.url("wine-dev"), relay.system.secret("wine-dev-webhook"), ["MODEL_VERSION_TRANSITIONED_STAGE"], model=name
    )
    databricks.notify(7, relay.url("jobs"), "databricks", "a-password-of-the-jobs", on=["success"])
    try:
        databricks.transition(name, "1", "Production")
        told = until(lambda: [sent for sent in databricks.deliveries if sent.body.get("webhook_id") == hook.id])
        assert step_of(relay, json.loads(told[0].reply)["event"], "retrain").state is State.SUCCEEDED
        [run] = runs(databricks, model)
        ended = until(lambda: [sent for sent in databricks.deliveries if sent.body.get("run") == {"run_id": run.id}])
    finally:
        del databricks.webhooks[hook.id]
        databricks.jobs[7].destinations.clear()
    event = relay.ended(json.loads(ended[0].reply)["event"]).event
    assert (event.type, event.model, event.version) == ("job.succeeded", "Train", str(run.id))


def test_a_job_is_started_by_the_end_of_another_one_but_never_by_its_own(
    relay: Relay, databricks: Databricks, model: str
) -> None:
    states = {}
    for job in (8, 9):
        body = sender.databricks_job_notification("success", int(model, 16), job, f"own-job-{model}")
        reply = sender.send_databricks_job(relay.url("jobs"), JOBS_USER, body)
        states[job] = step_of(relay, reply.json()["event"], "job-after-job")
    assert (states[8].state, states[8].reason) == (
        State.DEAD,
        "job 8 itself has told of this: it would be started for ever",
    )
    assert started(databricks, states[8].key) == []
    assert states[9].state is State.SUCCEEDED
    assert len(started(databricks, states[9].key)) == 1


def test_a_model_may_bear_a_tag_that_is_called_as_the_number_of_a_job() -> None:
    filled = fill(Options(workspace=WORKSPACE, job=7).event_fields, defaultdict(lambda: "7"), json.dumps)
    options = Options(workspace=WORKSPACE, job=7, event_fields=filled)
    assert json.loads(options.event_fields)["told_by_job"] == "7"
    access = Access(lambda name: name, lambda name: Registry("databricks", name))
    assert connect(options, access).url == WORKSPACE


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"workspace": "http://adb-1.example.com"}, "has to be an https:// URL"),
        ({"job": 0}, ">= 1"),
        ({"event_message": True, "parameters": {"event_message": "x"}}, "among `parameters` already"),
        ({"event_fields": "{model}"}, "leave it out"),
        ({"event_fields": "{}"}, "leave it out"),
        ({"wait_hours": 0}, "> 0"),
    ],
)
def test_options_that_make_no_sense_are_refused_at_load(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises((msgspec.ValidationError, ValueError), match=words):
        msgspec.convert({"workspace": WORKSPACE, "job": 7, **wrong}, type=Options)
