"""What the benchmarks' routes name in the outside world, beyond what a system has by itself."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import yaml

from bench.contestants.ours import ROUTES
from handlers.current_routes import rules
from local.azure_ml_model import Deployment, Endpoint
from local.system import WORKSPACE, System
from shared.routes_file import parse_routes

SUBSCRIPTION, GROUP = "00000000-1111-2222-3333-444444444444", "models"
_ML = {"subscription": SUBSCRIPTION, "resource_group": GROUP, "workspace": "bench"}
_DEVOPS = {"organization": "ml-governance", "project": "ML Governance V2"}

TARGETS: dict[str, dict[str, object]] = {
    "approval": {"by": "transition_request", "stage": "Archived"},
    "aks_rollout": {
        "subscription": SUBSCRIPTION,
        "resource_group": GROUP,
        "cluster": "bench",
        "name": "{model}",
        "image": "registry.example.com/serving:1",
    },
    "azure_devops_pipeline": {**_DEVOPS, "pipeline": 6, "parameters": {"model_name": "{model}"}},
    "azure_devops_release": {**_DEVOPS, "definition": 12},
    "azure_ml_deployment": {
        **_ML,
        "endpoint": "bench",
        "deployment": "blue",
        "model": "azureml:wine:{version}",
        "instance_type": "Standard_DS3_v2",
    },
    "azure_ml_score": {**_ML, "endpoint": "scored", "input": {"input_data": [[1, 2]]}, "expect": {"rows": 1}},
    "databricks_job": {"workspace": WORKSPACE, "job": 7, "parameters": {"model_name": "{model}"}},
    "http": {"url": "RECEIVER/http", "body": {"model": "{model}"}},
    "notify": {"url_secret": "bench-notify", "title": "{model}", "text": "{version}"},
    "registry_comment": {"text": "{model} went to {to_stage}"},
    "registry_tag": {"tags": {"checked": "yes"}},
    "registry_transition": {"alias": "champion"},
    "slack": {"url_secret": "mlops-slack", "text": "{model}"},
    "teams": {"url_secret": "mlops-teams", "text": "{model}"},
}
"""Each target with options for its first use. Two are left out: `copy_model` moves files, `transition_request` needs an
open request; both are REST calls of `shared/registries.py`, as registry_tag is."""


def furnish(system: System) -> None:
    """Make exist what the routes name."""
    system.databricks.add_job(7, parameters=("model_name",))
    system.vault.set("bench-notify", system.receiver.url.replace("http://", "json://") + "/notify")
    system.aks.add_cluster(SUBSCRIPTION, GROUP, "bench")
    workspace = system.ml.add_workspace(SUBSCRIPTION, GROUP, "bench")
    uri = f"{system.arm.url}/inference/bench/scored/score"
    scored = Endpoint(
        f"{workspace.id}/onlineEndpoints/scored", "scored", {"properties": {"authMode": "Key"}}, uri, "Succeeded"
    )
    scored.deployments["blue"] = Deployment(f"{scored.id}/deployments/blue", "blue", {"properties": {}}, "Succeeded")
    scored.traffic = {"blue": 100}
    workspace.endpoints[scored.name] = scored


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="relay-bench-routes-"))


def routes_here(system: System) -> Path:
    """Return a routes file with the benchmarks' routes and one for each target, at this system's addresses."""
    given = yaml.safe_load(ROUTES.read_text())
    for name, options in TARGETS.items():
        when = {"event": "model_version.stage_changed", "model": f"{name.replace('_', '-')}-*"}
        given["routes"].append({"name": name.replace("_", "-"), "when": when, "steps": [{name: options}]})
    text = yaml.safe_dump(given, sort_keys=False)
    text = text.replace(WORKSPACE, system.databricks.url).replace("RECEIVER", system.receiver.url)
    parse_routes(text, ROUTES.name, rules())  # a mistake in them is better told here than by a 503
    path = _folder() / f"routes-{id(system)}.yaml"
    path.write_text(text)
    return path
