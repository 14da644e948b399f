"""Runs of Databricks jobs: started once per token, followed to their end.

Contract: Jobs API 2.2 (run-now, runs/get) as databricks-sdk 0.162 uses it. Assumed: the path of a run's page, until
runs/get tells it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from shared.databricks import Workspace
from shared.errors import AmbiguousFailure, PermanentFailure

RUN_NOW = "/api/2.2/jobs/run-now"
ENDED = ("TERMINATED", "SKIPPED", "INTERNAL_ERROR")


class JobRun(NamedTuple):
    """A run as it stands: `state` in Databricks' words."""

    id: int
    state: str
    succeeded: bool
    link: str


def run_payload(job: int, token: str, parameters: Mapping[str, str], *, notebook: bool = False) -> dict[str, Any]:
    """Return the body of the request that starts a run; with `notebook`, the parameters are those of a notebook task.

    The same token (64 characters at most) gives the same run.
    """
    kind = "notebook_params" if notebook else "job_parameters"
    return {"job_id": job, "idempotency_token": token, kind: parameters}


def start_run(workspace: Workspace, payload: Mapping[str, Any]) -> JobRun:
    """Start the run that `run_payload` tells of, or find it. Raises a Failure."""
    reply = workspace.request("POST", RUN_NOW, payload)
    run = reply.get("run_id") if isinstance(reply, dict) else None
    if not isinstance(run, int):
        raise AmbiguousFailure("Databricks answered without the number of a run")
    return JobRun(run, "PENDING", False, f"{workspace.url}/jobs/{payload['job_id']}/runs/{run}")


def read_run(workspace: Workspace, run: int) -> JobRun:
    """Return how a run stands. Raises PermanentFailure if it ended without success, another Failure if it can't be
    read."""
    found = workspace.request("GET", "/api/2.2/jobs/runs/get", params={"run_id": str(run)})
    link, state = str(found.get("run_page_url") or ""), found.get("state") or {}
    life, result = state.get("life_cycle_state") or "in no known state", state.get("result_state") or ""
    succeeded = life == "TERMINATED" and result == "SUCCESS"
    if life in ENDED and not succeeded:
        message = state.get("state_message") or "no message"
        raise PermanentFailure(f"run {run} ended {result or life}: {message}", link=link)
    return JobRun(run, life, succeeded, link)
