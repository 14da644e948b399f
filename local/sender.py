"""Plays the registries: signs deliveries as Databricks and MLflow do, and sends them."""

from __future__ import annotations

import json
from typing import Any

import requests

from cli.samples import databricks_comment, databricks_job_notification, databricks_stage_change, mlflow_body
from cli.signing import databricks_headers, databricks_job_headers, mlflow_headers

__all__ = [
    "databricks_comment",
    "databricks_headers",
    "databricks_job_headers",
    "databricks_job_notification",
    "databricks_stage_change",
    "mlflow_body",
    "mlflow_headers",
    "send_databricks",
    "send_databricks_job",
    "send_mlflow",
]
TIMEOUT_SECONDS = 30


def send_databricks(url: str, secret: str, body: Any) -> requests.Response:
    """Send a signed delivery as a Databricks workspace; `body` is bytes, or what becomes JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return requests.post(url, data=raw, headers=databricks_headers(secret, raw), timeout=TIMEOUT_SECONDS)


def send_databricks_job(url: str, secret: str, body: Any) -> requests.Response:
    """Send a job notification with user and password; `body` is bytes, or what becomes JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return requests.post(url, data=raw, headers=databricks_job_headers(secret), timeout=TIMEOUT_SECONDS)


def send_mlflow(url: str, secret: str, body: Any) -> requests.Response:
    """Send a signed delivery as an MLflow server; `body` is bytes, or what becomes JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return requests.post(url, data=raw, headers=mlflow_headers(secret, raw), timeout=TIMEOUT_SECONDS)
