"""A system whose every secret is a canary, and the routes and sources that use them."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

from handlers.targets import rules_of_targets
from local import azurite
from local.system import System
from tests.canary.echoing import Echoes

EVENTS = ["comment.created", "model_version_alias.created"]
TOLD = "{model} {failed.step} {failed.reason} {failed.link}"


def canary() -> str:
    """Return something that nobody else writes."""
    return f"canary-{secrets.token_hex(12)}"


class Planting:
    """What is planted: `canaries` by what they are, `meant` how the step of each route is to end, `models` the comments
    that start them, each on a model by its name, with the source that tells of it."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.canaries: dict[str, str] = {}
        self.control = canary()
        self.meant: dict[str, str] = {}
        self.step_ids: dict[str, str] = {}
        self.models: dict[str, str] = {}
        self.model_of: dict[str, str] = {}
        self._sources: dict[str, dict[str, Any]] = {}
        self._routes: list[dict[str, Any]] = []

    def keep(self, what: str, form: str = "{}") -> str:
        """Put a canary into the vault, under a name that says what it is; return the canary."""
        self.canaries[what] = canary()
        self.system.vault.set(what, form.replace("{}", self.canaries[what]))
        return self.canaries[what]

    def source(self, name: str, secret: str, kind: str = "databricks", **more: str) -> None:
        """Let there be a source."""
        self._sources[name] = {"kind": kind, "secret": secret, **more}

    def route(self, name: str, target: str, options: dict[str, Any], ends: str = "dead", **more: Any) -> None:
        """Let a comment on the `model` (of the route's name) that `sender` (`wine-dev`) tells of start the target,
        after the steps `first` and before those in `then`; what goes wrong is told to the channels in `tell`."""
        first, then, tell = more.pop("first", []), more.pop("then", []), more.pop("tell", ())
        model, sender = more.pop("model", name), more.pop("sender", "wine-dev")
        told = [{kind: {"url_secret": f"good-{kind}", "text": TOLD}} for kind in tell]
        when = {"event": EVENTS, "model": model, "source": [sender, "models"] if sender == "wine-dev" else sender}
        steps = [*first, {target: options}, *then]
        self._routes.append({"name": name, "when": when, "steps": steps, "on_failure": told, **more})
        self.models[model], self.model_of[name] = sender, model
        self.meant[name], self.step_ids[name] = ends, f"{name}.{target}"

    def write(self, folder: Path) -> Path:
        """Write the routes file; YAML takes JSON for its own."""
        file = folder / "routes.yaml"
        file.write_text(json.dumps({"sources": self._sources, "routes": self._routes}, indent=1))
        return file

    def used(self) -> set[tuple[str, str]]:
        """Return the targets that have routes, each alone and with each option that names a secret."""
        steps = [step for route in self._routes for step in route["steps"]]
        given = [(target, options) for step in steps for target, options in step.items() if target != "id"]
        return {(target, "") for target, _ in given} | {
            (target, name) for target, options in given for name in rules_of_targets()[target].secrets_in(options)
        }

    def listened_to(self) -> set[tuple[str, str]]:
        """Return the kinds of sources, each with the keys that name a secret."""
        return {(each["kind"], key) for each in self._sources.values() for key in each if key.endswith("secret")}


def new_system() -> System:
    """Return a system, not started, whose services repeat what they are sent where a fault says so."""
    system = System()
    for part in (system.devops, system.arm, system.databricks, system.chat, system.receiver):
        part.faults = Echoes()
    return system


def plant_credentials(planting: Planting) -> None:
    """Let all that is secret by itself be a canary: the app's own credentials, and what senders sign with."""
    system, canaries = planting.system, planting.canaries
    system.function_key = canaries["function-key"] = canary()
    system.identity.secret = canaries["identity-header"] = canary()
    canaries["storage-key"] = azurite.KEY
    canaries["old-signing"] = canary()
    system.vault.set("wine-dev-webhook", canaries["old-signing"])
    for name in ("wine-dev-webhook", "models-webhook"):
        planting.keep(name)
    planting.keep("guarded-authorization", "Bearer {}")
    planting.keep("unresolved", "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/{})")
    planting.keep("jobs-user", "databricks:{}")
    canaries["short"] = canary()[:14]
    system.vault.set("short", canaries["short"])


def plant_sources(planting: Planting) -> None:
    """Let there be a source of each kind, and some that can't be used."""
    planting.source("wine-dev", "wine-dev-webhook")
    planting.source("short", "short")
    planting.source("unresolved", "unresolved")
    planting.source("guarded", "wine-dev-webhook", authorization_secret="guarded-authorization")
    planting.source("models", "models-webhook", "mlflow")
    planting.source("jobs", "jobs-user", "databricks_jobs")
