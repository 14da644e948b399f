"""Online endpoints and their deployments: each change is an operation, and one at a time on an endpoint.

Sources: mfe.json 2024-04-01 (201 with Azure-AsyncOperation for what is new, 200 without for a change, 202 with
Location for a deletion). Assumed: that a second operation is refused with 409, that traffic shifts at the end of an
operation and all else is shown at once, and that a deployment with traffic can't be deleted.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from local.azure_ml_model import PROVIDER, Deployment, Endpoint, Start, Workspace
from local.azure_ml_rules import check_deployment, check_endpoint, check_name, refused
from local.azure_resource_manager import AzureResourceManager, Operation, RefusedError, body_of

WORKSPACE_PATH = (
    "/subscriptions/{subscription}/resourceGroups/{group}"
    "/providers/Microsoft.MachineLearningServices/workspaces/{workspace}"
)
_ENDPOINT = WORKSPACE_PATH + "/onlineEndpoints/{endpoint}"
_DEPLOYMENT = _ENDPOINT + "/deployments/{deployment}"


class Endpoints:
    """Workspaces and what is put into them. `seconds` is how long an operation takes.

    `failures` maps `endpoint` or `deployment` to the code and message with which the next such operation will fail.
    """

    def __init__(self, arm: AzureResourceManager) -> None:
        self.arm = arm
        self.seconds = 0.3
        self.failures: dict[str, tuple[str, str]] = {}
        self.workspaces: dict[str, Workspace] = {}
        self.starts: list[Start] = []

    def endpoint_routes(self) -> list[web.RouteDef]:
        """Endpoints, their keys and tokens, their deployments."""
        return [
            web.get(_ENDPOINT, self._get_endpoint),
            web.put(_ENDPOINT, self._put_endpoint),
            web.post(_ENDPOINT + "/listKeys", self._list_keys),
            web.post(_ENDPOINT + "/token", self._token),
            web.get(_ENDPOINT + "/deployments", self._list_deployments),
            web.get(_DEPLOYMENT, self._get_deployment),
            web.put(_DEPLOYMENT, self._put_deployment),
            web.delete(_DEPLOYMENT, self._delete_deployment),
        ]

    def workspace_of(self, request: web.Request) -> Workspace:
        """The workspace that the path names."""
        workspace_id = WORKSPACE_PATH.format(**request.match_info)
        if workspace_id.lower() not in self.workspaces:
            name = request.match_info["workspace"]
            message = f"The Resource '{PROVIDER}/workspaces/{name}' under its resource group was not found."
            raise RefusedError(404, "ResourceNotFound", message)
        return self.workspaces[workspace_id.lower()]

    def _endpoint_of(self, request: web.Request) -> Endpoint:
        endpoint = self.workspace_of(request).endpoints.get(request.match_info["endpoint"])
        if endpoint is None:
            raise _not_found(f"Endpoint {request.match_info['endpoint']}")
        return endpoint

    async def _get_endpoint(self, request: web.Request) -> web.Response:
        return web.json_response(self._endpoint_of(request).resource())

    async def _put_endpoint(self, request: web.Request) -> web.Response:
        workspace, name, body = self.workspace_of(request), request.match_info["endpoint"], await body_of(request)
        check_name("endpoint", name)
        known = workspace.endpoints.get(name)
        check_endpoint(workspace, body, known)
        if known:
            _require_idle(known)
        workspace_name = request.match_info["workspace"]
        uri = f"{self.arm.url}/inference/{workspace_name}/{name}/score"
        endpoint = known or Endpoint(f"{workspace.id}/onlineEndpoints/{name}", name, body, uri)
        workspace.endpoints[name] = endpoint
        endpoint.body, endpoint.state = body, "Updating" if known else "Creating"
        failure = self.failures.pop("endpoint", None)

        def finish() -> None:
            endpoint.state = "Failed" if failure else "Succeeded"
            if failure:
                raise RefusedError(400, *failure)
            endpoint.traffic = dict(body["properties"].get("traffic") or {})

        endpoint.operation = endpoint.busy = self._begin(workspace, finish)
        return _accepted(endpoint, created=known is None)

    async def _list_deployments(self, request: web.Request) -> web.Response:
        found = self._endpoint_of(request).deployments.values()
        return web.json_response({"value": [each.resource() for each in found], "nextLink": None})

    async def _get_deployment(self, request: web.Request) -> web.Response:
        name = request.match_info["deployment"]
        deployment = self._endpoint_of(request).deployments.get(name)
        if deployment is None:
            raise _not_found(f"Deployment {name}")
        return web.json_response(deployment.resource())

    async def _put_deployment(self, request: web.Request) -> web.Response:
        workspace, endpoint = self.workspace_of(request), self._endpoint_of(request)
        name, body = request.match_info["deployment"], await body_of(request)
        check_name("deployment", name)
        known = endpoint.deployments.get(name)
        check_deployment(workspace, endpoint, body, known)
        _require_idle(endpoint)
        deployment = known or Deployment(f"{endpoint.id}/deployments/{name}", name, body)
        endpoint.deployments[name] = deployment
        deployment.body, deployment.state = body, "Updating" if known else "Creating"
        marker = deployment.tags.get("relay-marker", "")
        self.starts.append(Start(endpoint.name, name, marker, self.arm.clock()))
        failure = self.failures.pop("deployment", None)

        def finish() -> None:
            deployment.state = "Failed" if failure else "Succeeded"
            if failure:
                raise RefusedError(400, *failure)

        deployment.operation = endpoint.busy = self._begin(workspace, finish)
        return _accepted(deployment, created=known is None)

    async def _delete_deployment(self, request: web.Request) -> web.Response:
        workspace, endpoint = self.workspace_of(request), self._endpoint_of(request)
        name = request.match_info["deployment"]
        if name not in endpoint.deployments:
            return web.Response(status=204)
        if endpoint.traffic.get(name):
            raise refused(f"Cannot delete the deployment {name}: it has live traffic.", "DeploymentHasTraffic")
        _require_idle(endpoint)
        endpoint.deployments[name].state = "Deleting"

        def finish() -> None:
            del endpoint.deployments[name]
            endpoint.traffic.pop(name, None)

        endpoint.busy = operation = self._begin(workspace, finish)
        return web.Response(status=202, headers={"Location": operation.location})

    async def _list_keys(self, request: web.Request) -> web.Response:
        endpoint = self._endpoint_of(request)
        if endpoint.auth_mode != "Key":
            raise refused("Keys exist for endpoints with the auth mode Key only.")
        return web.json_response(endpoint.keys)

    async def _token(self, request: web.Request) -> web.Response:
        endpoint = self._endpoint_of(request)
        if endpoint.auth_mode != "AMLToken":
            raise refused("Tokens exist for endpoints with the auth mode AMLToken only.")
        token, expiry = f"aml-token-{len(endpoint.tokens)}-{endpoint.name}", int(self.arm.clock()) + 3600
        endpoint.tokens.add(token)
        times = {"expiryTimeUtc": expiry, "refreshAfterTimeUtc": expiry - 1800}
        return web.json_response({"accessToken": token, "tokenType": "Bearer", **times})

    def _begin(self, workspace: Workspace, finish: Any) -> Operation:
        return self.arm.begin(workspace.subscription, PROVIDER, workspace.location, self.seconds, finish)


def _not_found(what: str) -> RefusedError:
    return RefusedError(404, "NotFound", f"{what} was not found.")


def _require_idle(endpoint: Endpoint) -> None:
    if endpoint.busy and endpoint.busy.status == "InProgress":
        message = f"Another operation is in progress on the endpoint {endpoint.name}. Try again when it has ended."
        raise RefusedError(409, "Conflict", message)


def _accepted(thing: Endpoint | Deployment, *, created: bool) -> web.Response:
    """201 with the operation for what is new; the spec has no header for a change, its state tells how it stands."""
    headers = {"x-ms-async-operation-timeout": "PT2H"}
    if created and thing.operation:
        headers["Azure-AsyncOperation"] = thing.operation.status_url
    return web.json_response(thing.resource(), status=201 if created else 200, headers=headers)
