"""Runs of Databricks jobs: started once per token, followed to their end.

Contract: Jobs API 2.2 (run-now, runs/get) as databricks-sdk 0.162 uses it. Assumed: the path of a run's page, until
runs/get tells it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from shared.databricks import Workspace
from shared.errors import AmbiguousFailure, PermanentFailure

ENDED = ("TERMINATED", "SKIPPED", "INTERNAL_ERROR")


class JobRun(NamedTuple):
    """A run as it stands: `state` in Databricks' words."""

    id: int
    state: str
    succeeded: bool
    link: str


def start_run(workspace: Workspace, job: int, token: str, parameters: Mapping[str, Any]) -> JobRun:
    """Start a run of a job with job parameters; the same token (64 characters at most) gives the same run."""
    payload = {"job_id": job, "idempotency_token": token, "job_parameters": parameters}
    reply = workspace.request("POST", "/api/2.2/jobs/run-now", payload)
    run = reply.get("run_id") if isinstance(reply, dict) else None
    if not isinstance(run, int):
        raise AmbiguousFailure("Databricks answered without the number of a run")
    return JobRun(run, "PENDING", False, f"{workspace.url}/jobs/{job}/runs/{run}")


def read_run(workspace: Workspace, run: int) -> JobRun:
    """Return how a run stands. Raises PermanentFailure if it ended without success."""
    found = workspace.request("GET", "/api/2.2/jobs/runs/get", params={"run_id": str(run)})
    link, state = str(found.get("run_page_url") or ""), found.get("state") or {}
    life, result = state.get("life_cycle_state") or "in no known state", state.get("result_state") or ""
    succeeded = life == "TERMINATED" and result == "SUCCESS"
    if life in ENDED and not succeeded:
        message = state.get("state_message") or "no message"
        raise PermanentFailure(f"run {run} ended {result or life}: {message}", link=link)
    return JobRun(run, life, succeeded, link)
