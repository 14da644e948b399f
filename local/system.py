"""Everything around the app, started together: storage, identity, vault, Azure DevOps, chat, and workers."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from local.aks import AKS
from local.azure_devops import AzureDevOps
from local.azure_ml import AzureML
from local.azure_resource_manager import AzureResourceManager
from local.azurite import Azurite
from local.chat import Chat
from local.collector import Collector
from local.databricks import Databricks
from local.identity import Identity
from local.key_vault import KeyVault
from local.receiver import Receiver
from local.serving import certificate
from local.worker import ROOT, Host

ORGANIZATION, PROJECT, DEFINITION, PIPELINE = "ml-governance", "ML Governance V2", 12, 6
WORKSPACE = "https://adb-1111111111111111.1.azuredatabricks.net"  # as routes files name the stand-in
LIVE_WORKSPACE = "https://adb-2222222222222222.2.azuredatabricks.net"  # and production's
SIGNING_SECRETS = ("wine-dev-webhook", "models-webhook")


class System:
    """The outside world of routes.yaml, and workers on demand. Everything stops at the end of a `with` block.

    The parts are attributes, with their state to be read and their faults to be set: `azurite`, `identity`,
    `vault`, `devops`, `arm` with `ml` and `aks`, `databricks` and `databricks_live`, `chat`, `receiver`,
    `collector` (which hands telemetry on to `forward`, if given). Each system has its own storage, so that several may
    run beside each other.
    """

    def __init__(self, forward: str = "") -> None:
        self.azurite = Azurite()
        self.identity = Identity()
        self.vault = KeyVault(self.identity)
        self.devops = AzureDevOps(self.identity)
        self.arm = AzureResourceManager(self.identity)
        self.ml = AzureML(self.arm)
        self.aks = AKS(self.arm)
        self.databricks = Databricks(self.identity)
        self.databricks_live = Databricks(self.identity)
        self.chat = Chat()
        self.receiver = Receiver(self.identity)
        self.collector = Collector(self.identity, forward)
        self.function_key = secrets.token_urlsafe(24)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._stack as stack:
            parts = (self.azurite, self.identity, self.vault, self.devops, self.arm, self.databricks, self.chat)
            for part in (*parts, self.databricks_live, self.receiver, self.collector):
                stack.enter_context(part)
            stack.callback(self.ml.stop)
            self._cache = stack.enter_context(tempfile.TemporaryDirectory(prefix="relay-azure-devops-"))
            self._furnish()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _furnish(self) -> None:
        """Set up what routes.yaml names: the secrets, the release definition, the pipeline, the channels."""
        for name in SIGNING_SECRETS:
            self.vault.set(name, secrets.token_urlsafe(24))
        self.vault.set("mlops-teams", self.chat.teams_url())
        self.vault.set("mlops-slack", self.chat.slack_url())
        self.devops.add_definition(
            ORGANIZATION, PROJECT, DEFINITION, name="Wine to production", environments=("Production",)
        )
        self.devops.add_pipeline(
            ORGANIZATION,
            PROJECT,
            PIPELINE,
            name="Model to QA",
            parameters={"model_name": None, "model_version": None, "relay_marker": ""},
        )

    def secret(self, name: str) -> str:
        """Return the newest version of a secret in the vault."""
        return self.vault.secrets[name][-1].value

    def environment(self, routes: Path = ROOT / "routes.yaml") -> dict[str, str]:
        """Return the app settings of a worker in this system."""
        return {
            "AzureWebJobsStorage": self.azurite.connection_string,
            "KEY_VAULT_URL": self.vault.url,
            "REQUESTS_CA_BUNDLE": certificate().ca_file,
            "AZURE_DEVOPS_URL": self.devops.url,
            "AZURE_RESOURCE_MANAGER_URL": self.arm.url,
            "AZURE_DEVOPS_CACHE_DIR": self._cache,
            "ROUTES": str(routes),
            "SWEEP_SCHEDULE": "*/30 * * * * *",
            "RECONCILE_SCHEDULE": "0 */15 * * * *",
            "PYTHON_THREADPOOL_THREAD_COUNT": "32",
            "LOCAL_FUNCTION_KEY": self.function_key,
            **self.identity.environment,
        }

    def worker(self, settings: Mapping[str, str] | None = None, log_level: str = "WARNING") -> Host:
        """Start a worker with these settings over the usual ones. It stops with the system."""
        wanted = {**self.environment(), **(settings or {})}
        host = Host(ROOT, {**wanted, "ROUTES": self._routes_here(wanted["ROUTES"])}, log_level=log_level)
        return self._stack.enter_context(host)

    def _routes_here(self, routes: str) -> str:
        """Return a copy of the routes file that names the stand-ins' addresses for the workspaces in it, if any are."""
        text = Path(routes).read_text() if Path(routes).is_file() else ""
        if WORKSPACE not in text and LIVE_WORKSPACE not in text:
            return routes
        copy = Path(tempfile.mkdtemp(dir=self._cache)) / Path(routes).name
        here = text.replace(WORKSPACE, self.databricks.url).replace(LIVE_WORKSPACE, self.databricks_live.url)
        copy.write_text(here)
        return str(copy)
