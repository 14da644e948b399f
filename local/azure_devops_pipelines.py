"""Pipeline runs: start, preview, read, list.

Confirmed by pipelines.json (7.1): paths, Run, RunPipelineParameters, states and results, the list of a
pipeline's runs (the top 10000, no filters), previewRun making no run. By documentation: the error about
variables that can't be set. Assumed: newest first; id -1 in the reply to a preview; the wording about
parameters; whether a list shows templateParameters and variables (see `list_shows_parameters`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from local.azure_devops_wire import (
    AzureDevOpsBase,
    RefusedError,
    Start,
    body_of,
    collection,
    invalid,
    page,
    timestamp,
)
from local.faults import Faults
from local.identity import Identity

Key = tuple[str, str]
MOST_RUNS = 10000


@dataclass
class Pipeline:
    """A YAML pipeline. A parameter with the default None has to be given.

    `settable` has the variables that may be set at queue time; None means any, as in an organisation that
    does not limit them.
    """

    id: int
    name: str
    project: Key
    parameters: dict[str, str | None]
    settable: set[str] | None


@dataclass
class Run:
    """A run as it is stored; its state follows from the time."""

    id: int
    pipeline: Pipeline
    created: float
    seconds: float
    end: str
    ref: str
    parameters: dict[str, str]
    variables: dict[str, dict[str, Any]]
    canceled: float | None = None
    tags: list[str] = field(default_factory=list)

    @property
    def finish(self) -> float:
        """When it ends or ended."""
        return self.created + self.seconds if self.canceled is None else self.canceled


class Pipelines(AzureDevOpsBase):
    """The Pipelines API of dev.azure.com."""

    def __init__(self, identity: Identity, faults: Faults | None = None) -> None:
        super().__init__(identity, faults)
        self.pipelines: dict[tuple[Key, int], Pipeline] = {}
        self.runs: dict[int, Run] = {}
        self.run_seconds = 0.0
        """How long a run takes that is started from now on."""
        self.list_shows_parameters = False
        """The spec has one Run for lists and single reads; hiding them is the harder case for a client."""

    def add_pipeline(
        self,
        org: str,
        project: str,
        pipeline_id: int,
        *,
        name: str = "Model pipeline",
        parameters: Mapping[str, str | None] | None = None,
        variables: Iterable[str] | None = (),
    ) -> Pipeline:
        """Make a pipeline known, and its project with it. `variables` are those settable at queue time."""
        key = self.add_project(org, project)
        settable = None if variables is None else set(variables)
        pipeline = Pipeline(pipeline_id, name, key, dict(parameters or {}), settable)
        self.pipelines[key, pipeline_id] = pipeline
        return pipeline

    def pipeline_routes(self) -> list[web.RouteDef]:
        """Pipelines, their runs, and the page behind a run's link."""
        pipelines = "/{org}/{project}/_apis/pipelines"
        return [
            web.get(pipelines, self._list_pipelines),
            web.get(pipelines + r"/{pipeline:\d+}", self._get_pipeline),
            web.post(pipelines + r"/{pipeline:\d+}/runs", self._run_pipeline),
            web.get(pipelines + r"/{pipeline:\d+}/runs", self._list_runs),
            web.get(pipelines + r"/{pipeline:\d+}/runs/{run:\d+}", self._get_run),
            web.post(pipelines + r"/{pipeline:\d+}/preview", self._preview),
            web.get("/{org}/{project}/_build/results", self._run_page),
        ]

    async def _run_pipeline(self, request: web.Request) -> web.Response:
        pipeline, body = self._pipeline(request), await body_of(request)
        parameters, variables = _checked_parameters(pipeline, body), _checked_variables(pipeline, body)
        if body.get("previewRun"):
            return web.json_response({"id": -1, "state": "unknown", "finalYaml": _yaml(pipeline, parameters)})
        run = Run(
            id=len(self.runs) + 1,
            pipeline=pipeline,
            created=round(self.clock(), 3),
            seconds=self.run_seconds,
            end=self.take_result(),
            ref=_ref(body),
            parameters=parameters,
            variables=variables,
        )
        self.runs[run.id] = run
        self._record_run(run)
        return web.json_response(self._run(run))

    def _record_run(self, run: Run) -> None:
        org, project = self.projects[run.pipeline.project]
        self.starts.append(
            Start(
                kind="run",
                id=run.id,
                organization=org,
                project=project,
                definition=run.pipeline.id,
                time=run.created,
                description="",
                properties={},
                parameters=run.parameters,
                variables=run.variables,
            )
        )

    async def _preview(self, request: web.Request) -> web.Response:
        pipeline, body = self._pipeline(request), await body_of(request)
        _checked_variables(pipeline, body)
        return web.json_response({"finalYaml": _yaml(pipeline, _checked_parameters(pipeline, body))})

    async def _get_run(self, request: web.Request) -> web.Response:
        pipeline, run = self._pipeline(request), self.runs.get(int(request.match_info["run"]))
        if run is None or run.pipeline is not pipeline:
            message = f"The run {request.match_info['run']} of pipeline {pipeline.id} could not be found."
            raise RefusedError(404, "PipelineRunNotFoundException", message)
        return web.json_response(self._run(run))

    async def _list_runs(self, request: web.Request) -> web.Response:
        pipeline = self._pipeline(request)
        runs = [run for run in self.visible_runs() if run.pipeline is pipeline]
        return collection(self._listed_run(run) for run in runs[:MOST_RUNS])

    def visible_runs(self) -> list[Run]:
        """What lists show by now, newest first."""
        seen = self.clock() - self.list_lag_seconds
        return [run for run in reversed(list(self.runs.values())) if run.created <= seen]

    def _listed_run(self, run: Run) -> dict[str, Any]:
        item = self._run(run)
        if not self.list_shows_parameters:
            del item["templateParameters"], item["variables"]
        return item

    def _run(self, run: Run) -> dict[str, Any]:
        base, done = self.project_url(run.pipeline.project), self.clock() >= run.finish
        url = f"{base}/_apis/pipelines/{run.pipeline.id}/runs/{run.id}"
        body = {
            "_links": {"self": {"href": url}, "web": {"href": f"{base}/_build/results?buildId={run.id}"}},
            "templateParameters": run.parameters,
            "variables": {name: _shown(value) for name, value in run.variables.items()},
            "pipeline": self._reference(run.pipeline),
            "state": "completed" if done else "inProgress",
            "createdDate": timestamp(run.created),
            "url": url,
            "resources": {"repositories": {"self": {"refName": run.ref, "version": "0" * 40}}},
            "id": run.id,
            "name": str(run.id),
        }
        # A run that is not over has neither of the two.
        return body | ({"result": run.end, "finishedDate": timestamp(run.finish)} if done else {})

    async def _list_pipelines(self, request: web.Request) -> web.Response:
        key = self.project_of(request)
        return collection(self._reference(each) for each in self.pipelines.values() if each.project == key)

    async def _get_pipeline(self, request: web.Request) -> web.Response:
        pipeline = self._pipeline(request)
        links = {"web": {"href": f"{self.project_url(pipeline.project)}/_build/definition?definitionId={pipeline.id}"}}
        return web.json_response({**self._reference(pipeline), "_links": links, "configuration": {"type": "yaml"}})

    def _reference(self, pipeline: Pipeline) -> dict[str, Any]:
        url = f"{self.project_url(pipeline.project)}/_apis/pipelines/{pipeline.id}?revision=1"
        return {"url": url, "id": pipeline.id, "revision": 1, "name": pipeline.name, "folder": "\\"}

    def _pipeline(self, request: web.Request) -> Pipeline:
        key, number = self.project_of(request), int(request.match_info["pipeline"])
        pipeline = self.pipelines.get((key, number))
        if pipeline is None:
            raise RefusedError(404, "PipelineDoesNotExistException", f"Pipeline with id {number} does not exist.")
        return pipeline

    async def _run_page(self, request: web.Request) -> web.Response:
        run = self.runs.get(int(request.query.get("buildId", "0")))
        if run is None or run.pipeline.project != self.project_of(request):
            raise web.HTTPNotFound
        state = run.end if self.clock() >= run.finish else "in progress"
        rows: dict[str, object] = {"state": state, "branch": run.ref, "tags": ", ".join(run.tags)}
        return page(f"{run.pipeline.name} / {run.id}", rows | dict(run.parameters))


def _pipeline_error(message: str) -> RefusedError:
    return RefusedError(400, "PipelineValidationException", message)


def _checked_parameters(pipeline: Pipeline, body: dict[str, Any]) -> dict[str, str]:
    given = body.get("templateParameters") or {}
    for name, value in given.items():
        if name not in pipeline.parameters:
            raise _pipeline_error(f"/azure-pipelines.yml: Unexpected parameter '{name}'")
        if isinstance(value, dict | list):
            raise invalid(f"The template parameter '{name}' has to be a string.")
    values = pipeline.parameters | {name: str(value) for name, value in given.items()}
    for name, chosen in values.items():
        if chosen is None:
            raise _pipeline_error(f"/azure-pipelines.yml: A value for the '{name}' parameter must be provided.")
    return {name: chosen for name, chosen in values.items() if chosen is not None}


def _checked_variables(pipeline: Pipeline, body: dict[str, Any]) -> dict[str, dict[str, Any]]:
    given = body.get("variables") or {}
    refused = [name for name in given if pipeline.settable is not None and name not in pipeline.settable]
    if refused:
        raise _pipeline_error(
            f"You can't set the following variables ({', '.join(refused)}). If you want to be able to set "
            "these variables, then edit the pipeline and select Settable at queue time on the variables tab "
            "of the pipeline editor."
        )
    return {name: dict(value) for name, value in given.items()}


def _shown(variable: dict[str, Any]) -> dict[str, Any]:
    return {"isSecret": True, "value": None} if variable.get("isSecret") else variable


def _ref(body: dict[str, Any]) -> str:
    repositories = (body.get("resources") or {}).get("repositories") or {}
    return (repositories.get("self") or {}).get("refName") or "refs/heads/main"


def _yaml(pipeline: Pipeline, parameters: dict[str, str]) -> str:
    lines = [
        f"name: {pipeline.name}",
        "variables:",
        *(f"  {name}: {text!r}" for name, text in parameters.items()),
    ]
    return "\n".join([*lines, "stages: []", ""])
