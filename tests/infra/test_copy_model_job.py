"""The task of a job that copies model versions, run as a process of its own: between two real MLflow servers, between
two workspaces, and for the running app."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.azure_ml_container import PYTHON
from local.databricks import Databricks
from local.databricks_jobs import JobRun
from shared.registries import Registry, metrics, read_version
from shared.steps import State, Step
from tests.conftest import Relay, until
from tests.handlers.targets.registries import commented, states
from tests.senders.mlflow_server import MlflowServer

TASK = Path(__file__).parents[2] / "infra" / "databricks" / "copy_model_job.py"
FILES = {"MLmodel": b"flavors: {}\n", "data/weights.bin": bytes(range(256)) * 1000}
JOB = 61
PAT = "dapi-of-the-copying-job"


def run_task(*arguments: str, python: str = str(PYTHON), **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {"PATH": os.environ["PATH"], "MLFLOW_DISABLE_TELEMETRY": "true", "TQDM_DISABLE": "1"}
    command = [python, str(TASK), *arguments]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            command, env={**kept, **environment}, cwd=folder, capture_output=True, text=True, timeout=120
        )
        assert os.listdir(folder) == []  # MLflow leaves a database where it runs if it is not told where else
    return done


def parameters(source: str, destination: str, name: str, /, **others: str) -> list[str]:
    tags = {"relay.copied_from": f"{source}/of/{name}", "relay.marker": "ab" * 16, "asked": "by {{nobody}} it's"}
    encoded = base64.urlsafe_b64encode(json.dumps(tags).encode()).decode()
    given = {"source": source, "destination": destination, "model": name, "version": "1", "name": name, "tags": encoded}
    return [part for key, value in {**given, **others}.items() for part in (f"--{key}", value)]


def registered(server: MlflowServer, name: str) -> None:
    server.call("registered-models/create", {"name": name})
    run = server.call("runs/create", {"experiment_id": "0"})["run"]["info"]
    server.call("runs/log-metric", {"run_id": run["run_id"], "key": "accuracy", "value": 0.9, "timestamp": 1})
    for path, content in FILES.items():
        server.put(f"{run['artifact_uri'].partition(':/')[2]}/model/{path}", content)
    source = f"{run['artifact_uri']}/model"
    server.call("model-versions/create", {"name": name, "source": source, "run_id": run["run_id"]})


def test_a_version_goes_from_server_to_server_once(
    mlflow_server: MlflowServer, mlflow_servers: list[MlflowServer], model: str
) -> None:
    team, production = mlflow_server, mlflow_servers[1].start()
    name = f"job-copy {model} (it's)"
    registered(team, name)
    given = parameters(team.url, production.url, name, experiment=f"copies {model}")
    given += ["--registry", team.url, "--registry", f"{production.url}/", "--token", f"{production.url}=TOKEN"]
    tasks = [run_task(*given, TOKEN="user:password") for _ in range(2)]
    assert [task.returncode for task in tasks] == [0, 0], tasks[0].stderr
    assert f"{name} version 1 was copied to {name} version 1" in tasks[0].stderr
    assert f"it is there: {name} version 1" in tasks[1].stderr
    there = Registry("mlflow", production.url)
    made = read_version(there, name, "1")
    assert made is not None
    assert read_version(there, name, "2") is None
    assert (made.tags["asked"], made.tags["relay.marker"]) == ("by {{nobody}} it's", "ab" * 16)
    assert metrics(there, made.run_id) == {"accuracy": 0.9}
    folder = production.folder / "files" / made.source.partition(":/")[2]
    assert {path: (folder / path).read_bytes() for path in FILES} == FILES
    [experiment] = production.call("experiments/search", {"filter": f"name = 'copies {model}'", "max_results": 2})[
        "experiments"
    ]
    runs = production.call("runs/search", {"experiment_ids": [experiment["experiment_id"]]})["runs"]
    assert [run["info"]["run_id"] for run in runs] == [made.run_id]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"destination": "https://elsewhere.example.com"}, "this job does not go to https://elsewhere.example.com"),
        ({"tags": "e30="}, "--tags has to be the parameter of the relay"),
        ({"token": "https://a.example.com"}, "--token has to be ADDRESS=SCOPE/KEY or ADDRESS=VARIABLE"),
        ({"token": "https://c.example.com=PATH"}, "there is none of https://c.example.com"),
        ({"token": "https://a.example.com=NOWHERE"}, "the environment variable NOWHERE is missing or empty"),
        ({"token": "https://a.example.com=scope/key"}, "secret scope/key can't be read"),
    ],
    ids=["destination", "tags", "no place", "no registry", "no variable", "no secret"],
)
def test_parameters_that_make_no_sense_are_named(change: dict[str, str], says: str) -> None:
    addresses = ["https://a.example.com", "https://b.example.com"]
    given = parameters(addresses[0], addresses[1], "wine", **change)
    task = run_task(*given, "--registry", addresses[0], "--registry", addresses[1], python=sys.executable)
    assert (task.returncode, says in task.stderr) == (2, True), task.stderr


class Cluster:
    """What runs the task of the job in the workspace: once for each run that is started, in its own process."""

    def __init__(self, team: Databricks, live: Databricks) -> None:
        self.team, self.live = team, live
        self.known = {run.id for run in team.runs_of(JOB)}
        self.tasks: list[subprocess.CompletedProcess[str]] = []

    def work_on(self, run: JobRun) -> None:
        """Run the task with the run's parameters, and end the run as the task has ended."""
        given = [part for key, value in run.parameters.items() for part in (f"--{key}", value)]
        # both are "another workspace" to a process that is in none: it can be in one at a time
        registries = [
            "--registry",
            f"{self.team.url}=databricks://team",
            "--registry",
            f"{self.live.url}=databricks://live",
        ]
        home = Path(os.environ["AZURE_DEVOPS_CACHE_DIR"])
        profiles = [("team", self.team), ("live", self.live)]
        text = "".join(f"[{name}]\nhost = {each.url}\ntoken = {PAT}\n" for name, each in profiles)
        (home / ".databrickscfg").write_text(text)
        self.tasks.append(
            run_task(*given, *registries, HOME=str(home), MLFLOW_DISABLE_DATABRICKS_SDK_FOR_RUN_ARTIFACTS="true")
        )
        run.end = "SUCCESS" if self.tasks[-1].returncode == 0 else "FAILED"
        run.message = self.tasks[-1].stderr[-300:]
        run.seconds = self.team.clock() - run.created

    def work(self) -> None:
        """Wait for the next run, and work on it."""
        [run] = until(lambda: [run for run in self.team.runs_of(JOB) if run.id not in self.known])
        self.work_on(run)


@pytest.fixture
def cluster(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    team, live = relay.system.databricks, relay.system.databricks_live
    names = ("source", "destination", "model", "version", "name", "experiment", "tags")
    if JOB not in team.jobs:
        team.add_job(JOB, "Copy a model", parameters=names)
    monkeypatch.setattr(team, "run_seconds", 3600.0)
    for each in (team, live):
        each.pats.add(PAT)
    yield Cluster(team, live)
    team.faults.clear()


def copied_by_job(relay: Relay, cluster: Cluster, name: str) -> Step:
    worker = threading.Thread(target=cluster.work)
    worker.start()
    body = {"event": "COMMENT_CREATED", "event_timestamp": int(time.time() * 1000), "comment": "by {{secrets/a/b}}"}
    reply = relay.databricks({**body, "model_name": name, "version": "1"}, "governed")
    [step] = relay.ended(reply.json()["event"], 120).steps.values()
    worker.join()
    return step


def test_what_is_too_large_for_the_relay_a_job_copies_and_the_step_ends_with_its_version(
    relay: Relay, cluster: Cluster, model: str
) -> None:
    team, live, name = cluster.team, cluster.live, f"reg-large-{model}"
    team.add_version(name)
    team.add_files(name, "1", FILES)
    team.faults.add("POST", "/jobs/run-now$", before=False, drop=True)
    step = copied_by_job(relay, cluster, name)
    assert step.state is State.SUCCEEDED, step.reason
    assert step.outcome == f"{name} version 1 was copied by a job to live: {name} version 1"
    assert (step.ref, step.link) == ("1", f"{live.url}/ml/models/{name}/versions/1")
    assert states(step)[-2:] == [State.WAITING, State.SUCCEEDED]
    assert len([run for run in team.runs_of(JOB) if run.id not in cluster.known]) == 1
    assert live.files_of(name, "1") == FILES
    made = live.version(name, "1")
    assert made.tags["relay.copied_from"] == f"{team.url}/ml/models/{name}/versions/1"
    assert made.tags["asked"] == "by {{secrets/a/b}}"
    assert live.models[name].aliases == {"champion": "1"}


def test_a_job_that_fails_ends_the_step_with_its_message(
    relay: Relay, cluster: Cluster, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"reg-large-{model}"
    cluster.team.add_version(name)
    cluster.team.add_files(name, "1", FILES)
    monkeypatch.setattr(cluster.team, "run_seconds", 0.2)
    cluster.team.next_result = ("FAILED", "The cluster could not be started.")
    step = commented(relay, name)
    assert step.state is State.DEAD
    assert step.reason.endswith("ended FAILED: The cluster could not be started.")
    assert "/jobs/61/runs/" in step.link


def test_a_job_that_leaves_no_version_behind_has_not_copied(
    relay: Relay, cluster: Cluster, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"reg-large-{model}"
    cluster.team.add_version(name)
    cluster.team.add_files(name, "1", FILES)
    monkeypatch.setattr(cluster.team, "run_seconds", 0.2)
    step = commented(relay, name)
    assert step.state is State.DEAD
    assert f"succeeded, but no version of {name} bears the tag relay.copied_from" in step.reason


def test_a_name_that_is_more_than_text_goes_into_no_job(relay: Relay, cluster: Cluster, model: str) -> None:
    name = f"reg-large-{model}-{{{{secrets}}}}"
    cluster.team.add_version(name)
    cluster.team.add_files(name, "1", FILES)
    step = commented(relay, name)
    assert step.state is State.DEAD
    assert "holds '{' where it may not stand" in step.reason
