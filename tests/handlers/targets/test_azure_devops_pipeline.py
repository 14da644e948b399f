"""Pipeline runs: started once, found again when the reply was lost, followed to their result where the route waits."""

from __future__ import annotations

import time
from typing import Any

import pytest

from local.azure_devops_pipelines import Run
from local.faults import Call
from local.system import ORGANIZATION, PROJECT
from shared.steps import State, Step
from tests.conftest import Relay, until

RUNS = r"/_apis/pipelines/\d+/runs$"
ONE_RUN = r"/_apis/pipelines/\d+/runs/\d+$"
NAME = "azure_devops_pipeline"
LOSSES: list[dict[str, Any]] = [{"status": 500}, {"drop": True}, {"status": 200, "body": {}}]
LOSS_NAMES = ["500", "dropped", "an empty object"]


def runs(relay: Relay, model: str) -> list[Run]:
    return [run for run in relay.system.devops.runs.values() if model in f"{run.parameters} {run.variables}"]


def creations(relay: Relay, model: str) -> list[Call]:
    return [call for call in relay.system.devops.faults.calls("POST", RUNS) if model in str(call.body)]


def checks(relay: Relay, run: Run) -> list[Call]:
    return relay.system.devops.faults.calls("GET", rf"/runs/{run.id}$")


def messages(relay: Relay, model: str) -> list[str]:
    return [message.text for message in relay.system.chat.messages if model in message.text]


def states(step: Step) -> list[State]:
    """The states in their order, each one's repetitions left out."""
    found = [moment.state for moment in step.history]
    return [state for index, state in enumerate(found) if index == 0 or found[index - 1] is not state]


def state_of(relay: Relay, event: str, step: str) -> State | None:
    story = relay.story(event)
    return story.steps[step].state if story and step in story.steps else None


def test_a_stage_change_starts_one_run_with_its_parameters_and_a_link(relay: Relay, model: str) -> None:
    step = relay.ended(relay.stage_change(f"run-{model}", "3")).steps[f"run.{NAME}"]
    assert step.state is State.SUCCEEDED
    [run] = runs(relay, model)
    assert step.ref == str(run.id)
    assert step.link == f"{relay.system.devops.url}/ml-governance/ML%20Governance%20V2/_build/results?buildId={run.id}"
    assert run.parameters == {"model_name": f"run-{model}", "model_version": "3", "relay_marker": ""}
    assert run.ref == "refs/heads/main"
    assert run.variables == {}


def test_a_run_gets_its_variables_and_its_branch(relay: Relay, model: str) -> None:
    relay.system.devops.add_pipeline(ORGANIZATION, PROJECT, 7, variables=["MODEL", "VERSION"])
    step = relay.ended(relay.stage_change(f"variables-{model}", "3")).steps[f"run-with-variables.{NAME}"]
    assert step.state is State.SUCCEEDED
    [run] = runs(relay, model)
    assert run.ref == "refs/heads/develop"
    assert {name: each["value"] for name, each in run.variables.items()} == {
        "MODEL": f"variables-{model}",
        "VERSION": "3",
    }


def test_a_run_with_variables_whose_reply_was_lost_is_found(relay: Relay, model: str) -> None:
    relay.system.devops.add_pipeline(ORGANIZATION, PROJECT, 7, variables=["MODEL", "VERSION"])
    relay.system.devops.faults.add("POST", RUNS, before=False, status=500)
    step = relay.ended(relay.stage_change(f"variables-{model}")).steps[f"run-with-variables.{NAME}"]
    assert step.state is State.SUCCEEDED
    assert len(runs(relay, model)) == 1


@pytest.mark.parametrize("loss", LOSSES, ids=LOSS_NAMES)
@pytest.mark.parametrize("route", ["run", "run-marked"])
def test_a_run_whose_reply_was_lost_is_found_and_not_started_again(
    relay: Relay, model: str, route: str, loss: dict[str, Any]
) -> None:
    relay.system.devops.faults.add("POST", RUNS, before=False, **loss)
    event = relay.stage_change(f"{route.removeprefix('run-')}-{model}")
    step = relay.ended(event).steps[f"{route}.{NAME}"]
    assert step.state is State.SUCCEEDED
    assert states(step) == [State.READY, State.RUNNING, State.IN_DOUBT, State.SUCCEEDED]
    [run] = runs(relay, model)
    assert step.ref == str(run.id)
    assert (len(run.parameters["relay_marker"]) == 32) == (route == "run-marked")


def test_a_run_that_was_not_made_is_looked_for_twice_and_then_started(relay: Relay, model: str) -> None:
    relay.system.devops.faults.add("POST", RUNS, status=503)
    step = relay.ended(relay.stage_change(f"run-{model}")).steps[f"run.{NAME}"]
    assert states(step) == [State.READY, State.RUNNING, State.IN_DOUBT, State.RUNNING, State.SUCCEEDED]
    assert len(creations(relay, model)) == 2
    assert len(runs(relay, model)) == 1


@pytest.mark.parametrize("route", ["run", "run-marked"])
def test_the_run_of_an_earlier_event_is_not_taken_for_the_one_that_was_not_made(
    relay: Relay, model: str, route: str
) -> None:
    name = f"{route.removeprefix('run-')}-{model}"
    first = relay.ended(relay.stage_change(name)).steps[f"{route}.{NAME}"]
    time.sleep(0.002)  # the sender's clock counts milliseconds
    relay.system.devops.faults.add("POST", RUNS, status=503)
    second = relay.ended(relay.stage_change(name)).steps[f"{route}.{NAME}"]
    assert second.state is State.SUCCEEDED
    assert second.ref != first.ref
    assert len(runs(relay, model)) == 2


def test_an_unforeseen_answer_to_the_look_for_a_run_is_told_and_the_step_goes_on(relay: Relay, model: str) -> None:
    relay.system.devops.faults.add("POST", RUNS, before=False, status=500)
    relay.system.devops.faults.add("GET", RUNS, status=200, body={"count": 1, "value": [{"id": 1}]})
    step = relay.ended(relay.stage_change(f"run-{model}"), 25).steps[f"run.{NAME}"]
    assert step.state is State.SUCCEEDED
    assert len(runs(relay, model)) == 1


def test_a_parameter_that_the_pipeline_does_not_declare_ends_the_step_with_the_services_own_words(
    relay: Relay, model: str
) -> None:
    step = relay.ended(relay.stage_change(f"misspelt-{model}")).steps[f"run-misspelt.{NAME}"]
    assert step.state is State.DEAD
    assert "400" in step.reason
    assert "Unexpected parameter 'modelname'" in step.reason
    assert step.attempts == 1


@pytest.mark.parametrize("name", ["; rm -rf /", "$(x)", "a`b", "${{ x }}"])
def test_a_hostile_model_name_never_reaches_the_pipeline(relay: Relay, model: str, name: str) -> None:
    step = relay.ended(relay.stage_change(f"run-{model}{name}")).steps[f"run.{NAME}"]
    assert step.state is State.DEAD
    assert "where it may not stand" in step.reason
    assert not creations(relay, model)


def test_the_next_step_waits_for_the_runs_success_and_no_worker_waits_with_it(
    relay: Relay, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay.system.devops, "run_seconds", 3.0)
    event = relay.stage_change(f"wait-{model}")
    until(lambda: state_of(relay, event, f"run-and-wait.{NAME}") is State.WAITING)
    story = relay.story(event)
    assert story
    step = story.steps[f"run-and-wait.{NAME}"]
    assert "is under way" in step.outcome
    assert "buildId=" in step.link
    assert list(story.steps) == [step.id]
    assert not messages(relay, model)
    ended = relay.ended(event).steps
    [run] = runs(relay, model)
    assert run.ref == "refs/heads/main"
    step, message = ended[f"run-and-wait.{NAME}"], ended["run-and-wait.slack"]
    assert (step.state, step.outcome) == (State.SUCCEEDED, f"run {run.id} succeeded")
    assert message.state is State.SUCCEEDED
    assert message.created.timestamp() >= run.finish
    assert messages(relay, model) == [f"wait-{model} is in QA: {step.link}"]


@pytest.mark.parametrize("result", ["failed", "canceled"])
def test_a_run_that_does_not_succeed_ends_the_route_with_a_link_to_it(
    relay: Relay, model: str, result: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay.system.devops, "next_result", result)
    steps = relay.ended(relay.stage_change(f"wait-{model}")).steps
    step = steps[f"run-and-wait.{NAME}"]
    [run] = runs(relay, model)
    assert step.state is State.DEAD
    assert step.reason == f"run {run.id} ended {result}"
    assert step.link.endswith(f"buildId={run.id}")
    assert set(steps) == {step.id, "run-and-wait.on_failure.slack"}
    assert messages(relay, model) == [f"wait-{model}: run-and-wait failed at {NAME}: {step.reason} {step.link}"]


def test_a_run_that_takes_longer_than_the_route_waits_ends_the_step(
    relay: Relay, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay.system.devops, "run_seconds", 600.0)
    step = relay.ended(relay.stage_change(f"impatient-{model}")).steps[f"run-impatiently.{NAME}"]
    assert step.state is State.DEAD
    assert "is still inProgress after 0.0001 h" in step.reason
    assert "buildId=" in step.link


def test_a_run_that_waits_is_found_after_its_reply_was_lost_and_followed(relay: Relay, model: str) -> None:
    relay.system.devops.faults.add("POST", RUNS, before=False, drop=True)
    steps = relay.ended(relay.stage_change(f"wait-{model}")).steps
    step = steps[f"run-and-wait.{NAME}"]
    assert states(step) == [State.READY, State.RUNNING, State.IN_DOUBT, State.WAITING, State.SUCCEEDED]
    assert len(runs(relay, model)) == 1
    assert len(messages(relay, model)) == 1


def test_a_check_that_fails_is_made_again_and_starts_nothing(relay: Relay, model: str) -> None:
    relay.system.devops.faults.add("GET", ONE_RUN, drop=True)
    step = relay.ended(relay.stage_change(f"wait-{model}")).steps[f"run-and-wait.{NAME}"]
    assert step.state is State.SUCCEEDED
    assert states(step) == [State.READY, State.RUNNING, State.WAITING, State.SUCCEEDED]
    assert len(creations(relay, model)) == 1


def test_a_check_comes_back_when_the_service_said_and_not_before(
    relay: Relay, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Azure DevOps asks for patience by Retry-After on a 200 too, before it begins to refuse."""
    monkeypatch.setattr(relay.system.devops, "run_seconds", 600.0)
    for status in (None, 429):
        relay.system.devops.faults.add("GET", ONE_RUN, before=False, headers={"Retry-After": "3"}, status=status)
    event = relay.stage_change(f"wait-{model}")
    until(lambda: runs(relay, model))
    [run] = runs(relay, model)
    first, second, third = until(lambda: checks(relay, run)[:3] if len(checks(relay, run)) > 2 else None)
    assert second.time - first.time >= 3
    assert third.time - second.time >= 3
    run.seconds = 0.0
    assert relay.ended(event).steps[f"run-and-wait.{NAME}"].state is State.SUCCEEDED
