"""How the registries sign what they send."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
import uuid

JSON = "application/json"


def databricks_headers(secret: str, body: bytes) -> dict[str, str]:
    """Return the headers with which a Databricks workspace sends the body."""
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"Content-Type": JSON, "X-Databricks-Signature": signature}


def databricks_job_headers(secret: str) -> dict[str, str]:
    """Return the headers with which Databricks sends a job notification; `secret` is `user:password`."""
    return {"Content-Type": JSON, "Authorization": f"Basic {base64.b64encode(secret.encode()).decode()}"}


def mlflow_headers(secret: str, body: bytes, sent: float | None = None, delivery: str = "") -> dict[str, str]:
    """Return the headers with which an MLflow server sends the body at the given time (now)."""
    delivery, timestamp = delivery or str(uuid.uuid4()), str(int(time.time() if sent is None else sent))
    mac = hmac.new(secret.encode(), f"{delivery}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "Content-Type": JSON,
        "X-MLflow-Delivery-Id": delivery,
        "X-MLflow-Timestamp": timestamp,
        "X-MLflow-Signature": f"v1,{base64.b64encode(mac).decode()}",
    }
