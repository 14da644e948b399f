"""A real MLflow server as a child process on this machine, allowed to send its webhooks to this machine.

MLflow is in a Python of its own; `make .venv-mlflow/.installed` makes that.
"""

from __future__ import annotations

import base64
import os
import re
import secrets
import subprocess
import time
from pathlib import Path
from typing import Self

from local.azure_ml_container import PYTHON
from local.child_process import ChildProcess

PATIENCE_SECONDS = 120.0
LISTENING = re.compile(r"Uvicorn running on (http://127\.0\.0\.1:\d+) ")
SETTINGS = {
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",  # https alone, and no private addresses, unless told otherwise
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    "MLFLOW_WEBHOOK_CACHE_TTL": "0",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


class MlflowProcess(ChildProcess):
    """A server with its data, its files and its `log` in a folder, on a free port; `url` is known once it listens."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.url = folder, ""

    def begin(self) -> None:
        """Let it start, if it has not yet, without waiting for it: it takes seconds."""
        if self._process is not None:
            return
        command = [str(PYTHON), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", "0", "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db"]
        command += ["--artifacts-destination", str(self.folder / "files")]
        key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()  # with it the server keeps webhooks' secrets
        environment = {**os.environ, **SETTINGS, "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": key}
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command, env=environment, cwd=self.folder, stdout=log, stderr=log, text=True
            )

    def start(self) -> Self:
        """Let it start, and wait until it listens. Raises RuntimeError with its log if it does not."""
        self.begin()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (told := LISTENING.search(self._log.read_text())):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the MLflow server did not start:\n{self._log.read_text()}")
            time.sleep(0.1)
        self.url = told[1]
        return self

    def stop(self) -> None:
        """End it, also one that is frozen or not yet up; nothing if it never began."""
        self._end(timeout=30)

    @property
    def _log(self) -> Path:
        return self.folder / "log"
