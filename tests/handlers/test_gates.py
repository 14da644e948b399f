"""Gates: the registry is asked just before a step acts, and who can't be asked lets nothing pass."""

from __future__ import annotations

import time
from typing import Any

import pytest

from local import sender
from local.databricks_registry_model import Version
from shared.steps import State, Step
from tests.conftest import Relay, until


def told(
    relay: Relay, model: str, to_stage: str = "Production", event: str = "MODEL_VERSION_TRANSITIONED_STAGE"
) -> str:
    """Report a stage change, or a request for one, of version 1 by the source `governed`; return the event's id."""
    body = {**sender.databricks_stage_change(model, "1", to_stage), "event": event}
    reply = relay.databricks(body, "governed")
    assert reply.status_code == 202, reply.text
    return str(reply.json()["event"])


def messages(relay: Relay, model: str) -> list[str]:
    return [message.text for message in relay.system.chat.messages if model in message.text]


def the_step(relay: Relay, event: str, name: str) -> Step:
    return relay.ended(event).steps[name]


def passing(relay: Relay, model: str, **changes: Any) -> Version:
    """A version that meets all that the route `gated` requires, but for the changes."""
    run = f"run-of-{model}"
    relay.system.databricks.runs_of_models[run] = changes.pop("metrics", {"accuracy": 0.93, "loss": 0.1})
    given = {"stage": "Production", "tags": {"approved": "true"}, "run_id": run, **changes}
    return relay.system.databricks.add_version(model, **given)


def test_a_step_acts_while_what_its_event_told_is_still_so(relay: Relay, model: str) -> None:
    relay.system.databricks.add_version(f"still-{model}", stage="Production")
    event = told(relay, f"still-{model}")
    assert the_step(relay, event, "still.slack").state is State.SUCCEEDED
    assert len(messages(relay, model)) == 1


def test_a_route_ends_superseded_when_the_version_has_moved_on(relay: Relay, model: str) -> None:
    relay.system.databricks.add_version(f"still-{model}", stage="Archived")
    step = the_step(relay, told(relay, f"still-{model}"), "still.slack")
    assert step.state is State.SUPERSEDED
    assert step.reason == f"still-{model} 1 is in stage 'Archived' now, not 'Production'"
    assert not messages(relay, model)


def test_a_route_ends_superseded_when_the_tag_was_changed_since(relay: Relay, model: str) -> None:
    relay.system.databricks.add_version(f"still-{model}", tags={"approved": "false"})
    body = {
        "event": "MODEL_VERSION_TAG_SET",
        "event_timestamp": int(time.time() * 1000),
        "model_name": f"still-{model}",
        "version": "1",
        "tags": [{"key": "approved", "value": "true"}],
        "text": "a tag was set",
    }
    event = str(relay.databricks(body, "governed").json()["event"])
    step = the_step(relay, event, "still.slack")
    assert (step.state, step.reason) == (State.SUPERSEDED, f"tag 'approved' of still-{model} 1 is 'false' now")


def test_a_route_ends_superseded_when_the_version_is_gone(relay: Relay, model: str) -> None:
    step = the_step(relay, told(relay, f"still-{model}"), "still.slack")
    assert step.state is State.SUPERSEDED
    assert "is not in the registry any more" in step.reason


def test_a_step_that_waits_for_its_retry_is_superseded_when_its_time_has_passed(relay: Relay, model: str) -> None:
    version = relay.system.databricks.add_version(f"still-{model}", stage="Production")
    relay.system.chat.faults.add("POST", "^/slack/", status=429, headers={"Retry-After": "2"}, body="slow down")
    event = told(relay, f"still-{model}")
    until(lambda: relay.row(event, "still.slack").get("state") == "retry")
    version.stage = "Staging"
    step = the_step(relay, event, "still.slack")
    assert step.state is State.SUPERSEDED
    assert [moment.state for moment in step.history][:4] == [
        State.READY,
        State.RUNNING,
        State.RETRY,
        State.SUPERSEDED,
    ]
    assert not messages(relay, model)


def test_what_the_route_itself_has_moved_does_not_supersede_its_next_step(relay: Relay, model: str) -> None:
    version = relay.system.databricks.add_version(f"moving-{model}", stage="Staging")
    story = relay.ended(told(relay, f"moving-{model}", "Staging"))
    assert [step.state for step in story.steps.values()] == [State.SUCCEEDED, State.SUCCEEDED]
    assert version.stage == "Production"
    assert messages(relay, model) == [f"moving-{model} was moved"]


def test_what_meets_all_requirements_passes(relay: Relay, model: str) -> None:
    passing(relay, f"gated-{model}")
    assert the_step(relay, told(relay, f"gated-{model}"), "gated.slack").state is State.SUCCEEDED
    assert messages(relay, model) == [f"gated-{model} may pass"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"stage": "None"}, "stage is 'None', not 'Staging' or 'Production'"),
        ({"tags": {}}, "tag 'approved' is missing"),
        ({"tags": {"approved": "no"}}, "tag 'approved' is 'no', not 'true'"),
        ({"metrics": {"accuracy": 0.89, "loss": 0.1}}, "metric 'accuracy' is 0.89, not >= 0.9"),
        ({"metrics": {"accuracy": 0.9, "loss": 0.5}}, "metric 'loss' is 0.5, not < 0.5"),
        ({"metrics": {"loss": 0.1}}, "metric 'accuracy' >= 0.9, and its run has none"),
        ({"run_id": ""}, "metrics, and the version names no run"),
        ({"user": "somebody@elsewhere.com"}, "requester is somebody@elsewhere.com, not '*@example.com'"),
    ],
)
def test_a_requirement_that_does_not_hold_ends_the_route_with_its_reason(
    relay: Relay, model: str, changes: dict[str, Any], reason: str
) -> None:
    passing(relay, f"gated-{model}", **changes)
    story = relay.ended(told(relay, f"gated-{model}"))
    step = story.steps["gated.slack"]
    assert (step.state, step.reason) == (State.DEAD, f"the route requires more: {reason}")
    assert step.claimed is None
    assert messages(relay, model) == [
        f"gated-{model} may not pass: {step.reason}".replace(">", "&gt;").replace("<", "&lt;")
    ]


def test_the_requester_of_a_transition_is_who_opened_the_request(relay: Relay, model: str) -> None:
    version = passing(relay, f"gated-{model}", stage="Staging", user="registrar@example.com")
    from local.databricks_registry_model import TransitionRequest

    version.requests.append(TransitionRequest("Production", "somebody@elsewhere.com", "", 1))
    event = told(relay, f"gated-{model}", event="TRANSITION_REQUEST_CREATED")
    step = the_step(relay, event, "gated.slack")
    assert step.state is State.DEAD
    assert "requester is somebody@elsewhere.com" in step.reason


def test_a_registry_that_can_not_be_asked_lets_nothing_pass_until_it_can(relay: Relay, model: str) -> None:
    passing(relay, f"gated-{model}")
    relay.system.databricks.faults.add("GET", "model-versions/get", times=2, status=503)
    event = told(relay, f"gated-{model}")
    step = the_step(relay, event, "gated.slack")
    assert step.state is State.SUCCEEDED
    assert [moment.state for moment in step.history][:3] == [State.READY, State.RETRY, State.RUNNING]
    assert step.attempts == 3
    assert messages(relay, model) == [f"gated-{model} may pass"]


def test_a_registry_that_refuses_us_ends_the_route(relay: Relay, model: str) -> None:
    passing(relay, f"gated-{model}")
    relay.system.databricks.faults.add("GET", "model-versions/get", status=403, body={"message": "no right to read"})
    step = the_step(relay, told(relay, f"gated-{model}"), "gated.slack")
    assert step.state is State.DEAD
    assert "did not accept the credentials" in step.reason
