"""The real MLflow server of the walk."""

from __future__ import annotations

from typing import Any

import requests

from local.mlflow_process import MlflowProcess


class MlflowServer(MlflowProcess):
    """A server that can be asked about its versions."""

    def version(self, model: str, version: str) -> dict[str, Any]:
        """Return a model version as its REST API shows it: `current_stage`, `aliases`, `tags`, …"""
        url, wanted = f"{self.url}/api/2.0/mlflow/model-versions/get", {"name": model, "version": version}
        reply = requests.get(url, params=wanted, timeout=30)
        reply.raise_for_status()
        found: dict[str, Any] = reply.json()["model_version"]
        return found
