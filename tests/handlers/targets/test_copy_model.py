"""Copies between two real MLflow servers: one version whatever is lost on the way, with its files and where it is from.

The servers stand behind gates that can lose what passes. A comment in the workspace starts a copy.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from handlers.targets.copy_model import Options, causes
from local.azure_ml_container import PYTHON
from local.databricks import Databricks
from shared.registries import Registry, Version, metrics, read_alias, read_version
from shared.registries_artifacts import files
from shared.registries_mlflow_files import MlflowFolder
from shared.steps import State
from tests.conftest import Relay
from tests.handlers.targets.registries import LOSS_NAMES, LOSSES, agree, commented, heard, states
from tests.senders.mlflow_server import MlflowServer

FILES = {"MLmodel": b"flavors: {}\n", "empty": b"", "data/wäights 1.bin": bytes(range(256)) * 1000}
UPLOAD, CREATE = "/mlflow-artifacts/artifacts/", "/mlflow/model-versions/create$"
TRAIN = """
import sys, mlflow
from sklearn.linear_model import LogisticRegression
mlflow.set_tracking_uri(sys.argv[1])
rows = [[float(n), float(n * n % 7)] for n in range(20)]
with mlflow.start_run():
    model = LogisticRegression().fit(rows, [n > 9 for n in range(20)])
    mlflow.sklearn.log_model(model, name="model", registered_model_name=sys.argv[2])
"""
PREDICT = """
import sys, json, mlflow
rows = [[float(n), float(n % 5)] for n in range(0, 40, 3)]
for server in sys.argv[2:]:
    mlflow.set_tracking_uri(server)
    model = mlflow.sklearn.load_model(f"models:/{sys.argv[1]}/1")
    print(json.dumps(model.predict_proba(rows).tolist()))
"""


@pytest.fixture
def servers(
    relay: Relay, mlflow_server: MlflowServer, mlflow_servers: list[MlflowServer]
) -> Iterator[list[MlflowServer]]:
    yield [server.start() for server in mlflow_servers]
    for server in mlflow_servers:
        server.faults.clear()


@pytest.fixture
def team(servers: list[MlflowServer]) -> MlflowServer:
    return servers[0]


@pytest.fixture
def production(servers: list[MlflowServer]) -> MlflowServer:
    return servers[1]


def registered(server: MlflowServer, model: str, contents: dict[str, bytes] = FILES) -> None:
    """Register a version of a model, with a run that has a metric and these files."""
    server.call("registered-models/create", {"name": model})
    run = server.call("runs/create", {"experiment_id": "0"})["run"]["info"]
    for key, value in {"accuracy": 0.91, "undefined": "NaN"}.items():
        server.call("runs/log-metric", {"run_id": run["run_id"], "key": key, "value": value, "timestamp": 1})
    for path, content in contents.items():
        server.put(f"{run['artifact_uri'].partition(':/')[2]}/model/{path}", content)
    version = {"name": model, "source": f"{run['artifact_uri']}/model", "run_id": run["run_id"]}
    server.call("model-versions/create", version)


def of(server: MlflowServer) -> Registry:
    return Registry("mlflow", server.url)


def copy(server: MlflowServer, model: str) -> Version:
    found = read_version(of(server), model, "1")
    assert found
    assert read_version(of(server), model, "2") is None
    return found


def sizes(server: MlflowServer, version: Version) -> dict[str, int]:
    return files(MlflowFolder(of(server), version.source.partition(":/")[2]), 1e9)


def test_a_version_is_copied_with_files_metrics_alias_stage_and_where_it_comes_from(
    relay: Relay, team: MlflowServer, production: MlflowServer, model: str
) -> None:
    name = f"reg-copy-{model} (it's)"
    registered(team, name)
    step = commented(relay, name, "by the board")
    assert (step.state, step.ref) == (State.SUCCEEDED, "1")
    assert step.outcome == f"{name} version 1 was copied to production: {name} version 1"
    assert step.link.startswith(f"{production.url}/#/models/reg-copy-{model}%20")
    found = copy(production, name)
    assert (found.stage, read_alias(of(production), name, "champion")) == ("Staging", "1")
    assert found.tags["asked"] == "by the board"
    assert found.tags["relay.copied_from"] == f"{team.url}/#/models/reg-copy-{model}%20%28it%27s%29/versions/1"
    assert len(found.tags["relay.marker"]) == 32
    assert metrics(of(production), found.run_id) == {"accuracy": 0.91}
    folder = production.folder / "files" / found.source.partition(":/")[2]
    assert {path: (folder / path).read_bytes() for path in FILES} == FILES


def run(program: str, *arguments: str) -> list[str]:
    """Run a program of a team that uses MLflow; return the lines that it prints."""
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "TQDM_DISABLE": "1"}
    done = subprocess.run(
        [str(PYTHON), "-c", program, *arguments],
        env=environment,
        cwd=tempfile.gettempdir(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if line.startswith("[")]


@pytest.mark.long
def test_the_copy_of_a_trained_model_predicts_what_the_original_does(
    relay: Relay, team: MlflowServer, production: MlflowServer, model: str
) -> None:
    name = f"reg-copy-{model}"
    run(TRAIN, team.url, name)
    step = commented(relay, name)
    assert step.state is State.SUCCEEDED, step.reason
    original, copied = run(PREDICT, name, team.url, production.url)
    assert original == copied
    assert len({probability for [probability, _] in json.loads(original)}) == 14


def test_a_version_goes_from_a_workspace_to_a_server(
    relay: Relay, team: MlflowServer, production: MlflowServer, model: str
) -> None:
    databricks: Databricks = relay.system.databricks
    name = f"reg-out-{model}"
    databricks.add_version(name)
    databricks.add_files(name, "1", FILES)
    step = commented(relay, name)
    assert step.outcome == f"{name} version 1 was copied to production: {name} version 1"
    found = copy(production, name)
    assert found.tags["relay.copied_from"] == f"{databricks.url}/ml/models/{name}/versions/1"
    folder = production.folder / "files" / found.source.partition(":/")[2]
    assert {path: (folder / path).read_bytes() for path in FILES} == FILES


def test_a_version_goes_from_a_server_to_a_workspace(relay: Relay, team: MlflowServer, model: str) -> None:
    live: Databricks = relay.system.databricks_live
    name = f"reg-in-{model}"
    registered(team, name)
    step = commented(relay, name)
    assert (step.state, step.ref) == (State.SUCCEEDED, "1")
    assert live.files_of(name, "1") == FILES
    made = live.version(name, "1")
    assert live.tracked[made.run_id].experiment == live.experiments["/Shared/ml/copies"]
    assert live.tracked[made.run_id].metrics == {"accuracy": 0.91}
    assert made.tags["relay.copied_from"] == f"{team.url}/#/models/{name}/versions/1"


def test_a_version_that_was_copied_is_not_copied_again(
    relay: Relay, team: MlflowServer, production: MlflowServer, model: str
) -> None:
    registered(team, f"reg-copy-{model}")
    commented(relay, f"reg-copy-{model}")
    stored = len(production.faults.calls("PUT"))
    step = commented(relay, f"reg-copy-{model}", "again")
    assert step.outcome == f"reg-copy-{model} version 1 had been copied to production: reg-copy-{model} version 1"
    assert copy(production, f"reg-copy-{model}")
    assert len(production.faults.calls("PUT")) == stored


@pytest.mark.parametrize(
    ("before", "loss"), [(False, {"drop": True}), (True, {"status": 500})], ids=["after it was made", "before"]
)
def test_a_version_whose_registration_was_lost_is_registered_once(
    relay: Relay, team: MlflowServer, production: MlflowServer, model: str, before: bool, loss: dict[str, Any]
) -> None:
    name = f"reg-copy-{model}"
    registered(team, name)
    production.faults.add("POST", CREATE, before=before, **loss)
    step = commented(relay, name)
    assert step.state is State.SUCCEEDED
    assert State.IN_DOUBT in states(step)
    assert sizes(production, copy(production, name)) == {path: len(content) for path, content in FILES.items()}
    assert read_alias(of(production), name, "champion") == "1"


@pytest.mark.parametrize("path", ["/mlflow/runs/create$", "/alias$"])
def test_whatever_else_is_lost_there_is_one_version_and_one_run(
    relay: Relay, team: MlflowServer, production: MlflowServer, model: str, path: str
) -> None:
    name = f"reg-copy-{model}"
    registered(team, name)
    production.faults.add("POST", path, before=False, drop=True)
    step = commented(relay, name)
    assert step.state is State.SUCCEEDED
    found = copy(production, name)
    named = {"filter": "name = 'Copied models'", "max_results": 1}
    [experiment] = production.call("experiments/search", named)["experiments"]
    query = {
        "experiment_ids": [experiment["experiment_id"]],
        "filter": f"tags.`relay.marker`='{found.tags['relay.marker']}'",
    }
    [run] = production.call("runs/search", query)["runs"]
    assert (run["info"]["run_id"], run["info"]["status"]) == (found.run_id, "FINISHED")
    assert read_alias(of(production), name, "champion") == "1"


@pytest.mark.parametrize("loss", LOSSES, ids=LOSS_NAMES)
def test_a_file_that_was_lost_is_sent_again_and_those_that_are_there_are_not(
    relay: Relay, team: MlflowServer, production: MlflowServer, model: str, loss: dict[str, Any]
) -> None:
    registered(team, f"reg-copy-{model}")
    production.faults.add("PUT", f"{UPLOAD}.*empty$", **loss)
    step = commented(relay, f"reg-copy-{model}")
    assert states(step) == [State.READY, State.RUNNING, State.RETRY, State.RUNNING, State.SUCCEEDED]
    found = copy(production, f"reg-copy-{model}")
    stored = [call.path for call in production.faults.calls("PUT", found.run_id)]
    assert sorted(path.rpartition("/")[2] for path in stored) == ["MLmodel", "empty", "empty", "wäights 1.bin"]


def test_a_file_that_can_not_be_read_now_is_read_later(
    relay: Relay, team: MlflowServer, production: MlflowServer, model: str
) -> None:
    registered(team, f"reg-copy-{model}")
    team.faults.add("GET", f"{UPLOAD}.*MLmodel$", before=False, status=200, body="less")
    step = commented(relay, f"reg-copy-{model}")
    assert states(step) == [State.READY, State.RUNNING, State.RETRY, State.RUNNING, State.SUCCEEDED]
    assert sizes(production, copy(production, f"reg-copy-{model}"))["MLmodel"] == len(FILES["MLmodel"])


def test_a_version_that_is_too_large_is_not_begun(
    relay: Relay, team: MlflowServer, production: MlflowServer, model: str
) -> None:
    registered(team, f"reg-small-{model}")
    step = commented(relay, f"reg-small-{model}")
    assert step.state is State.DEAD
    assert "the artifacts are more than 1e-06 MB" in step.reason
    assert "raise `max_megabytes` if that is the limit, or name a Databricks job" in step.reason
    assert read_version(of(production), f"reg-small-{model}", "1") is None


def test_a_version_that_is_not_there_ends_the_step(relay: Relay, team: MlflowServer, model: str) -> None:
    step = commented(relay, f"reg-copy-{model}")
    assert step.state is State.DEAD
    assert step.reason == f"the registry holds no version 1 of reg-copy-{model}"


def test_a_version_without_files_ends_the_step(relay: Relay, team: MlflowServer, model: str) -> None:
    registered(team, f"reg-copy-{model}", {})
    step = commented(relay, f"reg-copy-{model}")
    assert step.state is State.DEAD
    assert step.reason == f"reg-copy-{model} version 1 has no artifacts to copy"


def test_artifacts_that_the_server_does_not_serve_itself_end_the_step(
    relay: Relay, team: MlflowServer, model: str
) -> None:
    team.call("registered-models/create", {"name": f"reg-copy-{model}"})
    team.call("model-versions/create", {"name": f"reg-copy-{model}", "source": "s3://models/wine"})
    step = commented(relay, f"reg-copy-{model}")
    assert step.state is State.DEAD
    assert step.reason.startswith("the artifacts are at s3:, and of an MLflow server only those are copied here")


@pytest.mark.parametrize("path", ["../secrets", "a\\b", ".."])
def test_a_server_that_lists_files_outside_the_folder_is_not_believed(
    relay: Relay, team: MlflowServer, production: MlflowServer, model: str, path: str
) -> None:
    registered(team, f"reg-copy-{model}")
    listed = {"files": [{"path": path, "is_dir": False, "file_size": 1}]}
    team.faults.add("GET", f"{UPLOAD[:-1]}$", before=False, status=200, body=listed)
    step = commented(relay, f"reg-copy-{model}")
    assert step.state is State.DEAD
    assert "lists an artifact that no folder holds" in step.reason
    assert read_version(of(production), f"reg-copy-{model}", "1") is None


def test_a_refused_permission_ends_the_step(
    relay: Relay, team: MlflowServer, production: MlflowServer, model: str
) -> None:
    registered(team, f"reg-copy-{model}")
    denied = {"error_code": "PERMISSION_DENIED", "message": "You may not write here."}
    production.faults.add("PUT", UPLOAD, status=403, body=denied)
    step = commented(relay, f"reg-copy-{model}")
    assert step.state is State.DEAD
    assert "You may not write here." in step.reason


def test_a_tag_in_a_real_registry_ends_in_a_copy_in_another_and_its_events_are_those_foretold(
    relay: Relay, team: MlflowServer, production: MlflowServer, model: str
) -> None:
    name, secret = f"team-{model}", relay.system.secret("models-webhook")
    registered(team, name)
    team.listen(relay.url("team"), secret, ["MODEL_VERSION_TAG.SET", "MODEL_VERSION_TAG.DELETED"])
    team.listen(relay.url("team"), secret, ["MODEL_VERSION_ALIAS.CREATED"])
    production.listen(relay.url("production"), secret, ["MODEL_VERSION.CREATED"])
    team.call("model-versions/set-tag", {"name": name, "version": "1", "key": "doubtful", "value": "x"})
    team.call("model-versions/set-tag", {"name": name, "version": "1", "key": "promote", "value": "yes"})
    created = heard(relay, f"{name}-live", "model_version.created")
    [caused] = causes(Options(to="production", name=f"{name}-live"))
    assert agree(caused, created)
    original, made = read_version(of(team), name, "1"), copy(production, f"{name}-live")
    assert original
    assert (original.aliases, original.stage) == (("champion",), "Staging")
    assert original.tags == {"promote": "yes", "promoted": "by team"}
    assert created.tags == made.tags
    assert heard(relay, name, "model_version_alias.created").alias == "champion"
    assert heard(relay, name, "model_version_tag.deleted").tags == {"doubtful": ""}


def test_what_is_caused_is_told_as_the_file_has_it() -> None:
    version, alias, stage = causes(Options(to="production", alias="champion", stage="Staging"))
    assert (stage.type, stage.version, stage.to_stage) == ("model_version.stage_changed", "*", "Staging")
    assert (version.type, version.registry, version.model) == ("model_version.created", "production", "{model}")
    assert (alias.type, alias.version, alias.alias) == ("model_version_alias.created", "*", "champion")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "to"),
        ({"to": "production", "stage": "Live"}, "is no stage"),
        ({"to": "production", "tags": {"relay.marker": "x"}}, "set by the relay itself"),
        ({"to": "production", "max_megabytes": 0}, "max_megabytes"),
    ],
)
def test_options_that_make_no_sense_are_refused_at_load(options: dict[str, Any], says: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=says):
        msgspec.convert(options, type=Options)
