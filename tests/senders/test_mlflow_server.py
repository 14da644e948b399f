"""A real MLflow server as sender: from `set_registered_model_alias` to the release."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from local.azure_ml_container import PYTHON
from shared import ledger
from shared.steps import State
from shared.stories import Story
from tests.conftest import Relay, until
from tests.senders.mlflow_server import MlflowServer

HERE = Path(__file__).parent


def acts(relay: Relay, tracking_uri: str, model: str) -> Any:
    """Do what mlflow_acts.py does; return the answer that MLflow's test call got from us."""
    secret = relay.system.secret("models-webhook")
    command = [str(PYTHON), str(HERE / "mlflow_acts.py"), tracking_uri, relay.url("models"), secret, model]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def told(relay: Relay, model: str) -> dict[str, Story]:
    """The stories of the model's events by event type, once all of them have ended.

    Other tests' webhooks at the same server tell other sources of the same acts.
    """
    events = [ledger.read(event_id) for event_id in relay.events()]
    ours = {story.event.type: story for story in events if (story.event.source, story.event.model) == ("models", model)}
    return ours if len(ours) == 2 and all(story.has_ended for story in ours.values()) else {}


def test_an_alias_set_in_a_real_mlflow_server_becomes_a_release(
    relay: Relay, mlflow_server: MlflowServer, model: str
) -> None:
    tested = acts(relay, mlflow_server.url, f"real-{model}")
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
