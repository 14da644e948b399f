"""The real MLflow server of the walk."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Self

import requests

from local.mlflow_process import answers, begin, free_port

PATIENCE_SECONDS = 120.0


class MlflowServer:
    """A server with its data in a folder; `url` is known at once. Ends with its `with` block."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._process = begin(folder, port)

    def wait(self) -> None:
        """Wait until it answers. RuntimeError with its log if it does not."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not answers(self.url):
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)
