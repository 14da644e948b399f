"""The door to the registries: read a model version, and act on it. Databricks workspace registries and MLflow."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Registry:
    """Where a registry is and how it lets us in.

    `kind` is "databricks" or "mlflow", `url` the workspace or tracking URI. `credential` is a personal access token for
    Databricks (empty: this app's identity); a token, or `user:password`, for MLflow (empty: none is asked for).
    """

    kind: str
    url: str
    credential: str = field(default="", repr=False)
