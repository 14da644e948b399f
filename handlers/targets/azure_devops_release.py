"""Azure DevOps classic release: created as a draft, then set active.

The effect stays single without an idempotency key at the service: a draft does nothing, its id is recorded with a
conditional write, and only a recorded draft is ever set active, which may be repeated at will. Whoever loses the
write abandons its own draft. The marker stands in the draft's `properties` and in its description.
Contract: release.json 7.1 (ReleaseStartMetadata, ReleaseUpdateMetadata).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec

from shared import azure_devops
from shared.attempts import Access, Answer, Attempt, Succeeded
from shared.azure_devops_project import AzureDevOpsProject
from shared.errors import ClaimLost, Failure
from shared.findings import Finding, defect, ok, warning
from shared.templates import Safe, as_is, harmless

log = logging.getLogger("relay.targets")
PROPERTY = "registry-relay.marker"
STEP_PROPERTY = "registry-relay.step"  # event id / step id
CLOCK_SKEW = timedelta(minutes=10)
LISTED = 200
LEFT_BEHIND = timedelta(days=7)  # what `tidy` looks back


class Artifact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The version of one of the definition's artifacts to release: for a build, its id."""

    alias: str
    version: str


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`definition` is the release definition's number; `variables` have to be settable at release time there."""

    organization: str
    project: str
    definition: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
    description: str = "{model} {version}, by route {route}"
    variables: dict[str, str] = {}
    artifacts: list[Artifact] = []
    pat_secret: str = ""


TEMPLATED: Mapping[str, Safe] = {"description": as_is, "variables": harmless}


def connect(options: Options, access: Access) -> Any:
    """Return the SDK's release client."""
    pat = access.optional_secret(options.pat_secret)
    return azure_devops.client(azure_devops.connect(options.organization, pat), "release")


def examine(options: Options, access: Access) -> Iterator[Finding]:
    """Yield whether the definition is there, and releases of it may be created by this identity, and at all."""
    with azure_devops.answering():
        client = connect(options, access)
        found = azure_devops.whole(client.get_release_definition(options.project, options.definition))
    named = f"definition {options.definition} ({found.name})"
    place = AzureDevOpsProject(options.organization, options.project, access.optional_secret(options.pat_secret))
    if place.creates_no_classic_releases():
        advice = "allow it in the settings of the project or organization (Pipelines), or use azure_devops_pipeline"
        yield warning("classic releases", "creating classic release pipelines is switched off in the project", advice)
    if place.may_create_releases(str(found.path or ""), options.definition) is False:
        advice = 'give this identity "Create releases" on the definition or its folder, under Security'
        yield defect("definition", f"{named}: this identity may not create releases", advice)
    else:
        yield ok("definition", f"{named} is there")


def start(attempt: Attempt) -> Answer:
    """Create the draft unless one is recorded, record it, set it active."""
    with azure_devops.answering():
        if "release" not in attempt.progress:
            return _activate(attempt, _record(attempt, _create(attempt)))
        return _activate(attempt, attempt.progress["release"])


def preview(attempt: Attempt) -> dict[str, Any]:
    """Return the request that creates the draft; the second one only sets it active."""
    path = f"/{attempt.options.organization}/{attempt.options.project}/_apis/Release/releases"
    return {"request": f"POST {path}", "body": _request(attempt).serialize(), "then": "PATCH it to status active"}


def probe(attempt: Attempt) -> Answer | None:
    """Return the release that an earlier attempt has made, finished if need be; None if it made none."""
    with azure_devops.answering():
        if "release" in attempt.progress:
            return _activate(attempt, attempt.progress["release"])
        drafts = sorted(release.id for release in _marked(attempt))
        return _activate(attempt, _record(attempt, drafts[0])) if drafts else None


def tidy(options: Options, connection: Any, is_needed: Callable[[str, str], bool]) -> int:
    """Abandon the definition's drafts that no step will ever set active; return how many those were.

    A worker that dies before it has recorded its draft leaves it behind. `is_needed` is asked with a draft's step
    (`event id/step id`) and number. Raises a Failure.
    """
    count = 0
    with azure_devops.answering():
        drafts = list(_drafts(connection, options, datetime.now(UTC) - LEFT_BEHIND))
    for draft in drafts:
        step = str(_property(draft, STEP_PROPERTY))
        if "/" in step and not is_needed(step, str(draft.id)):
            _abandon(connection, options.project, draft.id, "left behind by a worker that stopped")
            count += 1
    return count


def _create(attempt: Attempt) -> int:
    created = attempt.connection.create_release(_request(attempt), attempt.options.project)
    return int(azure_devops.whole(created).id)


def _request(attempt: Attempt) -> Any:
    from azure.devops.v7_1.release import models

    options: Options = attempt.options
    return models.ReleaseStartMetadata(
        definition_id=options.definition,
        description=f"{options.description} [relay {attempt.marker}]"[-4000:],
        is_draft=True,
        reason="none",
        variables={name: models.ConfigurationVariableValue(value=value) for name, value in options.variables.items()},
        artifacts=[_artifact(models, artifact) for artifact in options.artifacts],
        properties={PROPERTY: attempt.marker, STEP_PROPERTY: attempt.step},
    )


def _artifact(models: Any, artifact: Artifact) -> Any:
    version = models.BuildVersion(id=artifact.version, name=artifact.version)
    return models.ArtifactMetadata(alias=artifact.alias, instance_reference=version)


def _record(attempt: Attempt, release: int) -> int:
    try:
        attempt.save({"release": release})
    except ClaimLost as lost:
        # without a record the winner may still find this draft and take it for its own
        if lost.progress.get("release", release) != release:
            _abandon(attempt.connection, attempt.options.project, release, "another worker was first")
        raise
    return release


def _abandon(connection: Any, project: str, release: int, why: str) -> None:
    """Take back a draft that nobody will set active. Left behind it does no harm, so a failure is no matter."""
    from azure.devops.v7_1.release import models

    try:
        with azure_devops.answering():
            update = models.ReleaseUpdateMetadata(status="abandoned", comment=why)
            connection.update_release_resource(update, project, release)
    except Failure as failure:
        log.warning("draft %s could not be abandoned: %s", release, failure.reason)


def _activate(attempt: Attempt, release: int) -> Succeeded:
    from azure.devops.v7_1.release import models

    update = models.ReleaseUpdateMetadata(status="active")
    active = azure_devops.whole(attempt.connection.update_release_resource(update, attempt.options.project, release))
    link = azure_devops.web_link(active)
    return Succeeded(outcome=f"release {active.name} is active", ref=str(active.id), link=link)


def _marked(attempt: Attempt) -> Iterator[Any]:
    for release in _drafts(attempt.connection, attempt.options, attempt.started - CLOCK_SKEW):
        if attempt.marker in f"{release.description} {release.properties}":
            yield release


def _drafts(connection: Any, options: Options, since: datetime) -> Iterator[Any]:
    yield from connection.get_releases(
        project=options.project,
        definition_id=options.definition,
        min_created_time=since,
        status_filter="draft",
        top=LISTED,
        property_filters=[PROPERTY, STEP_PROPERTY],
    )


def _property(release: Any, name: str) -> Any:
    """A property's value; the service wraps it with its type."""
    found = (release.properties or {}).get(name, "")
    return found.get("$value", "") if isinstance(found, dict) else found
