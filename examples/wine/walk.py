"""The walk itself: the relay with all that is around it, and the acts of data scientists and an approver."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import requests

from examples.wine.mlflow_server import MlflowServer
from examples.wine.person import decide, link_in
from local.azure_ml_container import PYTHON
from local.azure_ml_model import Endpoint
from local.system import System

HERE = Path(__file__).parent
SUBSCRIPTION, GROUP, AZURE_ML = "00000000-1111-2222-3333-444444444444", "models", "wine"
MODEL, TRACKING_URI = "wine_quality", "https://mlflow.example.com"  # as routes.yaml names them
APPROVER = "Ada Approver"
ENDED = ("succeeded", "dead", "parked", "superseded")
PATIENCE_SECONDS = 120.0
T = TypeVar("T")
Steps = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Trained:
    """A version as its training left it: its metrics, and what it predicts for twenty wines (`rows`)."""

    version: str
    metrics: dict[str, float]
    rows: dict[str, Any]
    predictions: list[float]


class Walk:
    """All parts, running; ends with its `with` block. What they know can be asked until then."""

    def __init__(self) -> None:
        self.system = System()
        self._started: dict[tuple[str, str, str], str] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._stack as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="relay-wine-")))
            self.store = folder / "store"
            self.store.mkdir()
            self.mlflow = MlflowServer(folder)
            self.mlflow.begin()  # it takes longest
            stack.callback(self.mlflow.stop)
            stack.enter_context(self.system)
            self.mlflow.start()
            self.workspace = self.system.ml.add_workspace(SUBSCRIPTION, GROUP, AZURE_ML)
            self.workspace.datastores["models"] = self.store
            routes = folder / "routes.yaml"
            routes.write_text((HERE / "routes.yaml").read_text().replace(TRACKING_URI, self.mlflow.url))
            self.worker = self.system.worker({"ROUTES": str(routes)})
            self._require_health()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _require_health(self) -> None:
        reply = requests.get(f"{self.worker.url}/api/health", timeout=30)
        if not reply.ok:
            raise RuntimeError(f"the relay is not healthy: {reply.text}")

    def listen(self) -> dict[str, Any]:
        """Let the MLflow server send its webhooks to the relay; return the answer to MLflow's test call."""
        url = f"{self.worker.url}/api/webhooks/mlflow"
        secret = self.system.secret("models-webhook")
        answer: dict[str, Any] = json.loads(_run("listen.py", self.mlflow.url, url, stdin=secret))
        return answer

    def train(self, recipe: str) -> Trained:
        """Train, register, publish and propose a version."""
        words = ["--tracking-uri", self.mlflow.url, "--store", str(self.store), "--recipe", recipe]
        return Trained(**json.loads(_run("train.py", *words)))

    def ended(self, version: str, route: str, source: str = "mlflow") -> Steps:
        """Wait until a route has ended for a version, all that tells of it included; return its steps."""
        until(lambda: self._has_ended(version, route, source), f"{route} of version {version} has not ended")
        return self.steps(version, route, source)

    def _has_ended(self, version: str, route: str, source: str) -> bool:
        rows = self._rows(version, route, source)
        return bool(rows) and all(row["state"] in ENDED for row in rows)

    def steps(self, version: str, route: str, source: str = "mlflow") -> Steps:
        """Return a route's own steps for a version by their names, as the ledger tells of them; none if it was not
        started."""
        return {row["name"]: row for row in self._rows(version, route, source) if not row.get("tells_of")}

    def _rows(self, version: str, route: str, source: str) -> list[dict[str, Any]]:
        event = self._started.get((version, route, source)) or self._find(version, route, source)
        rows: list[dict[str, Any]] = self._ask(f"events/{event}")["steps"] if event else []
        return [row for row in rows if row["route"] == route]

    def _find(self, version: str, route: str, source: str) -> str:
        """Look for the event that started a route; to list all events costs much, so what is found is kept."""
        for event in self.events():
            if (event["version"], event["source"]) == (version, source) and route in event["routes"]:
                return self._started.setdefault((version, route, source), str(event["event"]))
        return ""

    def events(self) -> list[dict[str, Any]]:
        """Return what the relay knows of the model's events, newest first."""
        found: list[dict[str, Any]] = self._ask("events", model=MODEL, limit="500")["events"]
        return found

    def _ask(self, path: str, **query: str) -> dict[str, Any]:
        """Ask the relay as its operators do."""
        key = {"x-functions-key": self.system.function_key}
        reply = requests.get(f"{self.worker.url}/api/{path}", params=query, headers=key, timeout=30)
        reply.raise_for_status()
        answer: dict[str, Any] = reply.json()
        return answer

    def approve(self, version: str) -> str:
        """Wait for the question in Teams, press Approve on the page behind its link; return what the page says."""
        asked = until(lambda: self._question(version), f"nobody was asked about version {version}")
        return decide(asked, "Approve", APPROVER, "tasted it")

    def _question(self, version: str) -> str:
        texts = [message for message in self.messages("teams") if f"version {version} serve in production?" in message]
        return link_in(texts[0]) if texts else ""

    def messages(self, service: str) -> list[str]:
        """Return what stands in the channel of Slack or Teams, in order."""
        return [message.text for message in self.system.chat.messages if message.service == service]

    def endpoint(self, name: str) -> Endpoint:
        """Return an endpoint as it stands."""
        return self.workspace.endpoints[name]

    def serving(self, name: str) -> str:
        """Return the version that gets an endpoint's traffic, empty while none does."""
        found = self.workspace.endpoints.get(name)
        live = [each for each, share in found.traffic.items() if share] if found else []
        return ", ".join(found.deployments[each].tags["relay-version"] for each in live) if found else ""

    def predict(self, name: str, rows: dict[str, Any]) -> list[float]:
        """Ask an endpoint for predictions, as its users do."""
        found = self.endpoint(name)
        headers = {"Authorization": f"Bearer {found.keys['primaryKey']}"}
        reply = requests.post(found.scoring_uri, json={"input_data": rows}, headers=headers, timeout=30)
        reply.raise_for_status()
        answer: list[float] = reply.json()
        return answer

    def move_in_workspace(self) -> tuple[str, str]:
        """Let a person move a version of the Databricks registry to Staging; return the one in Production, and it."""
        databricks = self.system.databricks
        old = databricks.add_version(MODEL, stage="Production").version
        new = databricks.add_version(MODEL).version
        url, secret = f"{self.worker.url}/api/webhooks/workspace", self.system.secret("wine-dev-webhook")
        databricks.add_webhook(url, secret, ["MODEL_VERSION_TRANSITIONED_STAGE"], model=MODEL)
        databricks.transition(MODEL, new, "Staging")
        return old, new


def until(look: Callable[[], T], otherwise: str) -> T:
    """Look again and again until there is something, and return it. RuntimeError with `otherwise` if nothing comes."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise RuntimeError(f"{otherwise} after {PATIENCE_SECONDS:.0f} s")
        time.sleep(0.5)
    return seen


def _run(script: str, *words: str, stdin: str = "") -> str:
    """Run a script of this folder with the Python that has MLflow; return the last line that it prints."""
    command = [str(PYTHON), str(HERE / script), *words]
    quiet = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=PATIENCE_SECONDS, env=quiet)
    if done.returncode:
        raise RuntimeError(f"{script} failed:\n{done.stderr}")
    return done.stdout.splitlines()[-1]
