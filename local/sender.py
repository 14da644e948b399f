"""Plays the registries: signs deliveries as Databricks and MLflow do, and sends them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import requests

TIMEOUT_SECONDS = 30


def databricks_stage_change(model: str, version: str, to_stage: str, from_stage: str = "Staging") -> dict[str, Any]:
    """Return the body of a stage change that happens now, in the form Databricks documents."""
    return {
        "event": "MODEL_VERSION_TRANSITIONED_STAGE",
        "webhook_id": "c5596721253c4b429368cf6f4341b88a",
        "event_timestamp": int(time.time() * 1000),
        "model_name": model,
        "version": version,
        "to_stage": to_stage,
        "from_stage": from_stage,
        "text": f"Registered model '{model}' version {version} transitioned from {from_stage} to {to_stage}.",
    }


def mlflow_body(entity: str, action: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return the body of an act that happens now, in the form MLflow sends."""
    return {"entity": entity, "action": action, "timestamp": datetime.now(UTC).isoformat(), "data": data}


def databricks_job_notification(what: str, run: int, job: int, name: str) -> dict[str, Any]:
    """Return the body that tells of a job's run, in the form Databricks documents; `what` is start, success, …"""
    return {
        "event_type": f"jobs.on_{what}",
        "workspace_id": 7405616424934601,
        "run": {"run_id": run},
        "job": {"job_id": job, "name": name},
    }


def databricks_headers(secret: str, body: bytes) -> dict[str, str]:
    """Return the headers with which a Databricks workspace sends the body."""
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"Content-Type": "application/json", "X-Databricks-Signature": signature}


def databricks_job_headers(secret: str) -> dict[str, str]:
    """Return the headers with which Databricks sends a job notification; `secret` is `user:password`."""
    return {"Content-Type": "application/json", "Authorization": f"Basic {base64.b64encode(secret.encode()).decode()}"}


def mlflow_headers(secret: str, body: bytes, sent: float | None = None, delivery: str = "") -> dict[str, str]:
    """Return the headers with which an MLflow server sends the body at the given time (now)."""
    delivery, timestamp = delivery or str(uuid.uuid4()), str(int(time.time() if sent is None else sent))
    mac = hmac.new(secret.encode(), f"{delivery}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "Content-Type": "application/json",
        "X-MLflow-Delivery-Id": delivery,
        "X-MLflow-Timestamp": timestamp,
        "X-MLflow-Signature": f"v1,{base64.b64encode(mac).decode()}",
    }


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
