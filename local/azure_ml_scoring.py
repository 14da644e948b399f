"""The scoring side of an endpoint, and a very small model: the sum of each row.

Sources: "Troubleshoot online endpoints" (401, 404 without traffic, 408, 424 when the model fails, 429); "Deploy MLflow
models" (`input_data` as rows, or as columns, index and data); the header azureml-model-deployment picks a deployment.
Assumed: the bodies of refusals.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from aiohttp import web

from local.azure_ml_endpoints import Endpoints
from local.azure_ml_model import Deployment, Endpoint
from local.azure_resource_manager import RefusedError, body_of

ML_AUDIENCE = "https://ml.azure.com"
HEADER = "azureml-model-deployment"


class Scoring(Endpoints):
    """Endpoints that answer. `slowness` is how many seconds the model takes."""

    slowness = 0.0

    def scoring_routes(self) -> list[web.RouteDef]:
        """One URL per endpoint; it knows nothing of Resource Manager's tokens."""
        self._turns = itertools.count()
        return [web.post("/inference/{workspace}/{endpoint}/score", self._score)]

    async def _score(self, request: web.Request) -> web.Response:
        endpoint = self._scored(request)
        if not self._may_call(endpoint, request.headers.get("Authorization", "")):
            raise RefusedError(401, "Unauthorized", "The key or token is missing or wrong.")
        deployment = self._chosen(endpoint, request.headers.get(HEADER, ""))
        given = (await body_of(request)).get("input_data")
        deployment.calls.append(given)
        await asyncio.sleep(self.slowness)
        try:
            answer = [sum(row) for row in _rows(given)]
        except (TypeError, KeyError) as error:
            message = f"The model failed with {type(error).__name__}: {error}"
            raise RefusedError(424, "ModelError", message) from None
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


def _rows(given: Any) -> list[list[Any]]:
    rows: list[list[Any]] = given["data"] if isinstance(given, dict) else given
    return rows
