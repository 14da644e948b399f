"""A real MLflow server on this machine, allowed to send its webhooks to this machine."""

from __future__ import annotations

import base64
import os
import secrets
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Self

import requests

from local.azure_ml_container import PYTHON

PATIENCE_SECONDS = 120.0
SETTINGS = {
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",  # https alone, and no private addresses, unless told otherwise
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    "MLFLOW_WEBHOOK_CACHE_TTL": "0",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


class MlflowServer:
    """A server with its data in a folder; `url` is known at once. Ends with its `with` block."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:  # MLflow does not tell which port it was given for port 0
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        command = [str(PYTHON), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
        command += ["--artifacts-destination", str(folder / "files")]
        key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()  # with it the server keeps webhooks' secrets
        environment = {**os.environ, **SETTINGS, "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": key}
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)

    def wait(self) -> None:
        """Wait until it answers. RuntimeError with its log if it does not."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the MLflow server did not start:\n{(self.folder / 'log').read_text()}")
            time.sleep(0.2)

    def version(self, model: str, version: str) -> dict[str, Any]:
        """Return a model version as its REST API shows it: `current_stage`, `aliases`, `tags`, …"""
        url, wanted = f"{self.url}/api/2.0/mlflow/model-versions/get", {"name": model, "version": version}
        reply = requests.get(url, params=wanted, timeout=30)
        reply.raise_for_status()
        found: dict[str, Any] = reply.json()["model_version"]
        return found

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/health", timeout=5).ok
        except requests.ConnectionError:
            return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)
