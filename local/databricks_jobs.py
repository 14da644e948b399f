"""Jobs of a workspace: started by run-now, read by runs/get, told of by notifications.

Confirmed by databricks-sdk 0.162: paths, fields, states, the idempotency token and its 64 characters. By documentation:
the bodies of notifications ("Add notifications on a job") and that a destination may have a user and a password.
Assumed: 400 for a job or run that does not exist, and for a job parameter that the job does not declare; that the
numbers in a notification are JSON numbers; `run_page_url`'s path.
"""

from __future__ import annotations

import base64
import html
import json
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from local.databricks_wire import DatabricksBase, fields_of, invalid, text_of
from local.faults import Faults
from local.identity import Identity

WORKSPACE_ID = 7405616424934601
MAX_TOKEN = 64


@dataclass(frozen=True)
class Destination:
    """Where a job's notifications go: `on` has some of start, success, failure."""

    url: str
    user: str
    password: str
    on: frozenset[str]


@dataclass
class Job:
    """A job. `parameters` are the job parameters it declares; None takes any."""

    id: int
    name: str
    parameters: set[str] | None
    destinations: list[Destination] = field(default_factory=list)


@dataclass
class JobRun:
    """A run as it is stored; its state follows from the time."""

    id: int
    job: Job
    created: float
    seconds: float
    end: str
    message: str
    user: str
    parameters: dict[str, str] = field(default_factory=dict)
    notebook_parameters: dict[str, str] = field(default_factory=dict)

    @property
    def finish(self) -> float:
        """When it ends or ended."""
        return self.created + self.seconds


class Jobs(DatabricksBase):
    """Jobs and their runs. `job_runs` are all runs that were really started, by their id."""

    def __init__(self, identity: Identity, faults: Faults | None = None) -> None:
        super().__init__(identity, faults)
        self.jobs: dict[int, Job] = {}
        self.job_runs: dict[int, JobRun] = {}
        self.run_seconds = 0.0
        """How long a run takes that is started from now on."""
        self.next_result = ("SUCCESS", "")
        """How the next run to start will end, with its state message; the one after it succeeds again."""
        self._tokens: dict[str, int] = {}

    def add_job(self, number: int, name: str = "Retrain", *, parameters: Iterable[str] | None = None) -> Job:
        """Make a job known."""
        self.jobs[number] = Job(number, name, None if parameters is None else set(parameters))
        return self.jobs[number]

    def notify(
        self, number: int, url: str, user: str, password: str, on: Iterable[str] = ("success", "failure")
    ) -> None:
        """Let the notifications of a job go to a destination too; `on` is some of start, success, failure."""
        self.jobs[number].destinations.append(Destination(url, user, password, frozenset(on)))

    def start_job(self, number: int, user: str = "scheduler", **parameters: dict[str, str]) -> JobRun:
        """Start a run, as its schedule or a person does."""
        end, message = self.next_result
        self.next_result = ("SUCCESS", "")
        job, now = self.jobs[number], self.clock()
        run = JobRun(1000 + len(self.job_runs), job, now, self.run_seconds, end, message, user, **parameters)
        self.job_runs[run.id] = run
        if job.destinations:
            threading.Thread(target=self._tell_of, args=(run,), daemon=True).start()
        return run

    def runs_of(self, number: int) -> list[JobRun]:
        """The runs of a job, oldest first."""
        return [run for run in list(self.job_runs.values()) if run.job.id == number]

    def job_routes(self) -> list[web.RouteDef]:
        """Start, read, list, cancel; and the page behind a run's link."""
        return [
            web.get(r"/api/2.{minor:[12]}/jobs/get", self._get_job),
            web.post(r"/api/2.{minor:[12]}/jobs/run-now", self._run_now),
            web.get(r"/api/2.{minor:[12]}/jobs/runs/get", self._get_run),
            web.get(r"/api/2.{minor:[12]}/jobs/runs/list", self._list_runs),
            web.post(r"/api/2.{minor:[12]}/jobs/runs/cancel", self._cancel_run),
            web.get(r"/jobs/{job:\d+}/runs/{run:\d+}", self._run_page),
        ]

    async def _run_now(self, request: web.Request) -> web.Response:
        fields = await fields_of(request)
        job, token = self._job_of(fields), str(fields.get("idempotency_token") or "")
        if len(token) > MAX_TOKEN:
            raise invalid(f"idempotency_token may have {MAX_TOKEN} characters at most.")
        given = {
            "parameters": _texts(fields, "job_parameters"),
            "notebook_parameters": _texts(fields, "notebook_params"),
        }
        unknown = given["parameters"].keys() - job.parameters if job.parameters is not None else set()
        if unknown:
            raise invalid(f"Job {job.id} does not declare the parameters {', '.join(sorted(unknown))}.")
        run_id = self._tokens.get(token) if token else None
        if run_id is None:
            run_id = self.start_job(job.id, self.user_of(request), **given).id
            self._tokens[token] = run_id
        return web.json_response({"run_id": run_id, "number_in_job": run_id})

    async def _get_job(self, request: web.Request) -> web.Response:
        job = self._job_of(await fields_of(request))
        declared = {"parameters": [{"name": name, "default": ""} for name in sorted(job.parameters or ())]}
        settings = {"name": job.name, **(declared if job.parameters else {})}
        return web.json_response({"job_id": job.id, "creator_user_name": "scheduler", "settings": settings})

    async def _get_run(self, request: web.Request) -> web.Response:
        return web.json_response(self._body(self._run_of(await fields_of(request))))

    async def _list_runs(self, request: web.Request) -> web.Response:
        runs = self.runs_of(self._job_of(await fields_of(request)).id)
        return web.json_response({"runs": [self._body(run) for run in reversed(runs)], "has_more": False})

    async def _cancel_run(self, request: web.Request) -> web.Response:
        run = self._run_of(await fields_of(request))
        if self.clock() < run.finish:
            run.seconds, run.end, run.message = self.clock() - run.created, "CANCELED", "Run cancelled."
        return web.json_response({})

    async def _run_page(self, request: web.Request) -> web.Response:
        run = self.job_runs.get(int(request.match_info["run"]))
        if run is None:
            raise web.HTTPNotFound
        text = html.escape(f"{run.job.name}, run {run.id}: {json.dumps(self._state(run))}")
        return web.Response(text=f"<!DOCTYPE html>\n<title>Run</title><p>{text}", content_type="text/html")

    def _job_of(self, fields: dict[str, Any]) -> Job:
        number = text_of(fields, "job_id")
        if not number.isdigit() or int(number) not in self.jobs:
            raise invalid(f"Job {number} does not exist.")
        return self.jobs[int(number)]

    def _run_of(self, fields: dict[str, Any]) -> JobRun:
        number = text_of(fields, "run_id")
        if not number.isdigit() or int(number) not in self.job_runs:
            raise invalid(f"Run {number} does not exist.")
        return self.job_runs[int(number)]

    def _state(self, run: JobRun) -> dict[str, Any]:
        if self.clock() < run.finish:
            return {"life_cycle_state": "RUNNING", "state_message": "In run"}
        return {"life_cycle_state": "TERMINATED", "result_state": run.end, "state_message": run.message}

    def _body(self, run: JobRun) -> dict[str, Any]:
        return {
            "job_id": run.job.id,
            "run_id": run.id,
            "number_in_job": run.id,
            "run_name": run.job.name,
            "creator_user_name": run.user,
            "start_time": int(run.created * 1000),
            "state": self._state(run),
            "run_page_url": f"{self.url}/jobs/{run.job.id}/runs/{run.id}",
            "job_parameters": [{"name": name, "value": value} for name, value in run.parameters.items()],
            "overriding_parameters": {"notebook_params": run.notebook_parameters},
        }

    def _tell_of(self, run: JobRun) -> None:
        self._tell_destinations(run, "start")
        while self.clock() < run.finish:
            if self._server is None:  # the workspace is gone, and its runs with it
                return
            time.sleep(0.02)
        self._tell_destinations(run, "success" if run.end in ("SUCCESS", "SUCCESS_WITH_FAILURES") else "failure")

    def _tell_destinations(self, run: JobRun, what: str) -> None:
        body = notification(f"jobs.on_{what}", run)
        for each in run.job.destinations:
            if what in each.on:
                user = base64.b64encode(f"{each.user}:{each.password}".encode()).decode()
                headers = {"Authorization": f"Basic {user}"}
                self.send_later(each.url, body["event_type"], body, json.dumps(body).encode(), headers)


def notification(event_type: str, run: JobRun) -> dict[str, Any]:
    """The body of a notification of a job's run."""
    return {
        "event_type": event_type,
        "workspace_id": WORKSPACE_ID,
        "run": {"run_id": run.id},
        "job": {"job_id": run.job.id, "name": run.job.name},
    }


def _texts(fields: dict[str, Any], name: str) -> dict[str, str]:
    given = fields.get(name) or {}
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise invalid(f"Parameter '{name}' has to map names to strings.")
    return given
