"""The reconciler with a real MLflow server: what it lists is understood, also the stages it sends no webhook for."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from local import sender
from local.system import System
from tests.conftest import until
from tests.handlers.reconciling import LATER, Reconciling, settings
from tests.senders.mlflow_server import MlflowServer

ROUTES = """
sources:
  models: {{kind: mlflow, secret: models-webhook, tracking_uri: "{url}", reconcile: enqueue}}
routes:
  - name: tell
    when:
      event: [model_version.created, model_version_alias.created, model_version.stage_changed]
      model: "reconciled*"
    steps: [{{slack: {{url_secret: mlops-slack, text: "{{type}} {{model}} {{version}} {{to_stage}}{{alias}}"}}}}]
  - name: tell-approved
    when: {{event: model_version.created, model: "reconciled*", tags: {{approved: "yes"}}}}
    steps: [{{slack: {{url_secret: mlops-slack, text: "approved {{model}} ."}}}}]
"""
LARGE = [{"key": f"tag-{number}", "value": "x" * 4000} for number in range(10)]


def test_what_mlflow_does_not_tell_is_found_in_its_registry(
    own_system: System, mlflow_server: MlflowServer, model: str, tmp_path: Path
) -> None:
    routes = ROUTES.format(url=mlflow_server.url)
    relay = Reconciling(own_system, own_system.worker(settings(own_system, tmp_path, routes)))
    old, name = f"reconciled-old-{model}", f"reconciled-it's-{model}"
    for each in (old, name):
        mlflow_server.call("registered-models/create", {"name": each})
    run = mlflow_server.call("runs/create", {"experiment_id": "0"})["run"]["info"]
    made = {"source": f"{run['artifact_uri']}/model", "run_id": run["run_id"]}
    mlflow_server.call("model-versions/create", {"name": old, **made})
    mlflow_server.call("registered-models/alias", {"name": old, "version": "1", "alias": "champion"})
    relay.look(sources=1)

    mlflow_server.call(
        "model-versions/create", {"name": name, **made, "tags": [{"key": "approved", "value": "yes"}, *LARGE]}
    )
    mlflow_server.call("model-versions/transition-stage", {"name": name, "version": "1", "stage": "Production"})
    mlflow_server.call("registered-models/alias", {"name": name, "version": "1", "alias": "champion"})
    prompt = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    mlflow_server.call("registered-models/create", {"name": f"reconciled-prompt-{model}", "tags": prompt})
    relay.look(sources=1)
    assert {each.fact.type for each in relay.pending(name)} == {
        "model_version.created",
        "model_version.stage_changed",
        "model_version_alias.created",
    }
    relay.pass_time(name)
    relay.look(sources=1)
    events = relay.settled(name, 3)
    until(lambda: len(relay.messages(name)) == 4)
    assert sorted(relay.messages(name)) == [
        f"approved {name} .",
        f"model_version.created {name} 1 ",
        f"model_version.stage_changed {name} 1 Production",
        f"model_version_alias.created {name} 1 champion",
    ]
    assert {each["type"] for each in events if each["blob"]} == {"model_version.created"}, "its tags are too large"
    assert relay.events_of(old) == []
    assert relay.rows(f"reconciled-prompt-{model}") == []

    body = sender.mlflow_body("model_version_alias", "created", {"name": name, "alias": "champion", "version": "1"})
    late = {**body, "timestamp": (datetime.now(UTC) - LATER).isoformat()}
    assert relay.mlflow(late).status_code == 202
    relay.settled(name, 3)
    assert len(relay.messages(name)) == 4
