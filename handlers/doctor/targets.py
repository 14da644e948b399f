"""What the steps of the routes act on: each target examines its own, once for all steps that say the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from handlers.current_registries import registry_of
from handlers.targets import target_module
from shared import vault
from shared.attempts import Access
from shared.errors import RelayError, SecretUnusable, TransientFailure, VaultUnavailable
from shared.findings import Finding
from shared.routes import Routes, StepPlan
from shared.shapes import converted

SHOWN = 2


@dataclass(frozen=True)
class Case:
    """A target with options that some steps share; what is filled in for each event makes no difference."""

    target: str
    options: dict[str, Any]
    steps: list[str]

    @property
    def subject(self) -> str:
        """The steps, of many the first ones."""
        more = f" and {len(self.steps) - SHOWN} more" if len(self.steps) > SHOWN else ""
        return ", ".join(self.steps[:SHOWN]) + more

    def examine(self) -> Iterator[Finding]:
        """Yield what the target finds. Raises whatever it raises."""
        module = target_module(self.target)
        options = converted(self.options, module.Options)
        for finding in module.examine(options, Access(_secret, registry_of)):
            yield msgspec.structs.replace(finding, check=f"{self.target} {finding.check}", subject=self.subject)


def _secret(name: str) -> str:
    """The secret as it stands in the vault now: what was put right a moment ago is to be found right."""
    vault.renew(name)
    return vault.secret(name)


def cases(routes: Routes) -> list[Case]:
    """Return what there is to examine, of the targets that can be."""
    found: dict[str, Case] = {}
    for route in routes.routes:
        for step in (*route.steps, *route.on_failure):
            if hasattr(target_module(step.target), "examine"):
                case = found.setdefault(_key(step), Case(step.target, step.options, []))
                case.steps.append(f"{route.name}.{step.id}")
    return list(found.values())


def advice_for(error: RelayError) -> str:
    """Return what to do about an error of asking."""
    if isinstance(error, SecretUnusable):
        return "put the secret into the Key Vault, or mend its name in the routes file"
    if isinstance(error, VaultUnavailable):
        return "give this app's identity the role Key Vault Secrets User, and the network access to the vault"
    if "did not accept the credentials" in str(error):
        return "give this app's identity (or the token that the routes file names) the right there, or renew the token"
    if isinstance(error, TransientFailure):
        return "look again; if it stays so, the service, the way to it or this app's identity is down"
    return "mend what the route says, or what it names there"


def _key(step: StepPlan) -> str:
    """What tells two steps apart for an examination: not their texts, and of names with values the names alone."""
    templated = target_module(step.target).TEMPLATED
    fixed: dict[str, Any] = {}
    for name, value in step.options.items():
        if name not in templated:
            fixed[name] = value
        elif isinstance(value, dict):
            fixed[name] = sorted(value)
    return json.dumps([step.target, fixed], sort_keys=True, default=str)
