"""A model version with its artifacts from one MLflow server to another, such as from a team's to production's.

The copy bears where it comes from: a version that was copied already is not copied again. Files come first, one after
the other, and those that are there are left out when an attempt goes on where another ended; the version is registered
last, after a conditional write that a worker fails whose step somebody else has taken over.
Files pass through this app: between Databricks workspaces, or where a version is large, use a `databricks_job`.
Contract: shared.registries_artifacts, shared.registries_copies.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from typing import Annotated, NamedTuple

import msgspec

from shared.attempts import Access, Answer, Attempt, Caused, Succeeded
from shared.errors import PermanentFailure, TransientFailure
from shared.registries import (
    Registry,
    Version,
    check_stage,
    existing,
    link,
    metrics,
    named,
    read_alias,
    set_alias,
    transition,
)
from shared.registries_artifacts import fetch, files, folder_of, store
from shared.registries_copies import COPIED_FROM, MARKER, copy_of, create_version, ensure_model, ensure_run, finish_run
from shared.settings import settings
from shared.templates import Safe, as_is


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From `registry` (a source's name, empty for the event's) to the registry of the source `to`, under `name`."""

    to: str
    registry: str = ""
    model: str = "{model}"
    version: str = "{version}"
    name: str = "{model}"
    alias: str = ""
    stage: str = ""
    tags: dict[str, str] = {}
    experiment: str = "Copied models"
    max_megabytes: Annotated[float, msgspec.Meta(gt=0, le=10_000)] = 200.0

    def __post_init__(self) -> None:
        """Refuse what is no stage, a tag without a name, and those by which a copy is known."""
        if self.stage:
            check_stage(self.stage)
        if {"", COPIED_FROM, MARKER} & self.tags.keys():
            raise ValueError(f"a tag needs a name, and `{COPIED_FROM}` and `{MARKER}` are set by the relay itself")


TEMPLATED: Mapping[str, Safe] = {
    "model": named,
    "version": named,
    "name": named,
    "alias": named,
    "stage": named,
    "tags": as_is,
}


class Way(NamedTuple):
    """From where to where."""

    source: Registry
    destination: Registry


def connect(options: Options, access: Access) -> Way:
    """Return both registries. Raises PermanentFailure unless both are MLflow servers."""
    way = Way(access.registry(options.registry), access.registry(options.to))
    if any(registry.kind != "mlflow" for registry in way):
        raise PermanentFailure("only MLflow servers give their artifacts away here: use a `databricks_job` to copy")
    return way


def causes(options: Options) -> list[Caused]:
    """A version, and its alias. Which number it gets is not known: no event is taken for that of one."""
    caused = [Caused("model_version.created", options.to, options.name, tags=options.tags)]
    if options.alias:
        caused.append(Caused("model_version_alias.created", options.to, options.name, "*", alias=options.alias))
    return caused


def start(attempt: Attempt) -> Answer:
    """Copy what is not there yet. Raises TransientFailure when half of the lease is over: the next attempt goes on."""
    options: Options = attempt.options
    way: Way = attempt.connection
    found = _copy(attempt)
    how = "had been copied"
    if found is None:
        found, how = _copied(attempt), "was copied"
    if options.alias and read_alias(way.destination, options.name, options.alias) != found.version:
        set_alias(way.destination, options.name, found.version, options.alias)
    if options.stage not in ("", found.stage):
        transition(way.destination, options.name, found.version, options.stage, archive=False)
    return _succeeded(attempt, found, how)


def probe(attempt: Attempt) -> Answer | None:
    """Tell whether the copy is there, with its alias and stage."""
    options: Options = attempt.options
    found = _copy(attempt)
    if found is None or options.stage not in ("", found.stage):
        return None
    if options.alias and read_alias(attempt.connection.destination, options.name, options.alias) != found.version:
        return None
    return _succeeded(attempt, found, "was copied")


def _origin(attempt: Attempt) -> str:
    return link(attempt.connection.source, attempt.options.model, attempt.options.version)


def _copy(attempt: Attempt) -> Version | None:
    return copy_of(attempt.connection.destination, attempt.options.name, _origin(attempt))


def _copied(attempt: Attempt) -> Version:
    options: Options = attempt.options
    source, destination = attempt.connection
    original = existing(source, options.model, options.version)
    folder = folder_of(source, options.model, options.version)
    wanted = files(source, folder, int(options.max_megabytes * 1e6))
    if not wanted:
        raise PermanentFailure(f"{options.model} version {options.version} has no artifacts to copy")
    ensure_model(destination, options.name)
    title = f"{options.model} version {options.version}"[:200]
    run_id, run_folder = ensure_run(destination, options.experiment, attempt.marker, title)
    _copy_files(attempt, folder, f"{run_folder}/model", wanted)
    finish_run(destination, run_id, metrics(source, original.run_id), int(time.time() * 1000))
    attempt.save({"run": run_id})  # whoever has lost the step to another worker ends here
    tags = {**options.tags, COPIED_FROM: _origin(attempt), MARKER: attempt.marker}
    return create_version(destination, options.name, f"mlflow-artifacts:/{run_folder}/model", run_id, tags)


def _copy_files(attempt: Attempt, folder: str, to: str, wanted: Mapping[str, int]) -> None:
    source, destination = attempt.connection
    there = files(destination, to, int(attempt.options.max_megabytes * 1e6) + 1)
    deadline = time.monotonic() + settings().step_lease_seconds / 2
    missing = {path: size for path, size in wanted.items() if there.get(path) != size}
    for done, (path, size) in enumerate(missing.items()):
        if time.monotonic() > deadline:
            raise TransientFailure(f"{done} of {len(missing)} files were copied this time: it goes on")
        with tempfile.TemporaryFile() as content:
            fetch(source, f"{folder}/{path}", size, content)
            store(destination, f"{to}/{path}", size, content)


def _succeeded(attempt: Attempt, found: Version, how: str) -> Succeeded:
    options: Options = attempt.options
    outcome = f"{options.model} version {options.version} {how} to {options.to}: {options.name} version {found.version}"
    return Succeeded(
        outcome=outcome,
        ref=found.version,
        link=link(attempt.connection.destination, options.name, found.version),
    )
