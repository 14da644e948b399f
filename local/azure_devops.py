"""Stand-in for Azure DevOps: one server that plays dev.azure.com and, under `/vsrm`, vsrm.dev.azure.com.

The discovery that the azure-devops SDK does before its first call is here: OPTIONS on both hosts, and
ResourceAreas, which sends release calls to the second host. Location ids, areas and versions are those that
SDK 7.1.0b4 asks for; the templates have the variables it fills in.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from aiohttp import web

from local.azure_devops_builds import Builds
from local.azure_devops_rights import Rights
from local.azure_devops_wire import SIGN_IN_PAGE, collection

BUILD_AREA = "965220d5-5bb9-42cf-8d67-9b146df2a5a4"
RELEASE_AREA = "efc2f575-36ef-48e9-b672-0c6fb4a48ac5"

# id, area, resource, template, version of the resource
_LOCATIONS = [
    ("e81700f7-3be2-46de-8624-2eb35882fcaa", "Location", "ResourceAreas", "_apis/{resource}/{areaId}", 1),
    (
        "28e1305e-2afe-47bf-abaf-cbb0e6a91988",
        "pipelines",
        "pipelines",
        "{project}/_apis/{resource}/{pipelineId}",
        1,
    ),
    (
        "7859261e-d2e9-4a68-b820-a5d84cc5bb3d",
        "pipelines",
        "runs",
        "{project}/_apis/pipelines/{pipelineId}/{resource}/{runId}",
        1,
    ),
    (
        "53df2d18-29ea-46a9-bee0-933540f80abf",
        "pipelines",
        "preview",
        "{project}/_apis/pipelines/{pipelineId}/{resource}",
        1,
    ),
    (
        "0cd358e1-9217-4d94-8269-1c1ee6f93dcf",
        "build",
        "Builds",
        "{project}/_apis/build/{resource}/{buildId}",
        7,
    ),
    (
        "6e6114b2-8161-44c8-8f6c-c5505782427f",
        "build",
        "tags",
        "{project}/_apis/{area}/builds/{buildId}/{resource}/{*tag}",
        3,
    ),
]
_RELEASE_LOCATIONS = [
    (
        "a166fde7-27ad-408e-ba75-703c2cc9d500",
        "Release",
        "releases",
        "{project}/_apis/{area}/{resource}/{releaseId}",
        8,
    ),
    (
        "d8f96f24-8ea7-4cb6-baab-2df8fc515665",
        "Release",
        "definitions",
        "{project}/_apis/{area}/{resource}/{definitionId}",
        4,
    ),
]


class AzureDevOps(Rights, Builds):
    """Organisations with their projects, release definitions, releases, pipelines and runs.

    An organisation exists once `add_definition` or `add_pipeline` has named it. A caller shows a token that
    the identity stand-in issued for Azure DevOps, or one of `pats`; anyone else gets what `bad_auth` says.
    """

    def routes(self) -> list[web.RouteDef]:
        """Discovery, releases, pipelines, and the page to sign in."""
        return [
            web.get("/_signin", self._sign_in),
            web.options("/vsrm/{org}/_apis", self._release_locations),
            web.options("/{org}/_apis", self._locations),
            web.get("/{org}/_apis/ResourceAreas", self._areas),
            web.get("/{org}/_apis/ResourceAreas/{area}", self._area),
            *self.release_routes(),
            *self.rights_routes(),
            *self.pipeline_routes(),
            *self.build_routes(),
        ]

    async def _sign_in(self, _request: web.Request) -> web.Response:
        return web.Response(text=SIGN_IN_PAGE, content_type="text/html")

    async def _locations(self, request: web.Request) -> web.Response:
        self._organization(request)
        return collection(_location(*each) for each in _LOCATIONS)

    async def _release_locations(self, request: web.Request) -> web.Response:
        self._organization(request)
        return collection(_location(*each) for each in _RELEASE_LOCATIONS)

    async def _areas(self, request: web.Request) -> web.Response:
        return collection(self._area_list(request))

    async def _area(self, request: web.Request) -> web.Response:
        wanted = request.match_info["area"].lower()
        found = [area for area in self._area_list(request) if area["id"] == wanted]
        return web.json_response(found[0] if found else None)

    def _area_list(self, request: web.Request) -> list[dict[str, str]]:
        org = quote(self._organization(request))
        return [
            {"id": BUILD_AREA, "name": "build", "locationUrl": f"{self.url}/{org}/"},
            {"id": RELEASE_AREA, "name": "Release", "locationUrl": f"{self.url}/vsrm/{org}/"},
        ]

    def _organization(self, request: web.Request) -> str:
        """The name as it was registered: the SDK asks in lower case, as its own cache does."""
        wanted = request.match_info["org"].lower()
        for org, _ in self.projects.values():
            if org.lower() == wanted:
                return org
        raise web.HTTPNotFound


def _location(number: str, area: str, resource: str, template: str, version: int) -> dict[str, Any]:
    return {
        "id": number,
        "area": area,
        "resourceName": resource,
        "routeTemplate": template,
        "resourceVersion": version,
        "minVersion": 1.0,
        "maxVersion": 7.2,
        "releasedVersion": "7.1",
    }
