"""Stand-in for Azure Machine Learning: a part of Resource Manager, with the endpoints that answer.

Sources: machineLearningServices.json and mfe.json 2024-04-01 (computes, models). Workspaces and computes can only be
read here: `add_workspace` and `Workspace.add_compute` make them.
"""

from __future__ import annotations

from aiohttp import web

from local.azure_ml_endpoints import WORKSPACE_PATH
from local.azure_ml_model import PROVIDER, Workspace
from local.azure_ml_rules import check_model_version
from local.azure_ml_scoring import Scoring
from local.azure_resource_manager import AzureResourceManager, RefusedError, body_of

_COMPUTE = WORKSPACE_PATH + "/computes/{compute}"
_MODEL = WORKSPACE_PATH + "/models/{model}/versions/{version}"


class AzureML(Scoring):
    """Workspaces. It mounts itself on the Resource Manager that it is given, before that starts."""

    def __init__(self, arm: AzureResourceManager) -> None:
        super().__init__(arm)
        arm.mount(self)

    def add_workspace(self, subscription: str, group: str, name: str, location: str = "westeurope") -> Workspace:
        """Make a workspace exist, with its resource group; return it."""
        self.arm.add_group(subscription, group)
        workspace_id = WORKSPACE_PATH.format(subscription=subscription, group=group, workspace=name)
        workspace = Workspace(workspace_id, location, subscription)
        return self.workspaces.setdefault(workspace_id.lower(), workspace)

    def routes(self) -> list[web.RouteDef]:
        """What a workspace answers, and the endpoints in it."""
        return [
            web.get(WORKSPACE_PATH, self._workspace),
            web.get(_COMPUTE, self._compute),
            web.get(_MODEL, self._get_model),
            web.put(_MODEL, self._put_model),
            *self.endpoint_routes(),
            *self.scoring_routes(),
        ]

    async def _workspace(self, request: web.Request) -> web.Response:
        workspace, name = self.workspace_of(request), request.match_info["workspace"]
        properties = {"provisioningState": "Succeeded"}
        body = {"id": workspace.id, "name": name, "type": f"{PROVIDER}/workspaces", "location": workspace.location}
        return web.json_response({**body, "properties": properties})

    async def _compute(self, request: web.Request) -> web.Response:
        compute = self.workspace_of(request).computes.get(request.match_info["compute"])
        if compute is None:
            name = request.match_info["compute"]
            raise RefusedError(404, "ComputeNotFound", f"There is no compute named {name} in this workspace.")
        return web.json_response(compute)

    async def _get_model(self, request: web.Request) -> web.Response:
        name, version = request.match_info["model"], request.match_info["version"]
        model = self.workspace_of(request).models.get((name, version))
        if model is None:
            raise RefusedError(404, "NotFound", f"Model container {name} or its version {version} was not found.")
        return web.json_response(model)

    async def _put_model(self, request: web.Request) -> web.Response:
        workspace, body = self.workspace_of(request), await body_of(request)
        name, version = request.match_info["model"], request.match_info["version"]
        known = workspace.models.get((name, version))
        workspace.put_model(name, version, check_model_version(name, body, known))
        return web.json_response(workspace.models[name, version], status=200 if known else 201)
