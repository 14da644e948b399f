"""The scoring side of an endpoint: MLflow models whose files are in a datastore are really served, each in a process.

A model that is kept elsewhere is played by a very small one: the sum of each row.
Sources: "Troubleshoot online endpoints" (401, 404 without traffic, 408, 424 when the model fails, 429); "Deploy MLflow
models" (`input_data` as rows, or as columns, index and data); the header azureml-model-deployment picks a deployment.
Assumed: the bodies of refusals.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from typing import Any

from aiohttp import web

from local.azure_ml_container import Container
from local.azure_ml_endpoints import Endpoints
from local.azure_ml_model import Deployment, Endpoint
from local.azure_resource_manager import AzureResourceManager, Operation, RefusedError, body_of

ML_AUDIENCE = "https://ml.azure.com"
HEADER = "azureml-model-deployment"


class Scoring(Endpoints):
    """Endpoints that answer. `slowness` is how many seconds the model takes; `containers` are kept by ARM id."""

    slowness = 0.0

    def __init__(self, arm: AzureResourceManager) -> None:
        super().__init__(arm)
        self.containers: dict[str, Container] = {}
        self._starting: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        """End the containers. They are of no use to whoever still asks."""
        for container in self.containers.values():
            container.stop()
        self.containers.clear()

    def scoring_routes(self) -> list[web.RouteDef]:
        """One URL per endpoint; it knows nothing of Resource Manager's tokens."""
        self._turns = itertools.count()
        return [web.post("/inference/{workspace}/{endpoint}/score", self._score)]

    async def _put_deployment(self, request: web.Request) -> web.Response:
        """As any deployment; where there is a model to be served, the operation lasts until it is, or has crashed."""
        answer = await super()._put_deployment(request)
        workspace, endpoint = self.workspace_of(request), self._endpoint_of(request)
        deployment = endpoint.deployments[request.match_info["deployment"]]
        if old := self.containers.pop(deployment.id, None):
            old.stop()
        folder = workspace.files_of(str(deployment.body["properties"]["model"]))
        if folder is not None and deployment.operation is not None:
            self.containers[deployment.id] = container = Container(folder)
            self._serve(container, deployment, deployment.operation)
        return answer

    def _serve(self, container: Container, deployment: Deployment, operation: Operation) -> None:
        ends, finish = operation.ends, operation.finish

        def served() -> None:
            finish()
            if container.problem:
                deployment.state = "Failed"
                raise RefusedError(400, "UserContainerCrash", container.problem)

        async def start() -> None:
            try:
                await container.ready()
            finally:
                operation.ends = ends

        operation.ends, operation.finish = math.inf, served
        task = asyncio.create_task(start())
        self._starting.add(task)  # the loop itself holds tasks weakly
        task.add_done_callback(self._starting.discard)

    async def _score(self, request: web.Request) -> web.Response:
        endpoint = self._scored(request)
        if not self._may_call(endpoint, request.headers.get("Authorization", "")):
            raise RefusedError(401, "Unauthorized", "The key or token is missing or wrong.")
        deployment = self._chosen(endpoint, request.headers.get(HEADER, ""))
        body = await body_of(request)
        deployment.calls.append(body.get("input_data"))
        await asyncio.sleep(self.slowness)
        container = self.containers.get(deployment.id)
        status, answer = await container.score(body) if container else _summed(body.get("input_data"))
        if status != 200:
            raise RefusedError(424, "ModelError", f"The model failed with {answer['error']}")
        return web.json_response(answer, headers={HEADER: deployment.name})

    def _scored(self, request: web.Request) -> Endpoint:
        for workspace in self.workspaces.values():
            endpoint = workspace.endpoints.get(request.match_info["endpoint"])
            if endpoint and workspace.id.endswith(f"/{request.match_info['workspace']}"):
                return endpoint
        raise RefusedError(404, "NotFound", "There is no such endpoint.")

    def _may_call(self, endpoint: Endpoint, authorization: str) -> bool:
        _, _, shown = authorization.partition(" ")
        if endpoint.auth_mode == "Key":
            return shown in endpoint.keys.values()
        if endpoint.auth_mode == "AMLToken":
            return shown in endpoint.tokens
        return self.arm.identity.accepts(authorization, ML_AUDIENCE)

    def _chosen(self, endpoint: Endpoint, named: str) -> Deployment:
        """The deployment that the header names, else one by its share of the traffic: in turn, not by chance."""
        wheel = [name for name, share in sorted(endpoint.traffic.items()) for _ in range(share)]
        if not named and not wheel:
            raise RefusedError(404, "NotFound", "The endpoint has no deployment with traffic.")
        name = named or wheel[next(self._turns) * 37 % len(wheel)]
        if name not in endpoint.deployments or endpoint.deployments[name].state != "Succeeded":
            raise RefusedError(404, "NotFound", f"The deployment {name} is not there to answer.")
        return endpoint.deployments[name]


def _summed(given: Any) -> tuple[int, Any]:
    try:
        return 200, [sum(row) for row in _rows(given)]
    except (TypeError, KeyError) as error:
        return 424, {"error": f"{type(error).__name__}: {error}"}


def _rows(given: Any) -> list[list[Any]]:
    rows: list[list[Any]] = given["data"] if isinstance(given, dict) else given
    return rows
