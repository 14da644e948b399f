"""A model version with its artifacts from one registry to another, such as from a team's to production's.

Registries are Databricks workspaces and MLflow servers, in any pair. The copy bears where it comes from: a version that
was copied already is not copied again. Files come first, one after the other, and those that are there are left out
when a turn goes on where another ended; the version is registered last, after a conditional write that a worker fails
whose step somebody else has taken over.
Files pass through this app. What is larger than `max_megabytes`, or out of its reach, a Databricks job copies.
Contract: shared.registries_copies, shared.registries_databricks_files, shared.registries_mlflow_files,
shared.databricks_runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from handlers.model_copies import copying, job
from handlers.model_copies.lease import Lease, own_lease
from handlers.model_copies.options import Options, Way
from shared.attempts import Access, Answer, Attempt, Caused
from shared.databricks import workspace_at
from shared.errors import PermanentFailure
from shared.registries import named, read_alias
from shared.registries_artifacts import JobNeeded
from shared.templates import Safe, as_is

__all__ = ["TEMPLATED", "Options", "causes", "check", "connect", "preview", "probe", "start"]

TEMPLATED: Mapping[str, Safe] = {
    "model": named,
    "version": named,
    "name": named,
    "alias": named,
    "stage": named,
    "tags": as_is,
}


def connect(options: Options, access: Access) -> Way:
    """Return both registries, and the workspace of the job. Raises PermanentFailure for a copy of a model to itself."""
    source, destination = access.registry(options.registry), access.registry(options.to)
    if (source.url, options.model) == (destination.url, options.name):
        raise PermanentFailure("it would be copied to the model itself: give it another `name`, or another `to`")
    if options.large is None:
        return Way(source, destination)
    large = options.large
    return Way(source, destination, workspace_at(large.workspace, access.optional_secret(large.pat_secret)))


def causes(options: Options) -> list[Caused]:
    """A version, its alias and its stage. Which number it gets is not known: no event is taken for that of one."""
    to, name = options.to, options.name
    caused = [Caused("model_version.created", to, name, tags=options.tags)]
    if options.alias:
        caused.append(Caused("model_version_alias.created", to, name, "*", alias=options.alias))
    if options.stage:
        caused.append(Caused("model_version.stage_changed", to, name, "*", to_stage=options.stage))
    return caused


def preview(attempt: Attempt) -> dict[str, Any]:
    """Return the version that is made where none bears where it comes from."""
    options: Options = attempt.options
    body = {"to": attempt.connection.destination.url, "name": options.name, "tags": copying.tags(attempt)}
    told = {key: getattr(options, key) for key in ("alias", "stage") if getattr(options, key)}
    return {"request": "copy a model version with its files, looked for first", "body": {**body, **told}}


def start(attempt: Attempt) -> Answer:
    """Copy what is not there yet, as far as half a lease goes; start the job for what this app can't copy."""
    try:
        return copying.go_on(attempt, Lease(attempt), "had been copied")
    except JobNeeded as needed:
        return job.start(attempt, needed.reason)


def check(attempt: Attempt) -> Answer:
    """Return how the job stands, or go on copying. Raises PermanentFailure if that takes too long."""
    run = attempt.progress.get("job_run")
    if attempt.has_taken(attempt.options.wait_hours):
        doing = f"run {run} has not copied it" if run else "it is not copied"
        raise PermanentFailure(f"{doing} after {attempt.options.wait_hours:g} h")
    if run:
        return job.follow(attempt, run)
    with own_lease(attempt) as lease:
        return copying.go_on(attempt, lease, "was copied")


def probe(attempt: Attempt) -> Answer | None:
    """Tell whether the copy is there, with its alias and stage."""
    options: Options = attempt.options
    found = copying.find(attempt)
    if found is None or found.status != "READY" or options.stage not in ("", found.stage):
        return None
    if options.alias and read_alias(attempt.connection.destination, options.name, options.alias) != found.version:
        return None
    return copying.succeeded(attempt, found, "was copied")
