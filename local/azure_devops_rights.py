"""What a caller can ask of a project before it acts: pipeline settings, the project's id, and its own rights.

Confirmed by build.json (7.1): the path and fields of PipelineGeneralSettings. By documentation: the namespace
ReleaseManagement, its bit 64 (CreateReleases), `{"value": [bool]}` in the reply. Assumed: tokens that begin with the
project's id; that a setting of the organization shows in its projects; a project's id here is made of its name.
"""

from __future__ import annotations

import uuid
from typing import Any

from aiohttp import web

from local.azure_devops_releases import Releases
from local.azure_devops_wire import collection
from local.faults import Faults
from local.identity import Identity

RELEASE_MANAGEMENT = "c788c23e-1b46-4162-8f5e-d7585343b5de"
CREATE_RELEASES = 64


class Rights(Releases):
    """`may_not_release` has the numbers of the definitions of which callers may create no releases."""

    def __init__(self, identity: Identity, faults: Faults | None = None) -> None:
        super().__init__(identity, faults)
        self.may_not_release: set[int] = set()

    def rights_routes(self) -> list[web.RouteDef]:
        """Settings, projects, permissions."""
        return [
            web.get("/{org}/{project}/_apis/build/generalsettings", self._general_settings),
            web.get("/{org}/_apis/projects/{project}", self._get_project),
            web.get(f"/{{org}}/_apis/permissions/{RELEASE_MANAGEMENT}/{CREATE_RELEASES}", self._permissions),
        ]

    async def _general_settings(self, request: web.Request) -> web.Response:
        self.project_of(request)
        off = self.classic_releases_disabled
        settings: dict[str, Any] = {"enforceJobAuthScope": True, "disableClassicReleasePipelineCreation": off}
        return web.json_response(settings)

    async def _get_project(self, request: web.Request) -> web.Response:
        key = self.project_of(request)
        return web.json_response({"id": project_id(key), "name": self.projects[key][1], "state": "wellFormed"})

    async def _permissions(self, request: web.Request) -> web.Response:
        project, _, definition = request.query["tokens"].partition("/")
        known = project in {project_id(key) for key in self.projects} and definition.isdigit()
        return collection([known and int(definition) not in self.may_not_release])


def project_id(key: tuple[str, str]) -> str:
    """The id of a project."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(key)))
