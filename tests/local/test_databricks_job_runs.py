"""The stand-in's jobs: started once per token, followed to their end, told of by notifications."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from aiohttp import web

from local.databricks import Databricks
from local.databricks_jobs import WORKSPACE_ID
from local.identity import Identity
from local.serving import StandIn
from tests.conftest import until

HEADERS = {"Authorization": "Bearer dapi-of-a-test"}


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def databricks() -> Iterator[Databricks]:
    with Identity() as identity, Databricks(identity) as workspace:
        workspace.clock = Clock()
        workspace.pats.add("dapi-of-a-test")
        workspace.add_job(7, "Retrain wine", parameters=["model_name"])
        yield workspace


def run_now(databricks: Databricks, **fields: Any) -> requests.Response:
    url = f"{databricks.url}/api/2.2/jobs/run-now"
    return requests.post(url, json={"job_id": 7, **fields}, headers=HEADERS, timeout=5)


def run_of(databricks: Databricks, run_id: int) -> Any:
    url = f"{databricks.url}/api/2.2/jobs/runs/get"
    return requests.get(url, params={"run_id": run_id}, headers=HEADERS, timeout=5).json()


def test_the_same_token_gives_the_same_run(databricks: Databricks) -> None:
    first, again, other = (run_now(databricks, idempotency_token=token).json()["run_id"] for token in ("a", "a", "b"))
    assert first == again != other
    assert [run.id for run in databricks.runs_of(7)] == [first, other]


@pytest.mark.parametrize(
    "wrong",
    [
        {"job_id": 8},
        {"idempotency_token": "x" * 65},
        {"job_parameters": {"colour": "red"}},
        {"job_parameters": {"model_name": 7}},
        {"notebook_params": ["a"]},
    ],
)
def test_what_makes_no_sense_starts_nothing(databricks: Databricks, wrong: dict[str, Any]) -> None:
    reply = run_now(databricks, **wrong)
    assert (reply.status_code, reply.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert databricks.runs_of(7) == []


def test_a_run_goes_on_for_its_time_and_ends_as_it_was_set_to(databricks: Databricks) -> None:
    databricks.run_seconds, databricks.next_result = 60.0, ("FAILED", "Task train failed")
    failing = run_now(databricks, job_parameters={"model_name": "wine"}).json()["run_id"]
    succeeding = run_now(databricks, notebook_params={"any": "thing"}).json()["run_id"]
    assert run_of(databricks, failing)["state"]["life_cycle_state"] == "RUNNING"
    assert "result_state" not in run_of(databricks, failing)["state"]
    assert isinstance(databricks.clock, Clock)
    databricks.clock.now += 60
    ended = run_of(databricks, failing)
    assert ended["state"] == {
        "life_cycle_state": "TERMINATED",
        "result_state": "FAILED",
        "state_message": "Task train failed",
    }
    assert ended["job_parameters"] == [{"name": "model_name", "value": "wine"}]
    assert requests.get(ended["run_page_url"], timeout=5).status_code == 200
    assert run_of(databricks, succeeding)["state"]["result_state"] == "SUCCESS"


def test_a_run_that_is_cancelled_ends_at_once(databricks: Databricks) -> None:
    databricks.run_seconds = 60.0
    run_id = run_now(databricks).json()["run_id"]
    url = f"{databricks.url}/api/2.2/jobs/runs/cancel"
    assert requests.post(url, json={"run_id": run_id}, headers=HEADERS, timeout=5).status_code == 200
    assert run_of(databricks, run_id)["state"]["result_state"] == "CANCELED"


class Receiver(StandIn):
    def __init__(self) -> None:
        super().__init__()
        self.got: list[tuple[str, dict[str, Any]]] = []

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/", self._take)]

    async def _take(self, request: web.Request) -> web.Response:
        self.got.append((request.headers.get("Authorization", ""), json.loads(await request.read())))
        return web.Response(status=202)


@pytest.mark.parametrize(("result", "event"), [("SUCCESS", "jobs.on_success"), ("TIMEDOUT", "jobs.on_failure")])
def test_notifications_tell_of_start_and_end_with_user_and_password(
    databricks: Databricks, result: str, event: str
) -> None:
    with Receiver() as receiver:
        databricks.notify(7, receiver.url, "databricks", "a-password", on=("start", "success", "failure"))
        databricks.run_seconds, databricks.next_result = 60.0, (result, "")
        run = databricks.start_job(7)
        until(lambda: receiver.got)
        assert isinstance(databricks.clock, Clock)
        databricks.clock.now += 60
        until(lambda: len(receiver.got) == 2)
    assert {given for given, _ in receiver.got} == {"Basic " + base64.b64encode(b"databricks:a-password").decode()}
    started, ended = (body for _, body in receiver.got)
    assert started == {
        "event_type": "jobs.on_start",
        "workspace_id": WORKSPACE_ID,
        "run": {"run_id": run.id},
        "job": {"job_id": 7, "name": "Retrain wine"},
    }
    assert ended == {**started, "event_type": event}
