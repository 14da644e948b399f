"""A real MLflow server as a child process on this machine, allowed to send its webhooks to this machine.

MLflow is in a Python of its own; `make .venv-mlflow/.installed` makes that.
"""

from __future__ import annotations

import base64
import os
import secrets
import socket
import subprocess
from pathlib import Path

import requests

from local.azure_ml_container import PYTHON

SETTINGS = {
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",  # https alone, and no private addresses, unless told otherwise
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    "MLFLOW_WEBHOOK_CACHE_TTL": "0",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def free_port() -> int:
    """Return a port for it: MLflow does not tell which one it was given for port 0. It fails if another is quicker."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def begin(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Start a server with its data, its files and its `log` in a folder, without waiting for it; return the process."""
    command = [str(PYTHON), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", str(folder / "files")]
    key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()  # with it the server keeps webhooks' secrets
    environment = {**os.environ, **SETTINGS, "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": key}
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)


def answers(url: str) -> bool:
    """Tell whether the server answers by now."""
    try:
        return requests.get(f"{url}/health", timeout=5).ok
    except requests.ConnectionError:
        return False
