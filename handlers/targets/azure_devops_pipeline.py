"""Azure DevOps pipeline: starts a run of a YAML pipeline; with `wait`, follows it to its result.

The service has no idempotency key. A run whose reply was lost is looked for among the recent ones. With
`marker_parameter`, a template parameter that the pipeline declares for it, it is known by its marker, exactly. Without,
it is known by its parameters and variables; each run whose reply did come is tagged with its marker, so that the run of
one event is not taken for that of another.
Contract: pipelines.json 7.1 (RunPipelineParameters, Run), build.json 7.1 (tags; a run is a build).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec

from shared import azure_devops
from shared.attempts import Access, Answer, Attempt, Succeeded, Waiting
from shared.errors import Failure, PermanentFailure
from shared.findings import Finding, ok, warning
from shared.templates import Safe, harmless

log = logging.getLogger("relay.targets")
TAG = "relay-"
CLOCK_SKEW = timedelta(minutes=2)
CANDIDATES = 50
_PLACEHOLDER = re.compile(r"\{[^{}]*\}")


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`pipeline` is the pipeline's number; `variables` have to be settable at queue time there."""

    organization: str
    project: str
    pipeline: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
    branch: str = ""
    parameters: dict[str, str] = {}
    variables: dict[str, str] = {}
    wait: bool = False
    wait_hours: Annotated[float, msgspec.Meta(gt=0, le=8784)] = 24.0
    marker_parameter: str = ""
    pat_secret: str = ""

    def __post_init__(self) -> None:
        """Refuse what would make one run look like any other: a lost one could not be told from a stranger's."""
        if not (self.parameters or self.variables or self.marker_parameter):
            raise ValueError(
                "give `parameters`, `variables` or a `marker_parameter`: by them a lost run is found again"
            )


TEMPLATED: Mapping[str, Safe] = {"parameters": harmless, "variables": harmless}


def connect(options: Options, access: Access) -> Any:
    """Return the SDK's connection to the organization."""
    return azure_devops.connect(options.organization, access.optional_secret(options.pat_secret))


def examine(options: Options, access: Access) -> Iterator[Finding]:
    """Yield whether the pipeline is there and may be queued: a dry run tells, and starts nothing."""
    connection = connect(options, access)
    with azure_devops.answering():
        pipelines = azure_devops.client(connection, "pipelines")
        found = azure_devops.whole(pipelines.get_pipeline(options.project, options.pipeline))
    from azure.devops.v7_1.pipelines import models  # not before the client has loaded it

    given = {name: _PLACEHOLDER.sub("1", value) for name, value in options.parameters.items()}
    wanted = models.RunPipelineParameters(preview_run=True, template_parameters=given)
    try:
        with azure_devops.answering():
            pipelines.preview(wanted, options.project, options.pipeline)
    except PermanentFailure as failure:
        if "did not accept the credentials" in failure.reason:
            raise
        advice = "compare the route's `parameters` with what the pipeline declares; a real event's values may pass"
        yield warning("pipeline", f"pipeline {options.pipeline} refuses a dry run: {failure.reason}", advice)
    else:
        yield ok("pipeline", f"pipeline {options.pipeline} ({found.name}) is there and may be queued")


def start(attempt: Attempt) -> Answer:
    """Start the run, record its number."""
    options: Options = attempt.options
    with azure_devops.answering():
        run = _pipelines(attempt).run_pipeline(_request(attempt), options.project, options.pipeline)
        return _started(attempt, azure_devops.whole(run))


def preview(attempt: Attempt) -> dict[str, Any]:
    """Return the request that starts the run."""
    options: Options = attempt.options
    path = f"/{options.organization}/{options.project}/_apis/pipelines/{options.pipeline}/runs"
    return {"request": f"POST {path}", "body": _request(attempt).serialize()}


def dry_run(attempt: Attempt) -> str:
    """Return the final YAML of the run that `start` would start; nothing is started. Raises a Failure."""
    options: Options = attempt.options
    wanted = _request(attempt)
    wanted.preview_run = True
    with azure_devops.answering():
        found = _pipelines(attempt).preview(wanted, options.project, options.pipeline)
    return str(found.final_yaml or "")


def check(attempt: Attempt) -> Answer:
    """Return how the run stands. Raises PermanentFailure if it failed, was canceled or takes too long."""
    options: Options = attempt.options
    with azure_devops.answering():
        found = _pipelines(attempt).get_run(options.project, options.pipeline, attempt.progress["run"])
        return _standing(attempt, azure_devops.whole(found))


def probe(attempt: Attempt) -> Answer | None:
    """Return the run that an earlier attempt has started; None if it started none."""
    options: Options = attempt.options
    with azure_devops.answering():
        runs = _pipelines(attempt).list_runs(options.project, options.pipeline)
        recent = [run for run in runs if _created(run) >= attempt.started - CLOCK_SKEW]
        for run in sorted(recent, key=lambda run: int(run.id))[-CANDIDATES:]:
            whole = azure_devops.whole(_pipelines(attempt).get_run(options.project, options.pipeline, run.id))
            if _is_ours(attempt, whole):
                return _started(attempt, whole)
    return None


def _pipelines(attempt: Attempt) -> Any:
    return azure_devops.client(attempt.connection, "pipelines")


def _request(attempt: Attempt) -> Any:
    from azure.devops.v7_1.pipelines import models

    options: Options = attempt.options
    resources = None
    if options.branch:
        repository = models.RepositoryResourceParameters(ref_name=_ref(options.branch))
        resources = models.RunResourcesParameters(repositories={"self": repository})
    return models.RunPipelineParameters(
        resources=resources,
        template_parameters=_parameters(attempt),
        variables={name: models.Variable(value=value) for name, value in options.variables.items()},
    )


def _parameters(attempt: Attempt) -> dict[str, str]:
    options: Options = attempt.options
    marker = {options.marker_parameter: attempt.marker} if options.marker_parameter else {}
    return {**options.parameters, **marker}


def _ref(branch: str) -> str:
    return branch if branch.startswith("refs/") else f"refs/heads/{branch}"


def _started(attempt: Attempt, run: Any) -> Answer:
    link = azure_devops.web_link(run)
    answer: Answer = Succeeded(outcome=f"run {run.id} was started", ref=str(run.id), link=link)
    if attempt.options.wait:
        answer = _under_way(run, link)
    if not attempt.options.marker_parameter:
        _tag(attempt, run)
    return answer


def _tag(attempt: Attempt, run: Any) -> None:
    """Tell whose run it is. It runs all the same without, so a failure to tag it is no failure of the step."""
    try:
        with azure_devops.answering():
            builds = azure_devops.client(attempt.connection, "build")
            builds.add_build_tag(attempt.options.project, run.id, TAG + attempt.marker)
    except Failure as failure:
        log.warning("run %s could not be tagged: %s", run.id, failure.reason)


def _standing(attempt: Attempt, run: Any) -> Answer:
    link = azure_devops.web_link(run)
    if run.state == "completed":
        if run.result != "succeeded":
            raise PermanentFailure(f"run {run.id} ended {run.result}", link=link)
        return Succeeded(outcome=f"run {run.id} succeeded", ref=str(run.id), link=link)
    if attempt.has_taken(attempt.options.wait_hours):
        raise PermanentFailure(f"run {run.id} is still {run.state} after {attempt.options.wait_hours:g} h", link=link)
    return _under_way(run, link)


def _under_way(run: Any, link: str) -> Waiting:
    delay = azure_devops.advised_delay()
    return Waiting(outcome=f"run {run.id} is under way", progress={"run": int(run.id)}, link=link, check_in=delay)


def _created(run: Any) -> datetime:
    created: datetime = run.created_date
    return created if created.tzinfo else created.replace(tzinfo=UTC)


def _is_ours(attempt: Attempt, run: Any) -> bool:
    options: Options = attempt.options
    given = dict(run.template_parameters or {})
    if options.marker_parameter:
        return given.get(options.marker_parameter) == attempt.marker
    variables = {name: variable.value for name, variable in (run.variables or {}).items()}
    if not (options.parameters.items() <= given.items() and options.variables.items() <= variables.items()):
        return False
    tags = azure_devops.client(attempt.connection, "build").get_build_tags(options.project, run.id)
    owners = {tag for tag in tags if tag.startswith(TAG)}
    return not owners or TAG + attempt.marker in owners
