"""Azure ML and AKS: the app's token for Azure, the token for a cluster, keys and tokens of endpoints."""

from __future__ import annotations

from typing import Any

from local.azure_ml_model import Deployment, Endpoint, Workspace
from local.azure_resource_manager import error_body
from tests.canary.echoing import SENT, echoes, some
from tests.canary.planting import Planting, canary

SUBSCRIPTION, GROUP = "00000000-1111-2222-3333-444444444444", "models"
PLACE = {"subscription": SUBSCRIPTION, "resource_group": GROUP}
REFUSALS = some(echoes(error_body), "page-401", "json-400", "json-500", "cut-403")
SCORES: dict[str, dict[str, Any]] = {
    **REFUSALS,
    "dropped": {"drop": True},
    "answered": {"status": 200, "body": [f"You sent: {SENT}"]},
    "unexpected": {"status": 200, "body": [f"You sent: {SENT}", "and that is all"]},
    "no-json": {"status": 200, "body": f"You sent: {SENT}"},
}
ROLLED = {"instance_type": "Standard_DS3_v2", "model": "azureml:wine:1", "endpoint": "rolled"}


def plant_azure(planting: Planting) -> None:
    """A workspace and a cluster that do as they are asked, and some whose Azure answers badly."""
    workspace = planting.system.ml.add_workspace(SUBSCRIPTION, GROUP, "quality")
    workspace.add_model("wine", "1")
    planting.route("aml", "azure_ml_deployment", {**PLACE, **ROLLED, "workspace": "quality"}, "succeeded")
    planting.system.aks.add_cluster(SUBSCRIPTION, GROUP, "cluster", entra=True)
    _cluster(planting, "aks", "cluster", "succeeded")
    for trouble, fault in REFUSALS.items():
        planting.system.arm.faults.add("*", f"/(workspaces|managedClusters)/{trouble}/", times=None, **fault)
        options = {**PLACE, **ROLLED, "workspace": trouble}
        planting.route(f"aml-{trouble}", "azure_ml_deployment", options, model="refused-by-azure")
        _cluster(planting, f"aks-{trouble}", trouble)
    for mode in ("Key", "AMLToken", "AADToken"):
        answers = SCORES if mode == "Key" else some(SCORES, "json-400", "cut-403", "answered", "unexpected")
        for trouble, fault in {"good": {}, **answers}.items():
            _score(planting, workspace, mode, trouble, fault)
    _late_score(planting, workspace)
    planting.route("keys-json-400", "azure_ml_score", {**PLACE, **_asking("json-400", "wine")}, model="score-key")


def _cluster(planting: Planting, name: str, cluster: str, ends: str = "dead") -> None:
    options = {**PLACE, "cluster": cluster, "name": "wine", "image": "registry.example.com/serving:1", "entra": True}
    planting.route(name, "aks_rollout", options, ends, model="aks" if ends == "succeeded" else "refused-by-azure")


def _score(planting: Planting, workspace: Workspace, mode: str, trouble: str, fault: dict[str, Any]) -> None:
    name = f"score-{mode.lower()}-{trouble}"
    _endpoint(planting, workspace, name, mode)
    if fault:
        planting.system.arm.faults.add("POST", f"/inference/.*/{name}/score$", times=None, **fault)
    ends = "succeeded" if trouble in ("good", "answered") else "dead"
    told = {"slack": {"url_secret": "good-slack", "text": "{steps.azure_ml_score.outcome}"}}
    options = {**PLACE, **_asking("quality", name)}
    planting.route(name, "azure_ml_score", options, ends, then=[told], tell=("slack",), model=f"score-{mode.lower()}")


def _late_score(planting: Planting, workspace: Workspace) -> None:
    """An endpoint that does not answer in time, and then refuses."""
    name, faults = "score-key-late", planting.system.arm.faults
    _endpoint(planting, workspace, name, "Key")
    faults.add("POST", f"/inference/.*/{name}/score$", hang=8.0)
    faults.add("POST", f"/inference/.*/{name}/score$", times=None, **REFUSALS["json-400"])
    planting.route(name, "azure_ml_score", {**PLACE, **_asking("quality", name, max_seconds=0.1)})


def _asking(workspace: str, endpoint: str, max_seconds: float = 30.0) -> dict[str, Any]:
    asked = {"input": {"input_data": [[1, 2]]}, "expect": {"rows": 1}, "max_seconds": max_seconds}
    return {"workspace": workspace, "endpoint": endpoint, **asked}


def _endpoint(planting: Planting, workspace: Workspace, name: str, mode: str) -> None:
    """An endpoint with one deployment that has all of the traffic, and canaries for keys or tokens."""
    arm = planting.system.arm
    uri, body = f"{arm.url}/inference/quality/{name}/score", {"properties": {"authMode": mode}}
    made = Endpoint(f"{workspace.id}/onlineEndpoints/{name}", name, body, uri, "Succeeded")
    made.deployments["blue"] = Deployment(f"{made.id}/deployments/blue", "blue", {"properties": {}}, "Succeeded")
    made.traffic = {"blue": 100}
    workspace.endpoints[name] = made
    if mode == "Key":
        made.keys = {f"{which}Key": canary() for which in ("primary", "secondary")}
        planting.canaries |= {f"{name}-{which}": key for which, key in made.keys.items()}
    if mode == "AMLToken":
        planting.canaries[name] = canary()
        made.tokens.add(planting.canaries[name])
        given = {"accessToken": planting.canaries[name], "tokenType": "Bearer"}
        arm.faults.add("POST", f"/onlineEndpoints/{name}/token$", times=None, status=200, body=given)
