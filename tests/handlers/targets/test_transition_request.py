"""Transition requests: made, approved and rejected once, and only where there is something to be done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from handlers.targets.transition_request import Options, causes
from local.databricks import Databricks
from local.databricks_registry_model import TransitionRequest, Version
from shared.steps import State
from tests.conftest import Relay
from tests.handlers.targets.registries import LOSS_NAMES, LOSSES, agree, commented, heard, listen, states

STAGE, ASKED = "MODEL_VERSION_TRANSITIONED_STAGE", "TRANSITION_REQUEST_CREATED"
ACTIONS = {"ask": "create", "approve": "approve", "reject": "reject"}


@pytest.fixture
def databricks(relay: Relay) -> Iterator[Databricks]:
    yield relay.system.databricks
    relay.system.databricks.faults.clear()


def requested(databricks: Databricks, model: str, stage: str = "Production", **fields: Any) -> Version:
    """A version with an open request to a stage."""
    version = databricks.add_version(model, **fields)
    version.requests.append(TransitionRequest(stage, "data-scientist@example.com", "", databricks.now()))
    return version


def acts(databricks: Databricks, model: str, event: str) -> int:
    return len(databricks.acts_of(model, event))


def test_an_open_request_is_approved(relay: Relay, databricks: Databricks, model: str) -> None:
    name = f"reg-approve-{model}"
    old = databricks.add_version(name, stage="Production")
    version = requested(databricks, name)
    step = commented(relay, name, "by policy", version="2")
    assert (step.state, step.outcome) == (
        State.SUCCEEDED,
        f"{name} version 2: the request for Production was approved",
    )
    assert (old.stage, version.stage, version.requests) == ("Archived", "Production", [])
    [call] = [call for call in databricks.faults.calls("POST", "requests/approve$") if call.body["name"] == name]
    assert call.body["comment"] == "by policy"


def test_a_version_that_is_in_the_stage_needs_no_approval(relay: Relay, databricks: Databricks, model: str) -> None:
    databricks.add_version(f"reg-approve-{model}", stage="Production")
    step = commented(relay, f"reg-approve-{model}")
    assert (step.state, step.outcome) == (State.SUCCEEDED, f"reg-approve-{model} version 1: it is in Production")
    assert not databricks.acts_of(f"reg-approve-{model}")


def test_nothing_is_approved_that_nobody_asked_for(relay: Relay, databricks: Databricks, model: str) -> None:
    version = requested(databricks, f"reg-approve-{model}", "Staging")
    step = commented(relay, f"reg-approve-{model}")
    assert step.state is State.DEAD
    assert step.reason == (f"there is no open request to approve: reg-approve-{model} version 1 to Production")
    assert version.stage == "None"


def test_an_open_request_is_rejected_and_one_that_is_gone_left_alone(
    relay: Relay, databricks: Databricks, model: str
) -> None:
    name = f"reg-reject-{model}"
    version = requested(databricks, name)
    first, second = commented(relay, name), commented(relay, name, "again")
    assert first.outcome == f"{name} version 1: the request for Production was rejected"
    assert second.outcome == f"{name} version 1: no request for Production is open"
    assert (version.stage, version.requests) == ("None", [])
    assert acts(databricks, name, "TRANSITION_REQUEST_REJECTED") == 1


def test_a_stage_is_asked_for_unless_somebody_has_or_it_is_reached(
    relay: Relay, databricks: Databricks, model: str
) -> None:
    name = f"reg-ask-{model}"
    version = databricks.add_version(name)
    first, second = commented(relay, name), commented(relay, name, "again")
    version.requests.clear()
    version.stage = "Production"
    third = commented(relay, name, "and again")
    assert [step.outcome.partition(": ")[2] for step in (first, second, third)] == [
        "Production was asked for",
        "Production is asked for",
        "it is in Production",
    ]
    assert acts(databricks, name, ASKED) == 1


@pytest.mark.parametrize("loss", LOSSES, ids=LOSS_NAMES)
@pytest.mark.parametrize(
    ("route", "event"), [("approve", STAGE), ("reject", "TRANSITION_REQUEST_REJECTED"), ("ask", ASKED)]
)
def test_an_act_whose_reply_was_lost_is_done_once(
    relay: Relay, databricks: Databricks, model: str, route: str, event: str, loss: dict[str, Any]
) -> None:
    name = f"reg-{route}-{model}"
    version = databricks.add_version(name) if route == "ask" else requested(databricks, name)
    databricks.faults.add("POST", f"/transition-requests/{ACTIONS[route]}$", before=False, **loss)
    step = commented(relay, name)
    assert states(step) == [State.READY, State.RUNNING, State.IN_DOUBT, State.SUCCEEDED]
    assert acts(databricks, name, event) == 1
    assert len(version.requests) == (1 if route == "ask" else 0)


@pytest.mark.parametrize("route", ["approve", "ask"])
def test_what_is_not_there_or_not_allowed_ends_the_step(
    relay: Relay, databricks: Databricks, model: str, route: str
) -> None:
    absent = commented(relay, f"reg-{route}-{model}")
    assert (absent.state, absent.reason) == (State.DEAD, f"the registry holds no version 1 of reg-{route}-{model}")
    other = f"reg-approve-{model}-2"
    databricks.add_model(other, level="CAN_EDIT")
    requested(databricks, other)
    refused = commented(relay, other)
    assert refused.state is State.DEAD
    assert "CAN_MANAGE_PRODUCTION_VERSIONS permission is needed" in refused.reason


def test_an_mlflow_server_has_no_requests_and_the_step_says_so(relay: Relay, model: str) -> None:
    step = commented(relay, f"reg-askmlflow-{model}")
    assert step.state is State.DEAD
    assert step.reason == "MLflow knows no transition requests: only a Databricks workspace registry does"


@pytest.mark.parametrize(
    ("route", "type"), [("ask", "transition_request.created"), ("approve", "model_version.stage_changed")]
)
def test_the_event_that_comes_of_it_is_the_one_that_was_foretold(
    relay: Relay, databricks: Databricks, model: str, route: str, type: str
) -> None:
    name = f"reg-{route}-{model}"
    if route == "ask":
        databricks.add_version(name)
    else:
        requested(databricks, name)
    listen(relay, databricks, name)
    commented(relay, name)
    options = {"action": ACTIONS[route], "stage": "Production", "model": name, "version": "1"}
    [caused] = causes(msgspec.convert(options, type=Options))
    assert agree(caused, heard(relay, name, type))


def test_a_rejection_causes_nothing_and_an_archiving_approval_two_things() -> None:
    assert causes(Options(action="reject", stage="Staging")) == []
    both = causes(Options(action="approve", stage="Staging", archive_existing_versions=True))
    assert [(each.version, each.to_stage) for each in both] == [("{version}", "Staging"), ("*", "Archived")]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"action": "approve", "stage": "Live"}, "is no stage"),
        ({"action": "withdraw", "stage": "Staging"}, "withdraw"),
        ({"action": "create", "stage": "Staging", "archive_existing_versions": True}, "goes with approving"),
        ({"action": "approve", "stage": "None", "archive_existing_versions": True}, "goes with approving"),
    ],
)
def test_options_that_make_no_sense_are_refused_at_load(options: dict[str, Any], says: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=says):
        msgspec.convert(options, type=Options)
