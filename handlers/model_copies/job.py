"""A copy that a Databricks job makes: its run is started with the step's key as token, and followed to its end.

The job's script is infra/databricks/copy_model_job.py; it keeps to the same tags.
"""

from __future__ import annotations

import base64
import json

from handlers.model_copies import copying
from handlers.model_copies.options import Options
from shared import databricks_runs
from shared.attempts import Answer, Attempt, Waiting
from shared.errors import PermanentFailure
from shared.registries_copies import COPIED_FROM
from shared.templates import harmless


def parameters(attempt: Attempt) -> dict[str, str]:
    """Return the parameters of the job. Raises PermanentFailure for a name that may not go into a job."""
    options: Options = attempt.options
    source, destination, _ = attempt.connection
    names = {"model": options.model, "version": options.version, "name": options.name}
    return {
        "source": source.url,
        "destination": destination.url,
        **{key: harmless(value) for key, value in names.items()},
        "experiment": options.experiment,
        # they may hold any text, a reference to a secret of the job's workspace too
        "tags": base64.urlsafe_b64encode(json.dumps(copying.tags(attempt)).encode()).decode(),
    }


def start(attempt: Attempt, reason: str) -> Waiting:
    """Start the run, or find the one that an earlier attempt has started. Raises PermanentFailure without a job."""
    job = attempt.options.large
    if job is None:
        raise PermanentFailure(
            f"{reason}: raise `max_megabytes` if that is the limit, or name a Databricks job that copies it in `large`"
        )
    payload = databricks_runs.run_payload(job.job, attempt.key, parameters(attempt))
    run = databricks_runs.start_run(attempt.connection.jobs, payload)
    return Waiting(f"{reason}: run {run.id} copies them", {"job_run": run.id}, run.link)


def follow(attempt: Attempt, number: int) -> Answer:
    """Return how the run stands, and the copy once it has ended. Raises PermanentFailure if there is none then."""
    run = databricks_runs.read_run(attempt.connection.jobs, number)
    if not run.succeeded:
        return Waiting(f"run {number} copies it: {run.state.lower()}", link=run.link)
    found = copying.find(attempt)
    if found is None:
        missing = f"no version of {attempt.options.name} bears the tag {COPIED_FROM} with its address"
        raise PermanentFailure(f"run {number} succeeded, but {missing}", link=run.link)
    return copying.complete(attempt, found, "was copied by a job")
