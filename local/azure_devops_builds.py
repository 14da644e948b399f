"""Pipeline runs seen as builds, which is where tags and cancelling are.

Confirmed by build.json (7.1): paths, filters, statuses and results, tags as lists of strings. By
documentation: a run's id is its build's id. Assumed: cancelling takes effect at once, and is no error when
the build is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

from local.azure_devops_pipelines import Pipelines, Run
from local.azure_devops_wire import (
    RefusedError,
    body_of,
    collection,
    invalid,
    json_of,
    listed,
    moment,
    timestamp,
)


class Builds(Pipelines):
    """The part of the Build API that the app and the sample pipelines use."""

    def build_routes(self) -> list[web.RouteDef]:
        """Builds and their tags."""
        builds = "/{org}/{project}/_apis/build/{builds:[Bb]uilds}"
        one, tags = builds + r"/{build:\d+}", builds + r"/{build:\d+}/tags"
        return [
            web.get(builds, self._list_builds),
            web.get(one, self._get_build),
            web.patch(one, self._update_build),
            web.get(tags, self._get_tags),
            web.post(tags, self._add_tags),
            web.patch(tags, self._update_tags),
            web.put(tags + "/{tag:.+}", self._add_tag),
            web.delete(tags + "/{tag:.+}", self._delete_tag),
        ]

    def _build_of(self, request: web.Request) -> Run:
        key, number = self.project_of(request), int(request.match_info["build"])
        run = self.runs.get(number)
        if run is None or run.pipeline.project != key:
            raise RefusedError(404, "BuildNotFoundException", f"The requested build {number} could not be found.")
        return run

    async def _get_build(self, request: web.Request) -> web.Response:
        return web.json_response(self._build(self._build_of(request)))

    async def _list_builds(self, request: web.Request) -> web.Response:
        key, query = self.project_of(request), request.query
        runs = [run for run in self.visible_runs() if run.pipeline.project == key]
        builds = [self._build(run) for run in runs if _build_matches(run, query)]
        if query.get("queryOrder", "").endswith("Ascending"):
            builds.reverse()
        wanted = query.get("statusFilter", "all")
        builds = [build for build in builds if wanted in ("all", build["status"])]
        return collection(builds[: int(query.get("$top", 1000))])

    async def _update_build(self, request: web.Request) -> web.Response:
        run, body = self._build_of(request), await body_of(request)
        if str(body.get("status")).lower() != "cancelling":
            raise invalid("Only cancelling is played here.")
        if self.clock() < run.finish:
            run.canceled, run.end = round(self.clock(), 3), "canceled"
        return web.json_response(self._build(run))

    def _build(self, run: Run) -> dict[str, Any]:
        base, done = self.project_url(run.pipeline.project), self.clock() >= run.finish
        url = f"{base}/_apis/build/Builds/{run.id}"
        body = {
            "_links": {"self": {"href": url}, "web": {"href": f"{base}/_build/results?buildId={run.id}"}},
            "id": run.id,
            "buildNumber": str(run.id),
            "status": "completed" if done else "inProgress",
            "queueTime": timestamp(run.created),
            "startTime": timestamp(run.created),
            "url": url,
            "definition": {"id": run.pipeline.id, "name": run.pipeline.name, "type": "build"},
            "sourceBranch": run.ref,
            "tags": run.tags,
            "templateParameters": run.parameters,
        }
        return body | ({"result": run.end, "finishTime": timestamp(run.finish)} if done else {})

    async def _get_tags(self, request: web.Request) -> web.Response:
        return collection(self._build_of(request).tags)

    async def _add_tag(self, request: web.Request) -> web.Response:
        return self._tagged(self._build_of(request), [request.match_info["tag"]])

    async def _add_tags(self, request: web.Request) -> web.Response:
        run, tags = self._build_of(request), await json_of(request)
        if not isinstance(tags, list):
            raise invalid("Tags have to be a list of strings.")
        return self._tagged(run, tags)

    async def _update_tags(self, request: web.Request) -> web.Response:
        run, body = self._build_of(request), await body_of(request)
        run.tags = [tag for tag in run.tags if tag not in (body.get("tagsToRemove") or [])]
        return self._tagged(run, body.get("tagsToAdd") or [])

    async def _delete_tag(self, request: web.Request) -> web.Response:
        run = self._build_of(request)
        run.tags = [tag for tag in run.tags if tag != request.match_info["tag"]]
        return collection(run.tags)

    def _tagged(self, run: Run, tags: Iterable[str]) -> web.Response:
        # A tag that is there already is not added again: adding is safe to repeat.
        run.tags = list(dict.fromkeys([*run.tags, *tags]))
        return collection(run.tags)


def _build_matches(run: Run, query: Mapping[str, str]) -> bool:
    definitions, ids = listed(query.get("definitions")), listed(query.get("buildIds"))
    earliest = moment(query["minTime"]) if "minTime" in query else run.created
    latest = moment(query["maxTime"]) if "maxTime" in query else run.created
    return (
        (not definitions or str(run.pipeline.id) in definitions)
        and (not ids or str(run.id) in ids)
        and all(tag in run.tags for tag in listed(query.get("tagFilters")))
        and earliest <= run.created <= latest
    )
