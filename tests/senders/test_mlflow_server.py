"""A real MLflow server as sender: from `set_registered_model_alias` to the release."""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from shared import ledger
from shared.ledger import Story
from shared.steps import State
from tests.conftest import Relay, until

HERE = Path(__file__).parent
PYTHON = HERE.parent.parent / ".venv-mlflow" / "bin" / "python"


def free_port() -> int:
    """MLflow can't tell which port it got for port 0, so one is chosen for it; it fails if another is quicker."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_up(url: str, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "the MLflow server has ended"
    try:
        return requests.get(f"{url}/health", timeout=5).ok
    except requests.ConnectionError:
        return False


@pytest.fixture(scope="module")
def tracking_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    settings = {
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
        "MLFLOW_WEBHOOK_CACHE_TTL": "0",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    command = [str(PYTHON), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        str(folder / "files"),
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env={**os.environ, **settings}, cwd=folder, stdout=log, stderr=log)
    try:
        until(lambda: is_up(f"http://127.0.0.1:{port}", process), seconds=90)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def acts(relay: Relay, tracking_uri: str, model: str) -> Any:
    """Do what mlflow_acts.py does; return the answer that MLflow's test call got from us."""
    secret = relay.system.secret("models-webhook")
    command = [str(PYTHON), str(HERE / "mlflow_acts.py"), tracking_uri, relay.url("models"), secret, model]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def told(relay: Relay, model: str) -> dict[str, Story]:
    """The stories of the model's events by event type, once all of them have ended."""
    stories = [ledger.read(event_id) for event_id in relay.events()]
    ours = {story.event.type: story for story in stories if story.event.model == model}
    return ours if len(ours) == 2 and all(story.has_ended for story in ours.values()) else {}


def test_an_alias_set_in_a_real_mlflow_server_becomes_a_release(relay: Relay, tracking_uri: str, model: str) -> None:
    tested = acts(relay, tracking_uri, f"real-{model}")
    assert tested["status"] == 202
    assert tested["body"]["test"] is True

    stories = until(lambda: told(relay, f"real-{model}"))
    assert set(stories) == {"model_version.created", "model_version_alias.created"}
    assert not stories["model_version.created"].steps
    assert stories["model_version_alias.created"].event.alias == "champion"

    step = stories["model_version_alias.created"].steps["alias-run.azure_devops_release"]
    assert step.state is State.SUCCEEDED
    release = relay.system.devops.releases[int(step.ref)]
    assert release.status == "active"
    (start,) = [start for start in relay.system.devops.starts if model in str(start.variables)]
    assert "'1'" in str(start.variables), "the version is told"
