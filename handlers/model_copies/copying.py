"""A copy: its files first, then its version, then the alias and stage of that. Each turn does what is missing."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping

from handlers.model_copies.lease import Lease
from handlers.model_copies.options import Options
from shared.attempts import Answer, Attempt, Succeeded, Waiting
from shared.errors import PermanentFailure, TransientFailure
from shared.registries import Version, existing, link, read_alias, set_alias, transition
from shared.registries_artifacts import Folder, fetch, files
from shared.registries_copies import (
    COPIED_FROM,
    MARKER,
    Run,
    copy_of,
    create_version,
    ensure_model,
    ensure_run,
    finish_run,
    original_files,
    original_run,
)
from shared.settings import settings


def origin(attempt: Attempt) -> str:
    """Return by what a copy is known: the address of the original."""
    return link(attempt.connection.source, attempt.options.model, attempt.options.version)


def tags(attempt: Attempt) -> dict[str, str]:
    """Return the tags of the copy."""
    return {**attempt.options.tags, COPIED_FROM: origin(attempt), MARKER: attempt.marker}


def find(attempt: Attempt) -> Version | None:
    """Return the copy that is there."""
    return copy_of(attempt.connection.destination, attempt.options.name, origin(attempt))


def go_on(attempt: Attempt, lease: Lease, how: str) -> Answer:
    """Complete the copy that is there, which came there as `how` says, or make one. Whether an earlier turn has
    registered one is known once a search finds none that was begun after a registry has had time to show it.
    Raises a Failure, JobNeeded before it has copied anything."""
    unsettled = attempt.progress.get("registering", 0.0) + settings().settle_seconds - time.time()  # before the search
    found = find(attempt)
    if found is not None:
        return complete(attempt, found, how)
    if unsettled > 0:
        return Waiting("whether it was registered is not known yet", check_in=unsettled)
    return _copy(attempt, lease)


def _copy(attempt: Attempt, lease: Lease) -> Answer:
    """Copy as many files as there is time for; register the version once all are there."""
    options: Options = attempt.options
    source, destination, _ = attempt.connection
    original = existing(source, options.model, options.version)
    folder = original_files(source, options.model, options.version)
    wanted = files(folder, options.max_megabytes * 1e6)
    if not wanted:
        raise PermanentFailure(f"{options.model} version {options.version} has no artifacts to copy")
    ensure_model(destination, options.name)
    title = f"{options.model} version {options.version}"[:200]
    run = ensure_run(destination, options.experiment, attempt.marker, title)
    left = _copy_files(folder, run, wanted, lease)
    if left:
        return Waiting(f"{len(wanted) - left} of {len(wanted)} files are copied")
    return _register(attempt, run, original, lease)


def complete(attempt: Attempt, found: Version, how: str) -> Answer:
    """Give the version its alias and stage once its registry has its files. Raises PermanentFailure if it never will
    have them."""
    options: Options = attempt.options
    destination = attempt.connection.destination
    if found.status.startswith("FAILED"):
        reason = f"{options.to} could not take the files of {options.name} version {found.version}: {found.status}"
        raise PermanentFailure(reason, link=link(destination, options.name, found.version))
    if found.status != "READY":
        return Waiting(f"{options.to} registers {options.name} version {found.version}: {found.status}")
    if options.alias and read_alias(destination, options.name, options.alias) != found.version:
        set_alias(destination, options.name, found.version, options.alias)
    if options.stage not in ("", found.stage):
        transition(destination, options.name, found.version, options.stage, archive=False)
    return succeeded(attempt, found, how)


def succeeded(attempt: Attempt, found: Version, how: str) -> Succeeded:
    """Return what the copy has come to."""
    options: Options = attempt.options
    outcome = f"{options.model} version {options.version} {how} to {options.to}: {options.name} version {found.version}"
    return Succeeded(
        outcome=outcome,
        ref=found.version,
        link=link(attempt.connection.destination, options.name, found.version),
    )


def _copy_files(folder: Folder, run: Run, wanted: Mapping[str, int], lease: Lease) -> int:
    """Copy the files that are not there; return how many there was no time for."""
    there = files(run.files, sum(wanted.values()) + 1)
    missing = {path: size for path, size in wanted.items() if there.get(path) != size}
    for done, (path, size) in enumerate(missing.items()):
        if not lease.has_time(size):
            return len(missing) - done
        with tempfile.TemporaryFile() as content:
            fetch(folder, path, size, content, lease.renew)
            run.files.store(path, size, content, lease.renew)
    return 0


def _register(attempt: Attempt, run: Run, original: Version, lease: Lease) -> Answer:
    source, destination, _ = attempt.connection
    told = original_run(source, original.run_id)
    finish_run(destination, run.id, told.metrics, int(time.time() * 1000))
    lease.save({"registering": time.time()})  # whoever has lost the step to another worker ends here
    try:
        made = create_version(destination, attempt.options.name, run.source, run.id, told.link, tags(attempt))
    except TransientFailure:
        lease.save({"registering": 0.0})  # a definite no
        raise
    return complete(attempt, made, "was copied")
