"""Azure DevOps classic release: created as a draft, then set active.

The effect stays single without an idempotency key at the service: a draft does nothing, its id is recorded with a
conditional write, and only a recorded draft is ever set active, which may be repeated at will. Whoever loses the
write abandons its own draft. The marker stands in the draft's `properties` and in its description.
Contract: release.json 7.1 (ReleaseStartMetadata, ReleaseUpdateMetadata).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Any

import msgspec

from shared import azure_devops
from shared.attempts import Access, Answer, Attempt, Succeeded
from shared.errors import ClaimLost, Failure
from shared.templates import Safe, as_is, harmless

log = logging.getLogger("relay.targets")
PROPERTY = "registry-relay.marker"
CLOCK_SKEW = timedelta(minutes=10)
LISTED = 200


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
    pat = access.secret(options.pat_secret) if options.pat_secret else ""
    return azure_devops.client(azure_devops.connect(options.organization, pat), "release")


def start(attempt: Attempt) -> Answer:
    """Create the draft unless one is recorded, record it, set it active."""
    with azure_devops.answering():
        if "release" not in attempt.progress:
            return _activate(attempt, _record(attempt, _create(attempt)))
        return _activate(attempt, attempt.progress["release"])


def probe(attempt: Attempt) -> Answer | None:
    """Return the release that an earlier attempt has made, finished if need be; None if it made none."""
    with azure_devops.answering():
        if "release" in attempt.progress:
            return _activate(attempt, attempt.progress["release"])
        drafts = sorted(release.id for release in _marked(attempt))
        return _activate(attempt, _record(attempt, drafts[0])) if drafts else None


def _create(attempt: Attempt) -> int:
    from azure.devops.v7_1.release import models

    options: Options = attempt.options
    start = models.ReleaseStartMetadata(
        definition_id=options.definition,
        description=f"{options.description} [relay {attempt.marker}]"[-4000:],
        is_draft=True,
        reason="none",
        variables={name: models.ConfigurationVariableValue(value=value) for name, value in options.variables.items()},
        artifacts=[_artifact(models, artifact) for artifact in options.artifacts],
        properties={PROPERTY: attempt.marker},
    )
    return int(azure_devops.whole(attempt.connection.create_release(start, options.project)).id)


def _artifact(models: Any, artifact: Artifact) -> Any:
    version = models.BuildVersion(id=artifact.version, name=artifact.version)
    return models.ArtifactMetadata(alias=artifact.alias, instance_reference=version)


def _record(attempt: Attempt, release: int) -> int:
    try:
        attempt.save({"release": release})
    except ClaimLost as lost:
        # without a record the winner may still find this draft and take it for its own
        if lost.progress.get("release", release) != release:
            _abandon(attempt, release)
        raise
    return release


def _abandon(attempt: Attempt, release: int) -> None:
    """Take back a draft that nobody will set active. Left behind it does no harm, so a failure is no matter."""
    from azure.devops.v7_1.release import models

    try:
        with azure_devops.answering():
            update = models.ReleaseUpdateMetadata(status="abandoned", comment="another worker was first")
            attempt.connection.update_release_resource(update, attempt.options.project, release)
    except Failure as failure:
        log.warning("draft %s could not be abandoned: %s", release, failure.reason)


def _activate(attempt: Attempt, release: int) -> Succeeded:
    from azure.devops.v7_1.release import models

    update = models.ReleaseUpdateMetadata(status="active")
    active = azure_devops.whole(attempt.connection.update_release_resource(update, attempt.options.project, release))
    link = azure_devops.web_link(active)
    return Succeeded(outcome=f"release {active.name} is active", ref=str(active.id), link=link)


def _marked(attempt: Attempt) -> Iterator[Any]:
    options: Options = attempt.options
    found = attempt.connection.get_releases(
        project=options.project,
        definition_id=options.definition,
        min_created_time=attempt.started - CLOCK_SKEW,
        status_filter="draft",
        top=LISTED,
        property_filters=[PROPERTY],
    )
    for release in found:
        if attempt.marker in f"{release.description} {release.properties}":
            yield release
