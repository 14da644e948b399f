"""MLflow servers: tokens, and users with their passwords, of the one a model is copied from and the one it goes to."""

from __future__ import annotations

from typing import Any

from local.databricks_wire import error_body
from tests.canary.echoing import PASSWORD, SENT, echoes, some
from tests.canary.planting import Planting
from tests.senders.mlflow_server import MlflowServer

TROUBLE: dict[str, dict[str, Any]] = {
    **some(echoes(error_body), "page-401", "json-400", "json-500", "cut-403"),
    "decoded": {"status": 401, "body": error_body("DENIED", f"relay's password is not {PASSWORD}")},
}
REFUSED = "refused-copy"
FORMS = {"user": "relay:{}", "token": "{}"}
COPIED = "copied"
LARGE = ("json-400", "page-401")


def plant_mlflow(planting: Planting, server: MlflowServer) -> None:
    """A copy between two sources of a real server, and copies to servers that answer badly."""
    for side, form in {"from": "relay:{}", "to": "{}"}.items():
        planting.keep(f"mlflow-{side}", form)
        _source(planting, f"mlflow-{side}", server.url)
    options = {"registry": "mlflow-from", "to": "mlflow-to", "name": "{model}-live"}
    planting.route(COPIED, "copy_model", options, "succeeded")
    for trouble in LARGE:  # the workspace is made to answer so elsewhere
        workspace = f"{planting.system.databricks.url}/{trouble}"
        secret = f"large-pat-{trouble}"
        planting.keep(secret)
        job = {"workspace": workspace, "job": 7, "pat_secret": secret}
        large = {**options, "name": "{model}-large", "max_megabytes": 0.0001, "large": job}
        planting.route(f"large-{trouble}", "copy_model", large, model=COPIED)
    for form, secret in FORMS.items():
        for trouble, fault in {**TROUBLE, "nonsense": _nonsense(server)}.items():
            _failing(planting, f"mlflow-{form}-{trouble}", secret, fault)


def register(server: MlflowServer) -> None:
    """Register the model that is to be copied, with a run and a file."""
    server.start()
    server.call("registered-models/create", {"name": COPIED})
    run = server.call("runs/create", {"experiment_id": "0"})["run"]["info"]
    server.put(f"{run['artifact_uri'].partition(':/')[2]}/model/MLmodel", b"flavors: {}\n".ljust(200, b"#"))
    version = {"name": COPIED, "source": f"{run['artifact_uri']}/model", "run_id": run["run_id"]}
    server.call("model-versions/create", version)


def _nonsense(server: MlflowServer) -> dict[str, Any]:
    """An answer by which the model was copied already, twice, as versions that are no numbers."""
    origin = f"{server.url}/#/models/{REFUSED}/versions/1"
    version = {"name": REFUSED, "version": SENT, "tags": [{"key": "relay.copied_from", "value": origin}]}
    return {"status": 200, "body": {"model_versions": [version, version]}}


def _failing(planting: Planting, name: str, secret: str, fault: dict[str, Any]) -> None:
    receiver = planting.system.receiver
    planting.keep(name, secret)
    receiver.faults.add("*", f"^/{name}/", times=None, **fault)
    _source(planting, name, f"{receiver.url}/{name}")
    ends = "in_doubt" if name.endswith("nonsense") else "dead"
    planting.route(name, "copy_model", {"registry": "mlflow-from", "to": name}, ends, model=REFUSED)


def _source(planting: Planting, name: str, url: str) -> None:
    planting.source(name, "models-webhook", "mlflow", tracking_uri=url, token_secret=name)
