"""The stand-in for a workspace's runs, artifacts and storage, also as MLflow's own client sees it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from local.databricks import Databricks
from local.databricks_storage import KINDS
from local.identity import Identity

PAT = "dapi-of-a-test"
FILES = {f"{letter}.txt": letter.encode() for letter in "abcde"} | {"data/empty": b"", "data/bytes": bytes(range(256))}
PYTHON = Path(__file__).parents[2] / ".venv-mlflow" / "bin" / "python"
# what a team's program does with a workspace, in MLflow's own words
CLIENT = """
import sys, mlflow
from pathlib import Path
mlflow.set_tracking_uri("databricks")
mlflow.set_registry_uri("databricks")
client, files = mlflow.MlflowClient(), Path(sys.argv[1])
experiment = client.create_experiment("/Shared/from-the-client")
run = client.create_run(experiment)
client.log_artifacts(run.info.run_id, str(files), "model")
client.create_registered_model("wine")
source = run.info.artifact_uri + "/model"
version = client.create_model_version("wine", source, run.info.run_id, await_creation_for=30)
print(version.status)
mlflow.artifacts.download_artifacts("models:/wine/1", dst_path=sys.argv[2])
"""


@pytest.fixture
def workspace() -> Iterator[Databricks]:
    with Identity() as identity, Databricks(identity) as running:
        running.pats.add(PAT)
        yield running


def call(workspace: Databricks, method: str, api: str, /, **fields: Any) -> requests.Response:
    headers, url = {"Authorization": f"Bearer {PAT}"}, f"{workspace.url}/api/2.0/mlflow/{api}"
    if method == "GET":
        return requests.get(url, params=fields, headers=headers, timeout=5)
    return requests.request(method, url, json=fields, headers=headers, timeout=5)


def new_run(workspace: Databricks) -> str:
    experiment = call(workspace, "POST", "experiments/create", name="/Shared/wine").json()["experiment_id"]
    tags = [{"key": "relay.marker", "value": "m"}]
    made = call(workspace, "POST", "runs/create", experiment_id=experiment, tags=tags)
    return str(made.json()["run"]["info"]["run_id"])


def signed(workspace: Databricks, run: str, path: str, mode: str = "write") -> str:
    reply = call(workspace, "POST", f"artifacts/credentials-for-{mode}", run_id=run, path=[path])
    [credential] = reply.json()["credential_infos"]
    assert credential["type"] == workspace.storage.kind
    return str(credential["signed_uri"])


def test_mlflows_own_client_stores_registers_and_reads_a_version_here(workspace: Databricks, tmp_path: Path) -> None:
    for path, content in FILES.items():
        (tmp_path / "in" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / path).write_bytes(content)
    (tmp_path / "out").mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "DATABRICKS_HOST": workspace.url,
        "DATABRICKS_TOKEN": PAT,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_DISABLE_DATABRICKS_SDK_FOR_RUN_ARTIFACTS": "true",
    }
    command = [str(PYTHON), "-c", CLIENT, str(tmp_path / "in"), str(tmp_path / "out")]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["READY"]
    assert workspace.files_of("wine", "1") == FILES
    assert {path: (tmp_path / "out" / path).read_bytes() for path in FILES} == FILES


def test_a_run_is_found_by_its_tag_and_keeps_what_is_logged(workspace: Databricks) -> None:
    run = new_run(workspace)
    metrics = [{"key": "accuracy", "value": 0.9, "timestamp": 1, "step": 0}]
    call(workspace, "POST", "runs/log-batch", run_id=run, metrics=metrics)
    call(workspace, "POST", "runs/update", run_id=run, status="FINISHED", end_time=7)
    experiment = workspace.experiments["/Shared/wine"]
    query = {"experiment_ids": [experiment], "filter": "tags.`relay.marker`='m'"}
    [found] = call(workspace, "POST", "runs/search", **query).json()["runs"]
    assert (found["info"]["run_id"], found["info"]["status"], found["info"]["end_time"]) == (run, "FINISHED", 7)
    assert call(workspace, "GET", "runs/get", run_id=run).json()["run"] == found
    assert found["data"]["metrics"][0]["value"] == 0.9


@pytest.mark.parametrize(
    ("path", "fields", "code"),
    [
        ("experiments/create", {"name": "Copied models"}, "INVALID_PARAMETER_VALUE"),
        ("runs/create", {"experiment_id": "1"}, "RESOURCE_DOES_NOT_EXIST"),
        ("artifacts/credentials-for-write", {"run_id": "none", "path": ["a"]}, "RESOURCE_DOES_NOT_EXIST"),
    ],
)
def test_what_makes_no_sense_is_refused(workspace: Databricks, path: str, fields: dict[str, Any], code: str) -> None:
    assert call(workspace, "POST", path, **fields).json()["error_code"] == code


def test_a_signed_address_is_for_one_file_one_use_and_some_time_and_takes_no_token(workspace: Databricks) -> None:
    workspace.storage.kind = "AWS_PRESIGNED_URL"
    run = new_run(workspace)
    address = signed(workspace, run, "model/a")
    assert requests.put(address, data=b"a", timeout=5).status_code == 200
    assert requests.get(address, timeout=5).status_code == 403
    assert requests.put(address.replace("model/a", "model/b"), data=b"a", timeout=5).status_code == 403
    reading = signed(workspace, run, "model/a", "read")
    assert requests.get(reading, timeout=5).content == b"a"
    assert requests.get(reading, headers={"Authorization": f"Bearer {PAT}"}, timeout=5).status_code == 400
    workspace.storage.end_signatures()
    ended = requests.get(reading, timeout=5)
    assert (ended.status_code, "<Code>AuthenticationFailed</Code>" in ended.text) == (403, True)


def test_each_kind_of_storage_is_written_in_its_own_way_only(workspace: Databricks) -> None:
    run = new_run(workspace)
    refused = []
    for kind in KINDS[:2]:
        workspace.storage.kind = kind
        refused.append(requests.put(signed(workspace, run, "model/a"), data=b"a", timeout=5).status_code)
    workspace.storage.kind = KINDS[0]
    blocks = f"{signed(workspace, run, 'model/a')}&comp=blocklist"
    unknown = "<BlockList><Uncommitted>YQ==</Uncommitted></BlockList>"
    refused.append(requests.put(blocks, data=unknown, timeout=5).status_code)
    workspace.storage.kind = KINDS[1]
    file = signed(workspace, run, "model/a")
    requests.put(f"{file}&resource=file", timeout=5)
    refused.append(requests.patch(f"{file}&action=append&position=5", data=b"a", timeout=5).status_code)
    assert refused == [400, 400, 400, 400]
    assert workspace.storage.files == {f"{workspace.tracked[run].root}/model/a": b""}


def test_who_may_not_read_the_model_gets_no_address(workspace: Databricks) -> None:
    workspace.add_version("wine")
    workspace.add_files("wine", "1", {"MLmodel": b"x"})
    asked = {"name": "wine", "version": "2", "path": "MLmodel"}
    assert call(workspace, "GET", "model-versions/get-signed-download-uri", **asked).status_code == 404
    listed = call(workspace, "GET", "model-versions/list-artifacts", name="wine", version="1").json()
    assert listed == {"files": [{"path": "MLmodel", "is_dir": False, "file_size": 1}]}
