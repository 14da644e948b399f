"""What a step of `copy_model` is told, and the registries that it is told of."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import msgspec

from shared.databricks import Workspace, require_workspace
from shared.registries import Registry, check_stage
from shared.registries_copies import COPIED_FROM, MARKER


class Job(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The Databricks job that copies what is too large for this app: `job` in `workspace`, started as this app or with
    the personal access token in `pat_secret`."""

    workspace: str
    job: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
    pat_secret: Annotated[str, msgspec.Meta(pattern="^[0-9a-zA-Z-]{0,127}$")] = ""

    def __post_init__(self) -> None:
        """Refuse an address that no token may go to."""
        require_workspace(self.workspace)


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From `registry` (a source's name, empty for the event's) to the registry of the source `to`, under `name`.
    `large` is the job for what is larger than `max_megabytes`, or out of this app's reach."""

    to: str
    registry: str = ""
    model: str = "{model}"
    version: str = "{version}"
    name: str = "{model}"
    alias: str = ""
    stage: str = ""
    tags: dict[str, str] = {}
    experiment: str = ""
    max_megabytes: Annotated[float, msgspec.Meta(gt=0, le=10_000)] = 200.0
    large: Job | None = None
    wait_hours: Annotated[float, msgspec.Meta(gt=0, le=8784)] = 24.0

    def __post_init__(self) -> None:
        """Refuse what is no stage, a tag without a name, and those by which a copy is known."""
        if self.stage:
            check_stage(self.stage)
        if {"", COPIED_FROM, MARKER} & self.tags.keys():
            raise ValueError(f"a tag needs a name, and `{COPIED_FROM}` and `{MARKER}` are set by the relay itself")


class Way(NamedTuple):
    """From where to where, and where the job is that copies what is too large for this app."""

    source: Registry
    destination: Registry
    jobs: Workspace | None = None
