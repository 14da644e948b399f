"""The checker on findings of its own: what counts as another start, and what as a step back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from local.databricks_jobs import Job, JobRun
from local.faults import Call
from soak import table
from soak.crash import Soak
from soak.history import History
from soak.rollouts import Rollouts
from soak.sender import Sender
from soak.starts import of_jobs

WORKSPACE = "/subscriptions/s/resourceGroups/models/providers/Microsoft.MachineLearningServices/workspaces/soak"
ENDPOINT = f"{WORKSPACE}/onlineEndpoints/wine"
TOLD = {"deploy-old": 1000, "deploy-new": 2000}


def call(method: str, path: str, body: Any, *, committed: bool = True) -> Call:
    return Call(0.0, method, path, {}, {}, body, 200, committed)


def put(name: str, model: str, **more: str) -> Call:
    body = {"tags": more, "properties": {"model": f"{WORKSPACE}/models/{model}/versions/1"}}
    return call("PUT", f"{ENDPOINT}/deployments/{name}", body)


def shift(name: str) -> Call:
    return call("PUT", ENDPOINT, {"properties": {"traffic": {"other": 0, name: 100}}})


def run_now(model: str, *, committed: bool = True) -> Call:
    body = {"idempotency_token": "t", "job_parameters": {"model_name": model}}
    return call("POST", "/api/2.2/jobs/run-now", body, committed=committed)


def run(number: int, model: str) -> JobRun:
    return JobRun(number, Job(7, "Retrain", None), 0.0, 0.0, "SUCCESS", "", "app", {"model_name": model})


def test_a_put_that_changes_nothing_is_no_other_start() -> None:
    found = Rollouts([put("blue", "deploy-old"), put("blue", "deploy-old")], TOLD)
    assert [len(found.starts["deploy-old"]), len(set(found.starts["deploy-old"]))] == [2, 1]
    assert not found.set_back


def test_a_put_that_changes_something_and_one_under_another_name_are_other_starts() -> None:
    changed = Rollouts([put("blue", "deploy-old"), put("blue", "deploy-old", marker="other")], TOLD)
    elsewhere = Rollouts([put("blue", "deploy-old"), put("green", "deploy-old")], TOLD)
    assert len(set(changed.starts["deploy-old"])) == len(set(elsewhere.starts["deploy-old"])) == 2


def test_a_model_that_is_put_again_over_one_that_came_late_is_no_other_start() -> None:
    found = Rollouts([put("blue", "deploy-new"), put("blue", "deploy-old"), put("blue", "deploy-new")], TOLD)
    assert [len(found.starts["deploy-new"]), len(set(found.starts["deploy-new"]))] == [2, 1]
    assert len(found.set_back) == 1


def test_an_older_model_over_a_newer_one_is_a_step_back() -> None:
    forward = Rollouts([put("blue", "deploy-old"), put("blue", "deploy-new")], TOLD)
    back = Rollouts([put("blue", "deploy-new"), put("blue", "deploy-old")], TOLD)
    assert not forward.set_back
    assert back.set_back == ["deploy-old over deploy-new, which is newer, at wine/blue"]


def test_traffic_that_goes_back_to_an_older_model_is_a_step_back() -> None:
    both = [put("blue", "deploy-old"), put("green", "deploy-new")]
    forward = Rollouts([*both, shift("blue"), shift("green")], TOLD)
    back = Rollouts([*both, shift("green"), shift("blue")], TOLD)
    assert not forward.set_back
    assert [forward.served("wine"), back.served("wine")] == ["deploy-new", "deploy-old"]
    assert back.set_back == ["deploy-old over deploy-new, which is newer, in the traffic of wine"]


def test_a_put_that_was_refused_changes_nothing() -> None:
    refused = put("blue", "deploy-old")
    refused.committed = False
    assert not Rollouts([put("blue", "deploy-new"), refused], TOLD).set_back


def test_a_call_that_found_its_run_already_there_is_no_other_start() -> None:
    calls = [run_now("job-1"), run_now("job-1"), run_now("job-1", committed=False)]
    assert of_jobs([run(5, "job-1")], calls) == {"job-1": ["run 5", "run 5"]}


def test_two_runs_of_one_model_are_two_starts() -> None:
    assert of_jobs([run(5, "job-1"), run(6, "job-1")], [run_now("job-1")] * 2) == {"job-1": ["run 5", "run 6"]}


def test_the_table_has_each_target_with_its_protection_and_each_strategy_with_its_figures(tmp_path: Path) -> None:
    full, lacking = Soak(strategy="full"), Soak(strategy="no-token")
    for soak in (full, lacking):
        soak.sender = Sender([], "", 1)
        soak.sender.accepted = {"e": "job-1"}
        soak.history = History(started=["job-1"], guarded=["job-1"])
    lacking.history = History(started=["job-1"], repeated=["job-1"] * 2, lost=["run-2"])
    lines = {line.partition("  ")[0]: line.split() for line in table.of([full, lacking]).splitlines()}
    assert lines["databricks_job"][1:7] == ["0", "to", "1", "(1)", "2", "to"]
    assert "idempotency_token" in lines["databricks_job"]
    assert lines["lost"] == ["lost", "0", "1"]
    table.write([full, lacking], tmp_path / "figures.json")
    written = json.loads((tmp_path / "figures.json").read_text())
    assert [each["targets"]["databricks_job"]["extra"] for each in written] == [0, 2]
