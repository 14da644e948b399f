"""What a target is given, and what it may answer.

A target is a module of `handlers/targets`. It has `Options` (a msgspec Struct), `TEMPLATED` (the option fields that
take placeholders, each with what makes a value from outside safe for it), and these functions, in order of a step's
life:

    connect(options, access) -> Any      credentials, before the claim; fails with TransientFailure, PermanentFailure
    start(attempt) -> Answer             acts; fails with any Failure, or Superseded; so do check and probe
    check(attempt) -> Answer             only if `start` answers Waiting: asks how the long operation stands
    probe(attempt) -> Answer | None      only if the target can be asked: was it done? None = not to be found
    tidy(options, connection, is_needed) -> int    only if a crash can leave something behind: takes it away, daily
    preview(attempt) -> Any              what `start` would send first, for a plan; it sends nothing
    examine(options, access) -> Iterator[Finding]  only if something can be seen to be wrong beforehand; it only asks
    causes(options) -> list[Caused]      only if it acts on a registry: the events that the registry will send of it
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.registries import Registry
from shared.settings import allowed_url

LOOKS_AGAIN = "looks-again"
"""In a step's progress: it has succeeded before, and is to put right what an older event may have done since then."""


@dataclass(frozen=True)
class Succeeded:
    """The effect stands. `outcome` is a sentence for a person, `ref` the target's own id, `link` leads to it."""

    outcome: str
    ref: str = ""
    link: str = ""


@dataclass(frozen=True)
class Waiting:
    """A long operation was started and goes on at the target. `progress` is what `check` needs to find it.

    `check_in` is how many seconds the service asked to be left alone for.
    """

    outcome: str
    progress: dict[str, Any] = field(default_factory=dict)
    link: str = ""
    check_in: float = 0.0


Answer = Succeeded | Waiting


@dataclass(frozen=True)
class Attempt:
    """One attempt of a step, as its target sees it.

    `options` is the target's own Options, rendered; `connection` what its `connect` returned; `key` and `marker`
    identify the effect (64 and 32 hex); `progress` is what was saved before; `started` is when the first attempt was
    claimed, for a probe to look back to; `step` is its event id / step id; `save` stores progress with a conditional
    write and raises ClaimLost, with the winner's progress, if another worker has taken over: what it guards has to
    come after it.
    """

    options: Any
    connection: Any
    key: str
    marker: str
    progress: dict[str, Any]
    started: datetime
    step: str
    save: Callable[[dict[str, Any]], None]

    def has_taken(self, hours: float) -> bool:
        """Tell whether more than so many hours are over since the first attempt."""
        return datetime.now(UTC) - self.started > timedelta(hours=hours)


@dataclass(frozen=True)
class Access:
    """What a target may ask for before it acts.

    `secret(name)` is the newest version of a Key Vault secret; `registry(name)` the registry of that source of the
    routes file, "" for the source that told of the event. Each raises what is wrong as a RelayError.
    """

    secret: Callable[[str], str]
    registry: Callable[[str], Registry]

    def optional_secret(self, name: str) -> str:
        """Return the secret, empty for no name."""
        return self.secret(name) if name else ""

    def secret_url(self, name: str) -> str:
        """Return the URL that the secret holds, without a slash at its end; it has to be https, or on this machine."""
        return allowed_url(self.secret(name), f"secret {name}")


@dataclass(frozen=True)
class Caused:
    """A registry event that a step will cause. What is empty is unknown, or is that of the event it runs for.

    `registry` is the source by its name, as in the step's options; `type` one of shared.routes.EVENT_TYPES.
    """

    type: str
    registry: str = ""
    model: str = ""
    version: str = ""
    to_stage: str = ""
    alias: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


def caused_by_transition(registry: str, model: str, version: str, stage: str, *, archives: bool) -> list[Caused]:
    """Return what comes of moving a version to a stage: its change, and theirs if it `archives` those that are there.

    Which versions these are is not known: no event is taken for that of one of them.
    """
    caused = [Caused("model_version.stage_changed", registry, model, version, stage)]
    if archives:
        caused.append(Caused("model_version.stage_changed", registry, model, "*", "Archived"))
    return caused
