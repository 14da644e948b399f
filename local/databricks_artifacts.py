"""Experiments, runs and artifacts of a workspace, and the copies that its registry keeps of them.

Confirmed by databricks-sdk 0.162 and mlflow 3.17 (its client for Databricks and databricks_artifacts.proto): paths,
methods, fields, kinds of credentials. By documentation: an experiment is called by an absolute path; a registry takes
a copy of a version's files, which is PENDING_REGISTRATION until it has them; CAN_READ on the model is enough to read
them. Assumed: the codes of refusals, and that the size of a page is the service's own choice.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from local.databricks_registry import MLFLOW, Registry
from local.databricks_registry_model import Version, listed
from local.databricks_storage import CloudStorage
from local.databricks_wire import RefusedError, fields_of, invalid, missing, text_of
from local.faults import Faults
from local.identity import Identity

_FILTER = re.compile(r"tags\.`([^`]+)` ?= ?'([^']*)'")
PAGE = 3


@dataclass
class TrackedRun:
    """A run of an experiment. Its files are in the workspace's storage."""

    id: str
    experiment: str
    name: str
    tags: dict[str, str]
    started: int
    status: str = "RUNNING"
    ended: int = 0
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def root(self) -> str:
        """Where its artifacts are, in the storage and in `dbfs:/`."""
        return f"databricks/mlflow-tracking/{self.experiment}/{self.id}/artifacts"

    def body(self) -> dict[str, Any]:
        """As the API shows it."""
        info = {
            "run_id": self.id,
            "run_uuid": self.id,
            "run_name": self.name,
            "experiment_id": self.experiment,
            "status": self.status,
            "start_time": self.started,
            "end_time": self.ended,
            "artifact_uri": f"dbfs:/{self.root}",
            "lifecycle_stage": "active",
        }
        metrics = [{"key": key, "value": value, "timestamp": self.ended} for key, value in self.metrics.items()]
        return {"info": info, "data": {"metrics": metrics, "params": [], "tags": listed(self.tags)}}


class Artifacts(Registry):
    """`tracked` are the runs by id, `experiments` their ids by name, `storage` holds the files of runs and versions."""

    def __init__(self, identity: Identity, faults: Faults | None = None) -> None:
        super().__init__(identity, faults)
        self.storage = CloudStorage()
        self.experiments: dict[str, str] = {}
        self.tracked: dict[str, TrackedRun] = {}
        self.registration_seconds = 0.0
        """How long the registry takes to copy the files of a version that is created from now on."""
        self.next_registration = "READY"
        """How the next registration ends; the one after it succeeds again."""

    def start(self) -> Self:
        """Begin to serve, and the storage too."""
        self.storage.start()
        return super().start()

    def stop(self) -> None:
        """Stop serving. State is kept."""
        super().stop()
        self.storage.stop()

    def add_files(self, name: str, version: str, files: dict[str, bytes]) -> None:
        """Furnish a version with files, those that its registry keeps."""
        self.storage.files |= {f"{_kept(name, version)}/{path}": content for path, content in files.items()}

    def files_of(self, name: str, version: str) -> dict[str, bytes]:
        """The files that the registry keeps of a version."""
        return self._files(_kept(name, version))

    def artifact_routes(self) -> list[web.RouteDef]:
        """Experiments, runs, their artifacts, and those of versions."""
        versions, artifacts, runs = f"{MLFLOW}/model-versions", f"{MLFLOW}/artifacts", f"{MLFLOW}/runs"
        return [
            web.get(f"{MLFLOW}/experiments/get-by-name", self._get_experiment),
            web.post(f"{MLFLOW}/experiments/create", self._create_experiment),
            web.post(f"{runs}/create", self._create_run),
            web.post(f"{runs}/search", self._search_runs),
            web.post(f"{runs}/log-batch", self._log_batch),
            web.post(f"{runs}/update", self._update_run),
            web.get(f"{artifacts}/list", self._list_run),
            web.post(f"{artifacts}/credentials-for-read", self._read_credentials),
            web.post(f"{artifacts}/credentials-for-write", self._write_credentials),
            web.get(f"{versions}/list-artifacts", self._list_version),
            web.get(f"{versions}/get-signed-download-uri", self._sign_download),
        ]

    async def _get_experiment(self, request: web.Request) -> web.Response:
        name = text_of(await fields_of(request), "experiment_name")
        if name not in self.experiments:
            raise missing(f"Node {name} does not exist.")
        return web.json_response({"experiment": {"experiment_id": self.experiments[name], "name": name}})

    async def _create_experiment(self, request: web.Request) -> web.Response:
        name = text_of(await fields_of(request), "name")
        if not name.startswith("/"):
            raise invalid(f"Got an invalid experiment name '{name}'. An experiment name must be an absolute path.")
        if name in self.experiments:
            raise RefusedError(400, "RESOURCE_ALREADY_EXISTS", f"Node named '{name}' already exists")
        self.experiments[name] = str(1000 + len(self.experiments))
        return web.json_response({"experiment_id": self.experiments[name]})

    async def _create_run(self, request: web.Request) -> web.Response:
        fields = await fields_of(request)
        experiment = text_of(fields, "experiment_id")
        if experiment not in self.experiments.values():
            raise missing(f"No experiment was found with id {experiment}.")
        tags = {str(tag["key"]): str(tag["value"]) for tag in fields.get("tags") or ()}
        run = TrackedRun(uuid.uuid4().hex, experiment, str(fields.get("run_name") or ""), tags, self.now())
        self.tracked[run.id] = run
        return web.json_response({"run": run.body()})

    async def _search_runs(self, request: web.Request) -> web.Response:
        fields = await fields_of(request)
        match = _FILTER.fullmatch(str(fields.get("filter") or ""))
        if match is None:
            raise invalid("Only the value of one tag is played here as a filter.")
        found = [
            run.body()
            for run in self.tracked.values()
            if run.experiment in fields.get("experiment_ids", ()) and run.tags.get(match[1]) == match[2]
        ]
        return web.json_response({"runs": found[: int(fields.get("max_results", 1000))]} if found else {})

    async def _log_batch(self, request: web.Request) -> web.Response:
        fields = await fields_of(request)
        metrics = fields.get("metrics") or ()
        self._tracked_run(fields).metrics |= {str(each["key"]): float(each["value"]) for each in metrics}
        return web.json_response({})

    async def _update_run(self, request: web.Request) -> web.Response:
        fields = await fields_of(request)
        run = self._tracked_run(fields)
        run.status, run.ended = str(fields.get("status") or run.status), int(fields.get("end_time") or run.ended)
        return web.json_response({"run_info": run.body()["info"]})

    async def _get_mlflow_run(self, request: web.Request) -> web.Response:
        run_id = text_of(await fields_of(request), "run_id")
        if run_id in self.tracked:
            return web.json_response({"run": self.tracked[run_id].body()})
        return await super()._get_mlflow_run(request)

    async def _create_version(self, request: web.Request) -> web.Response:
        fields = await fields_of(request)
        response = await super()._create_version(request)
        model = self.models[text_of(fields, "name")]
        version = list(model.versions.values())[-1]
        files = self._files(version.source.removeprefix("dbfs:/"))
        if not version.source.startswith("dbfs:/databricks/mlflow-tracking/") or not files:
            return response  # what was never stored here is taken at its word
        status, self.next_registration = self.next_registration, "READY"
        if not self.registration_seconds:
            self._keep(version, files, status)
            return response
        version.status = "PENDING_REGISTRATION"
        asyncio.get_running_loop().call_later(self.registration_seconds, self._keep, version, files, status)
        return web.json_response({"model_version": version.body([])})

    def _keep(self, version: Version, files: dict[str, bytes], status: str) -> None:
        if status == "READY":
            self.add_files(version.name, version.version, files)
        version.status = status

    async def _list_run(self, request: web.Request) -> web.Response:
        fields = await fields_of(request)
        run = self._tracked_run(fields)
        body = _page(self._files(run.root), str(fields.get("path") or ""), str(fields.get("page_token") or ""))
        return web.json_response({"root_uri": f"dbfs:/{run.root}", **body})

    async def _list_version(self, request: web.Request) -> web.Response:
        fields = await fields_of(request)
        _, version = self.version_of(fields)
        files = self.files_of(version.name, version.version)
        return web.json_response(_page(files, str(fields.get("path") or ""), str(fields.get("page_token") or "")))

    async def _sign_download(self, request: web.Request) -> web.Response:
        fields = await fields_of(request)
        _, version = self.version_of(fields)
        path = f"{_kept(version.name, version.version)}/{text_of(fields, 'path')}"
        return web.json_response({"signed_uri": self.storage.sign(path, "r"), "headers": []})

    async def _read_credentials(self, request: web.Request) -> web.Response:
        return self._credentials(await fields_of(request), "r")

    async def _write_credentials(self, request: web.Request) -> web.Response:
        return self._credentials(await fields_of(request), "w")

    def _credentials(self, fields: dict[str, Any], mode: str) -> web.Response:
        run, paths = self._tracked_run(fields), fields.get("path")
        if not isinstance(paths, list) or not paths:
            raise invalid("Missing value for required parameter 'path'.")
        signed = [
            {
                "run_id": run.id,
                "path": path,
                "signed_uri": self.storage.sign(f"{run.root}/{path}", mode),
                "headers": [],
                "type": self.storage.kind,
            }
            for path in paths
        ]
        return web.json_response({"credential_infos": signed})

    def _tracked_run(self, fields: dict[str, Any]) -> TrackedRun:
        run_id = text_of(fields, "run_id")
        if run_id not in self.tracked:
            raise missing(f"Run '{run_id}' not found.")
        return self.tracked[run_id]

    def _files(self, root: str) -> dict[str, bytes]:
        stored = self.storage.files.items()
        return {path.removeprefix(f"{root}/"): content for path, content in stored if path.startswith(f"{root}/")}


def _kept(name: str, version: str) -> str:
    return f"databricks/mlflow-registry/{name}/{version}/models/model"


def _page(files: dict[str, bytes], path: str, token: str) -> dict[str, Any]:
    """A page of what stands at a path: files and folders; a path that is a file's lists that file alone."""
    if path in files:
        return {"files": [{"path": path, "is_dir": False, "file_size": len(files[path])}]}
    found = sorted(_inside(files, f"{path}/" if path else ""), key=lambda each: str(each["path"]))
    start = int(token or 0)
    more = {"next_page_token": str(start + PAGE)} if len(found) > start + PAGE else {}
    return {"files": found[start : start + PAGE], **more} if found else {}


def _inside(files: dict[str, bytes], folder: str) -> Iterable[dict[str, Any]]:
    inside = [path.removeprefix(folder) for path in files if path.startswith(folder)]
    for name in {path.partition("/")[0] for path in inside if "/" in path}:
        yield {"path": f"{folder}{name}", "is_dir": True}
    for name in (path for path in inside if "/" not in path):
        yield {"path": f"{folder}{name}", "is_dir": False, "file_size": len(files[f"{folder}{name}"])}
