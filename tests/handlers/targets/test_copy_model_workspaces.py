"""Copies between two workspaces: read with the least right, stored in each cloud's way, waited for, registered once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from local.databricks import Databricks
from local.databricks_storage import KINDS
from local.databricks_wire import denied, error_body
from shared.registries_storage import BLOCK
from shared.steps import State
from tests.conftest import Relay
from tests.handlers.targets.registries import LOSS_NAMES, LOSSES, commented, states

FILES = {
    "MLmodel": b"flavors: {}\n",
    "empty": b"",
    "data/w 1.bin": bytes(range(256)) * 100,
    "data/deep/a": b"a",
    "python_env.yaml": b"b",
    "requirements.txt": b"c",
}
CREATE = "/mlflow/model-versions/create$"


@pytest.fixture
def team(relay: Relay) -> Databricks:
    return relay.system.databricks


@pytest.fixture
def live(relay: Relay) -> Iterator[Databricks]:
    workspace: Databricks = relay.system.databricks_live
    yield workspace
    workspace.registration_seconds, workspace.storage.kind = 0.0, KINDS[0]
    for part in (workspace, workspace.storage, relay.system.databricks.storage):
        part.faults.clear()


def furnished(team: Databricks, model: str, files: dict[str, bytes] = FILES, **fields: Any) -> str:
    """Furnish the team's workspace with a version; who calls may read the model, no more."""
    name = f"reg-dbx-{model}"
    team.add_model(name, level="CAN_READ")
    team.add_version(name, **fields)
    team.add_files(name, "1", files)
    return name


def test_a_version_goes_from_workspace_to_workspace_with_files_metrics_alias_stage_and_where_it_comes_from(
    relay: Relay, team: Databricks, live: Databricks, model: str
) -> None:
    live.registration_seconds = 0.5
    team.runs_of_models[f"run-of-{model}"] = {"accuracy": 0.93}
    name = furnished(team, model, run_id=f"run-of-{model}")
    step = commented(relay, name, "by the board")
    assert (step.state, step.ref) == (State.SUCCEEDED, "1")
    assert states(step) == [State.READY, State.RUNNING, State.WAITING, State.SUCCEEDED]
    assert step.link == f"{live.url}/ml/models/{name}/versions/1"
    assert live.files_of(name, "1") == FILES
    made, run = live.version(name, "1"), live.tracked[live.version(name, "1").run_id]
    assert (made.status, made.stage, live.models[name].aliases) == ("READY", "Production", {"champion": "1"})
    assert made.tags["relay.copied_from"] == f"{team.url}/ml/models/{name}/versions/1"
    assert (made.tags["asked"], made.tags["relay.marker"]) == ("by the board", run.tags["relay.marker"])
    assert (run.metrics, run.status) == ({"accuracy": 0.93}, "FINISHED")
    assert run.experiment == live.experiments["/Shared/Copied models"]
    [created] = live.faults.calls("POST", CREATE)[-1:]
    assert created.body["run_link"] == f"{team.url}/ml/experiments/1/runs/run-of-{model}"
    assert commented(relay, name, "once more").outcome.startswith(f"{name} version 1 had been copied")
    assert list(live.models[name].versions) == ["1"]


@pytest.mark.parametrize("kind", KINDS[1:])
def test_files_are_stored_in_the_way_of_each_cloud(
    relay: Relay, team: Databricks, live: Databricks, model: str, kind: str
) -> None:
    live.storage.kind = kind
    files = {**FILES, "large": bytes(BLOCK + 1)}
    step = commented(relay, furnished(team, model, files))
    assert step.state is State.SUCCEEDED, step.reason
    assert live.files_of(f"reg-dbx-{model}", "1") == files


def test_a_file_of_several_blocks_arrives_whole(relay: Relay, team: Databricks, live: Databricks, model: str) -> None:
    files = {"large": bytes(range(251)) * (BLOCK // 125)}
    assert commented(relay, furnished(team, model, files)).state is State.SUCCEEDED
    assert live.files_of(f"reg-dbx-{model}", "1") == files
    blocks = [call for call in live.storage.faults.calls("PUT", "/large$")[-4:] if call.query["comp"] == "block"]
    assert [len(call.body) for call in blocks] == [BLOCK, BLOCK, len(files["large"]) - 2 * BLOCK]


@pytest.mark.parametrize("loss", LOSSES, ids=LOSS_NAMES)
def test_a_version_whose_registration_was_lost_is_registered_once(
    relay: Relay, team: Databricks, live: Databricks, model: str, loss: dict[str, Any]
) -> None:
    name = furnished(team, model)
    live.faults.add("POST", CREATE, before=False, **loss)
    step = commented(relay, name)
    assert step.state is State.SUCCEEDED
    assert State.IN_DOUBT in states(step)
    assert list(live.models[name].versions) == ["1"]
    assert live.models[name].aliases == {"champion": "1"}


def test_a_signed_address_that_has_ended_is_asked_for_anew(
    relay: Relay, team: Databricks, live: Databricks, model: str
) -> None:
    body = "<Error><Code>AuthenticationFailed</Code><Message>sig=secret</Message></Error>"
    live.storage.faults.add("PUT", "/MLmodel$", status=403, body=body)
    step = commented(relay, furnished(team, model))
    assert states(step) == [State.READY, State.RUNNING, State.RETRY, State.RUNNING, State.SUCCEEDED]
    assert live.files_of(f"reg-dbx-{model}", "1") == FILES
    assert "secret" not in str(step.history)


def test_a_storage_that_lets_nobody_in_ends_the_step_without_telling_the_address(
    relay: Relay, team: Databricks, live: Databricks, model: str
) -> None:
    body = "<Error><Code>AuthorizationFailure</Code><Message>sig=secret</Message></Error>"
    team.storage.faults.add("GET", "/MLmodel$", status=403, body=body)
    step = commented(relay, furnished(team, model))
    assert step.state is State.DEAD
    assert "reading the artifact MLmodel AuthorizationFailure" in step.reason
    assert "secret" not in step.reason


def test_a_registry_that_can_not_take_the_files_ends_the_step(
    relay: Relay, team: Databricks, live: Databricks, model: str
) -> None:
    live.next_registration, live.registration_seconds = "FAILED_REGISTRATION", 0.3
    name = furnished(team, model)
    step = commented(relay, name)
    assert step.state is State.DEAD
    assert step.reason == f"live could not take the files of {name} version 1: FAILED_REGISTRATION"
    assert step.link == f"{live.url}/ml/models/{name}/versions/1"


def test_who_may_not_read_the_run_of_a_model_copies_without_its_metrics(
    relay: Relay, team: Databricks, live: Databricks, model: str
) -> None:
    name = furnished(team, model, run_id=f"run-of-{model}")
    refused = denied("You may not read this experiment.")
    team.faults.add("GET", "/mlflow/runs/get$", status=403, body=error_body(refused.code, refused.message))
    assert commented(relay, name).state is State.SUCCEEDED
    assert live.tracked[live.version(name, "1").run_id].metrics == {}


def test_a_model_with_many_versions_is_searched_to_the_end(
    relay: Relay, team: Databricks, live: Databricks, model: str
) -> None:
    name = furnished(team, model)
    origin = f"{team.url}/ml/models/{name}/versions/1"
    live.add_version(name, tags={"relay.copied_from": origin})
    for _ in range(120):
        live.add_version(name)
    step = commented(relay, name)
    assert (step.ref, "had been copied" in step.outcome) == ("1", True)
    assert len(live.models[name].versions) == 121
