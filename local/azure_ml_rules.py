"""What Azure ML refuses: bodies that its spec does not allow, and what contradicts the state of an endpoint.

Sources: mfe.json 2024-04-01 (required fields, enums, patterns, durations, mutability); "Online endpoint YAML schema"
(the traffic is 0 or 100 in all); "Deploy MLflow models" (an environment is needed for other models only).
Assumed: the codes and wording of refusals; that all of them are 400.
"""

from __future__ import annotations

import re
from typing import Any

from local.azure_ml_model import Deployment, Endpoint, Workspace
from local.azure_resource_manager import RefusedError

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9\-_]{0,254}")
_DURATION = re.compile(r"P(?=.)(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?")
_AUTH_MODES = ("AMLToken", "Key", "AADToken")
_COMPUTE_TYPES = ("Managed", "Kubernetes", "AzureMLCompute")
_SCALE_TYPES = ("Default", "TargetUtilization")
_REQUEST_DURATIONS = ("maxQueueWait", "requestTimeout")


def refused(message: str, code: str = "BadRequest") -> RefusedError:
    """400, in the service's form."""
    return RefusedError(400, code, message)


def check_name(what: str, name: str) -> None:
    """Refuse a name that the spec's pattern does not match."""
    if not _NAME.fullmatch(name):
        raise refused(f"The {what} name '{name}' does not match the pattern ^[a-zA-Z0-9][a-zA-Z0-9\\-_]{{0,254}}$.")


def check_tracked(body: dict[str, Any]) -> dict[str, Any]:
    """Refuse a body without location or properties, and tags that are no texts; return the properties."""
    if not isinstance(body.get("location"), str) or not body["location"]:
        raise refused("The location property is required for this definition.", "LocationRequired")
    tags = body.get("tags") or {}
    if not isinstance(tags, dict) or not all(isinstance(value, str) and len(value) <= 256 for value in tags.values()):
        raise refused("Tags have to be texts of 256 characters at most.", "InvalidTags")
    sku = body.get("sku") or {"name": "Default"}
    if not isinstance(sku.get("name"), str) or (type(sku.get("capacity", 1)) is not int or sku.get("capacity", 1) < 1):
        raise refused("The sku needs a name, and a capacity of 1 at least.")
    return properties_of(body)


def properties_of(body: dict[str, Any]) -> dict[str, Any]:
    """The properties of a body. Refuses one without."""
    properties = body.get("properties")
    if not isinstance(properties, dict):
        raise refused("The Properties field is required.")
    return properties


def check_endpoint(workspace: Workspace, body: dict[str, Any], known: Endpoint | None) -> None:
    """Refuse a body of an endpoint."""
    properties = check_tracked(body)
    if properties.get("authMode") not in _AUTH_MODES:
        raise refused("The AuthMode field is required: AMLToken, Key or AADToken.")
    compute = properties.get("compute")
    ids = [each["id"].lower() for each in workspace.computes.values()]
    if compute is not None and str(compute).lower() not in ids:
        raise refused(f"The compute '{compute}' could not be found.", "ComputeNotFound")
    if known is not None and known.compute.lower() != str(compute or "").lower() and known.deployments:
        raise refused("The compute of an endpoint with deployments cannot be changed.")
    deployments = known.deployments if known else {}
    _check_traffic(properties.get("traffic") or {}, deployments)


def _check_traffic(traffic: Any, deployments: dict[str, Deployment]) -> None:
    if not isinstance(traffic, dict) or not all(type(share) is int and share >= 0 for share in traffic.values()):
        raise refused("Traffic has to be a whole number for each deployment.")
    if absent := sorted(name for name in traffic if name not in deployments):
        raise refused(f"Traffic names deployments that do not exist: {', '.join(absent)}.", "DeploymentNotFound")
    if sum(traffic.values()) not in (0, 100):
        raise refused(f"The sum of traffic has to be 0 or 100, not {sum(traffic.values())}.", "InvalidTraffic")
    broken = sorted(name for name, share in traffic.items() if share and deployments[name].state == "Failed")
    if broken:
        raise refused(f"Traffic cannot go to deployments that have failed: {', '.join(broken)}.", "InvalidTraffic")


def check_deployment(workspace: Workspace, endpoint: Endpoint, body: dict[str, Any], known: Deployment | None) -> None:
    """Refuse a body of a deployment."""
    properties = check_tracked(body)
    kind = properties.get("endpointComputeType")
    if kind not in _COMPUTE_TYPES:
        raise refused("The EndpointComputeType field is required: Managed, Kubernetes or AzureMLCompute.")
    if (kind == "Kubernetes") != bool(endpoint.compute):
        raise refused(f"A deployment of compute type {kind} does not fit the compute of its endpoint.")
    if kind == "Managed" and not properties.get("instanceType"):
        raise refused("The InstanceType field is required for managed deployments.")
    if known and known.body["properties"].get("instanceType") != properties.get("instanceType"):
        raise refused("The InstanceType of a deployment cannot be changed.")
    _check_settings(properties)
    _check_model(workspace, properties)


def _check_settings(properties: dict[str, Any]) -> None:
    scale = properties.get("scaleSettings")
    if scale is not None and scale.get("scaleType") not in _SCALE_TYPES:
        raise refused("The ScaleType field is required: Default or TargetUtilization.")
    settings = properties.get("requestSettings") or {}
    for name in _REQUEST_DURATIONS:
        if name in settings and not _DURATION.fullmatch(str(settings[name])):
            raise refused(f"The {name} '{settings[name]}' is no ISO 8601 duration.")
    code = properties.get("codeConfiguration")
    if code is not None and not code.get("scoringScript"):
        raise refused("The ScoringScript field is required.")


def _check_model(workspace: Workspace, properties: dict[str, Any]) -> None:
    model_id = properties.get("model")
    if not model_id:
        raise refused("A model is required.")
    if str(model_id).startswith("azureml://registries/"):
        return
    model = workspace.model(str(model_id))
    if model is None:
        raise refused(f"The model '{model_id}' could not be found.", "ModelNotFound")
    if model["properties"].get("modelType") != "mlflow_model" and not properties.get("environmentId"):
        raise refused("An environment is required unless the model is an MLflow model.")


def check_model_version(name: str, body: dict[str, Any], known: dict[str, Any] | None) -> dict[str, Any]:
    """Refuse a body of a model version; return its properties."""
    check_name("model", name)
    properties = properties_of(body)
    if not properties.get("modelUri"):
        raise refused("The ModelUri field is required.")
    if known and known["properties"]["modelUri"] != properties["modelUri"]:
        raise RefusedError(409, "Conflict", "A model version with another path exists; it cannot be changed.")
    return properties
