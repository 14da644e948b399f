"""Classic releases: create, read, list, activate, abandon, and the environments' progress.

Confirmed by release.json (7.1): paths, ReleaseStartMetadata, ReleaseUpdateMetadata, statuses, the list's
defaults, properties only where `propertyFilters` asks for them; by its examples: name `Release-N`, empty
`properties` in the reply to a create, no environments in a list. Assumed: which changes of status are
refused; what an abandoned release does to stages under way; the reply when releases are switched off. (That
setting is documented for new release *definitions*; whether it refuses releases of old ones is unconfirmed.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

from local import azure_devops_release_model as model
from local.azure_devops_release_model import Definition, Key, Release
from local.azure_devops_wire import (
    AzureDevOpsBase,
    RefusedError,
    Start,
    body_of,
    collection,
    listed,
    page,
    timestamp,
)
from local.faults import Faults
from local.identity import Identity

DEFAULT_TOP = 50


class Releases(AzureDevOpsBase):
    """The part of vsrm.dev.azure.com that the app uses."""

    def __init__(self, identity: Identity, faults: Faults | None = None) -> None:
        super().__init__(identity, faults)
        self.definitions: dict[tuple[Key, int], Definition] = {}
        self.releases: dict[int, Release] = {}
        self.release_seconds = 0.0
        """How long each environment takes, one after the other."""
        self.classic_releases_disabled = False

    def add_definition(
        self,
        org: str,
        project: str,
        definition_id: int,
        *,
        name: str = "Model release",
        artifacts: Iterable[str] = (),
        environments: Iterable[str] = ("QA",),
        variables: Mapping[str, str] | None = None,
        settable: Iterable[str] | None = None,
    ) -> Definition:
        """Make a release definition known, and its project with it."""
        key = self.add_project(org, project)
        allowed = None if settable is None else set(settable)
        definition = Definition(definition_id, name, key, [*artifacts], [*environments], dict(variables or {}), allowed)
        self.definitions[key, definition_id] = definition
        return definition

    def release_routes(self) -> list[web.RouteDef]:
        """Everything under `/vsrm`, which plays the second host, and the page behind a release's link."""
        # The service itself does not care about case, and writes `Release` in its own links.
        base = "/vsrm/{org}/{project}/_apis/{area:[Rr]elease}"
        return [
            web.post(base + "/releases", self._create_release),
            web.get(base + "/releases", self._list_releases),
            web.get(base + r"/releases/{id:\d+}", self._get_release),
            web.patch(base + r"/releases/{id:\d+}", self._update_release),
            web.get(base + "/definitions", self._list_definitions),
            web.get(base + r"/definitions/{id:\d+}", self._get_definition),
            web.get("/{org}/{project}/_release", self._release_page),
        ]

    # Handlers do not wait between a check and the change that follows from it: on one event loop this makes
    # each of them atomic, so that two racing activations start a release once, as the real service does.

    async def _create_release(self, request: web.Request) -> web.Response:
        key, body = self.project_of(request), await body_of(request)
        if self.classic_releases_disabled:
            message = "Creation of classic release pipelines is disabled for this organization."
            raise RefusedError(403, "InvalidOperationException", message)
        definition = self._definition(key, body.get("definitionId"))
        release = self._new_release(definition, body)
        self.releases[release.id] = release
        if not body.get("isDraft"):
            self._start_release(release)
        return web.json_response(self._release(release))

    def _new_release(self, definition: Definition, body: dict[str, Any]) -> Release:
        now = round(self.clock(), 3)
        variables, artifacts = model.variables(definition, body), model.artifacts(definition, body)
        properties = model.properties(body)
        definition.releases += 1
        return Release(
            id=len(self.releases) + 1,
            name=f"Release-{definition.releases}",
            definition=definition,
            status="draft",
            created=now,
            modified=now,
            description=body.get("description") or "",
            # The example sends "none" and gets "manual" back.
            reason="manual" if body.get("reason") in (None, "none") else body["reason"],
            properties=properties,
            variables=variables,
            artifacts=artifacts,
            manual=set(body.get("manualEnvironments") or []),
        )

    def _start_release(self, release: Release) -> None:
        release.status, release.started, release.result = "active", self.clock(), self.take_result()
        org, project = self.projects[release.definition.project]
        self.starts.append(
            Start(
                kind="release",
                id=release.id,
                organization=org,
                project=project,
                definition=release.definition.id,
                time=release.started,
                description=release.description,
                properties=release.properties,
                parameters={},
                variables=release.variables,
            )
        )

    async def _update_release(self, request: web.Request) -> web.Response:
        release, body = self._found(request), await body_of(request)
        wanted = body.get("status") or release.status
        if wanted != release.status:
            self._change_status(release, wanted)
        if body.get("comment"):
            release.comments.append(body["comment"])
        release.name = body.get("name") or release.name
        release.modified = round(self.clock(), 3)
        return web.json_response(self._release(release))

    def _change_status(self, release: Release, wanted: str) -> None:
        allowed = {"draft": ("active", "abandoned"), "active": ("abandoned",), "abandoned": ()}
        if wanted not in allowed[release.status]:
            message = f"VS402851: The status of release {release.id} can't go from {release.status} to {wanted}."
            raise RefusedError(400, "InvalidReleaseStatusUpdateException", message)
        if wanted == "active":
            self._start_release(release)
        else:
            release.status = "abandoned"

    async def _get_release(self, request: web.Request) -> web.Response:
        return web.json_response(self._release(self._found(request), _asked_properties(request)))

    async def _list_releases(self, request: web.Request) -> web.Response:
        key, query = self.project_of(request), request.query
        seen = self.clock() - self.list_lag_seconds
        found = [
            release
            for release in self.releases.values()
            if release.definition.project == key and release.created <= seen and model.matches(release, query)
        ]
        ascending = query.get("queryOrder") == "ascending"
        found.sort(key=lambda release: release.id, reverse=not ascending)
        if "continuationToken" in query:
            token = int(query["continuationToken"])
            found = [each for each in found if (each.id >= token if ascending else each.id <= token)]
        top = int(query.get("$top", DEFAULT_TOP))
        headers = {"x-ms-continuationtoken": str(found[top].id)} if len(found) > top else None
        asked, expand = _asked_properties(request), listed(query.get("$expand"))
        return collection((self._listed(each, asked, expand) for each in found[:top]), headers)

    def _listed(self, release: Release, asked: list[str], expand: list[str]) -> dict[str, Any]:
        item = self._release(release, asked)
        for name in ("environments", "artifacts"):
            if name not in expand:
                del item[name]
        if "variables" not in expand:
            item["variables"] = {}
        return item

    def _release(self, release: Release, asked: Iterable[str] = ()) -> dict[str, Any]:
        definition = release.definition
        base = self.project_url(definition.project, "/vsrm")
        url = f"{base}/_apis/Release/releases/{release.id}"
        web_url = f"{self.project_url(definition.project)}/_release?releaseId={release.id}&_a=release-summary"
        return {
            "id": release.id,
            "name": release.name,
            "status": release.status,
            "createdOn": timestamp(release.created),
            "modifiedOn": timestamp(release.modified),
            "environments": self.environments(release),
            "variables": {name: model.shown(value) for name, value in release.variables.items()},
            "variableGroups": [],
            "artifacts": release.artifacts,
            "releaseDefinition": {
                "id": definition.id,
                "name": definition.name,
                "url": f"{base}/_apis/Release/definitions/{definition.id}",
            },
            "description": release.description,
            "reason": release.reason,
            "releaseNameFormat": "Release-$(rev:r)",
            "keepForever": False,
            "definitionSnapshotRevision": 1,
            "url": url,
            "_links": {"self": {"href": url}, "web": {"href": web_url}},
            "tags": [],
            "projectReference": {"id": None, "name": self.projects[definition.project][1]},
            "properties": {
                name: model.property_on_the_wire(release.properties[name])
                for name in asked
                if name in release.properties
            },
        }

    def environments(self, release: Release) -> list[dict[str, Any]]:
        """The stages of a release with their statuses at this moment."""
        names = enumerate(release.definition.environments)
        return [
            {
                "id": release.id * 100 + rank,
                "releaseId": release.id,
                "name": name,
                "rank": rank + 1,
                "definitionEnvironmentId": rank + 1,
                "status": self._stage_status(release, rank, name),
            }
            for rank, name in names
        ]

    def _stage_status(self, release: Release, rank: int, name: str) -> str:
        """notStarted for the first quarter of its time, then inProgress, then the result.

        A failure is `rejected` in the first stage, and no later stage begins.
        """
        if release.started is None or name in release.manual or (rank and release.result != "succeeded"):
            return "notStarted"
        end = {"succeeded": "succeeded", "failed": "rejected", "canceled": "canceled"}[release.result]
        until = release.modified if release.status == "abandoned" else self.clock()
        spent = until - release.started - rank * self.release_seconds
        if spent >= self.release_seconds:
            return end
        if release.status == "abandoned":
            return "notStarted" if spent < 0 else "canceled"
        return "notStarted" if spent < self.release_seconds / 4 else "inProgress"

    def _found(self, request: web.Request) -> Release:
        key, number = self.project_of(request), int(request.match_info["id"])
        release = self.releases.get(number)
        if release is None or release.definition.project != key:
            message = f"VS402842: Release with ID {number} does not exist. Specify a valid release ID."
            raise RefusedError(404, "ReleaseNotFoundException", message)
        return release

    def _definition(self, key: Key, number: Any) -> Definition:
        definition = self.definitions.get((key, number))
        if definition is None:
            message = f"VS402857: Release definition with ID {number} does not exist. Specify a valid ID."
            raise RefusedError(404, "ReleaseDefinitionNotFoundException", message)
        return definition

    async def _list_definitions(self, request: web.Request) -> web.Response:
        key = self.project_of(request)
        return collection(model.definition_body(each) for each in self.definitions.values() if each.project == key)

    async def _get_definition(self, request: web.Request) -> web.Response:
        definition = self._definition(self.project_of(request), int(request.match_info["id"]))
        return web.json_response(model.definition_body(definition))

    async def _release_page(self, request: web.Request) -> web.Response:
        release = self.releases.get(int(request.query.get("releaseId", "0")))
        if release is None or release.definition.project != self.project_of(request):
            raise web.HTTPNotFound
        rows: dict[str, object] = {"status": release.status, "description": release.description}
        rows |= {f"variable {name}": value.get("value") for name, value in release.variables.items()}
        return page(f"{release.definition.name} / {release.name}", rows)


def _asked_properties(request: web.Request) -> list[str]:
    return listed(request.query.get("propertyFilters"))
