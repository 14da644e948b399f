"""What the Azure ML stand-in knows: workspaces with their models, computes, online endpoints and deployments.

Sources: mfe.json 2024-04-01 (OnlineEndpointTrackedResource, OnlineDeploymentTrackedResource, ModelVersionResource) and
machineLearningServices.json (ComputeResource) for the bodies. `AzureAsyncOperationUri` among an endpoint's properties
is as seen in recorded replies; that deployments have it too is assumed.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.azure_resource_manager import Operation

PROVIDER = "Microsoft.MachineLearningServices"
_IN_DATASTORE = re.compile(r"azureml://(?:[^/]+/[^/]+/)*datastores/([\w-]+)/paths/((?!.*\.\.)[^?#]+)")
_KEPT = ("tags", "location", "kind", "identity", "sku")


@dataclass(frozen=True)
class Start:
    """A PUT of a deployment that began an operation. Refusals are not in here."""

    endpoint: str
    deployment: str
    marker: str
    time: float


@dataclass
class Deployment:
    """A deployment as it was last put; `calls` are the inputs that it was asked to score."""

    id: str
    name: str
    body: dict[str, Any]
    state: str = "Creating"
    operation: Operation | None = None
    calls: list[Any] = field(default_factory=list)

    @property
    def tags(self) -> dict[str, str]:
        """Its tags."""
        return dict(self.body.get("tags") or {})

    def resource(self) -> dict[str, Any]:
        """The body of a reply."""
        shown = {**self.body["properties"], "provisioningState": self.state, "properties": _uri(self)}
        return _resource(self, "deployments", shown)


@dataclass
class Endpoint:
    """An online endpoint; `traffic` is what stands, not what is asked for. `busy` is its newest operation."""

    id: str
    name: str
    body: dict[str, Any]
    scoring_uri: str
    state: str = "Creating"
    operation: Operation | None = None
    busy: Operation | None = None
    traffic: dict[str, int] = field(default_factory=dict)
    deployments: dict[str, Deployment] = field(default_factory=dict)
    keys: dict[str, str] = field(
        default_factory=lambda: {"primaryKey": secrets.token_hex(16), "secondaryKey": secrets.token_hex(16)}
    )
    tokens: set[str] = field(default_factory=set)

    @property
    def tags(self) -> dict[str, str]:
        """Its tags."""
        return dict(self.body.get("tags") or {})

    @property
    def auth_mode(self) -> str:
        """How callers show who they are: Key, AMLToken or AADToken."""
        return str(self.body["properties"]["authMode"])

    @property
    def compute(self) -> str:
        """The ARM id of the attached compute, empty for a managed one."""
        return str(self.body["properties"].get("compute") or "")

    def resource(self) -> dict[str, Any]:
        """The body of a reply. Keys are never shown."""
        shown = {name: value for name, value in self.body["properties"].items() if name != "keys"}
        shown |= {"provisioningState": self.state, "traffic": dict(self.traffic), "properties": _uri(self)}
        shown |= {"scoringUri": self.scoring_uri, "swaggerUri": self.scoring_uri.replace("/score", "/swagger.json")}
        return _resource(self, "", shown)


@dataclass
class Workspace:
    """A workspace by its ARM id. Models are kept by name and version; `datastores` are folders of this machine."""

    id: str
    location: str
    subscription: str
    computes: dict[str, dict[str, Any]] = field(default_factory=dict)
    models: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    datastores: dict[str, Path] = field(default_factory=dict)

    def add_compute(self, name: str, namespace: str = "default", kind: str = "Kubernetes") -> str:
        """Attach a compute, Kubernetes unless told otherwise; return its ARM id."""
        compute_id = f"{self.id}/computes/{name}"
        properties: dict[str, Any] = {"computeType": kind, "provisioningState": "Succeeded", "isAttachedCompute": True}
        properties["properties"] = {"namespace": namespace, "defaultInstanceType": "defaultInstanceType"}
        resource = {"id": compute_id, "name": name, "type": f"{PROVIDER}/workspaces/computes"}
        self.computes[name] = {**resource, "location": self.location, "properties": properties}
        return compute_id

    def add_model(self, name: str, version: str, uri: str = "azureml://jobs/1/outputs/model") -> str:
        """Register a model version; return its ARM id."""
        return self.put_model(name, version, {"modelType": "mlflow_model", "modelUri": uri})

    def put_model(self, name: str, version: str, properties: dict[str, Any]) -> str:
        """Keep a model version as it was put; return its ARM id."""
        model_id = f"{self.id}/models/{name}/versions/{version}"
        shown = {**properties, "provisioningState": "Succeeded"}
        resource_type = f"{PROVIDER}/workspaces/models/versions"
        self.models[name, version] = {"id": model_id, "name": version, "type": resource_type, "properties": shown}
        return model_id

    def model(self, model_id: str) -> dict[str, Any] | None:
        """The model version by its ARM id."""
        return next((model for model in self.models.values() if model["id"].lower() == model_id.lower()), None)

    def files_of(self, model_id: str) -> Path | None:
        """The folder of an MLflow model in one of the datastores; None for a model that is kept elsewhere."""
        properties = (self.model(model_id) or {}).get("properties", {})
        match = _IN_DATASTORE.fullmatch(str(properties.get("modelUri")))
        if properties.get("modelType") != "mlflow_model" or match is None or match[1] not in self.datastores:
            return None
        return self.datastores[match[1]] / match[2]


def _uri(thing: Endpoint | Deployment) -> dict[str, str]:
    given = dict(thing.body["properties"].get("properties") or {})
    return given | ({"AzureAsyncOperationUri": thing.operation.status_url} if thing.operation else {})


def _resource(thing: Endpoint | Deployment, kind: str, properties: dict[str, Any]) -> dict[str, Any]:
    kept = {name: thing.body[name] for name in _KEPT if name in thing.body}
    resource_type = f"{PROVIDER}/workspaces/onlineEndpoints{'/' + kind if kind else ''}"
    return {"id": thing.id, "name": thing.name, "type": resource_type, **kept, "properties": properties}
