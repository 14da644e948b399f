"""The workspace model registry: models and versions, tags, aliases, and the runs behind them.

Confirmed by databricks-sdk 0.162 and mlflow 3.17: paths, methods, fields, the names of what is wrapped. By
documentation: who may do what with which permission; a search of models gives 100 a page, 1,000 at most. Assumed:
`databricks/model-versions/get`; aliases in a workspace registry; the filters of a search of versions beyond `name` and
`run_id`, and all of a search of models, are not played.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from local.databricks_registry_model import LEVELS, STAGES, Act, Model, Version
from local.databricks_wire import (
    DatabricksBase,
    RefusedError,
    denied,
    fields_of,
    invalid,
    missing,
    text_of,
)
from local.faults import Faults
from local.identity import Identity

MLFLOW = "/api/2.0/mlflow"
SOMEBODY = "data-scientist@example.com"
MODELS_PAGE, MAX_MODELS_PAGE = 100, 1000
_FILTER = re.compile(r"\s*(name|run_id)\s*=\s*'([^']*)'\s*")


class Registry(DatabricksBase):
    """Models, versions and runs. `acts` is all that was done, in order, by API or by `announce`."""

    def __init__(self, identity: Identity, faults: Faults | None = None) -> None:
        super().__init__(identity, faults)
        self.models: dict[str, Model] = {}
        self.runs_of_models: dict[str, dict[str, float]] = {}
        """The metrics of MLflow runs, by run id."""
        self.acts: list[Act] = []

    def add_model(self, name: str, *, level: str = "CAN_MANAGE") -> Model:
        """Furnish the registry with a model; no webhook tells of it. `level` is what callers may do with it."""
        self.models[name] = Model(name, self.now(), SOMEBODY, level)
        return self.models[name]

    def add_version(self, name: str, *, stage: str = "None", run_id: str = "", **fields: Any) -> Version:
        """Furnish the registry with the next version of a model, made if need be; no webhook tells of it."""
        model = self.models.get(name) or self.add_model(name)
        number = str(len(model.versions) + 1)
        source = fields.pop("source", f"dbfs:/databricks/mlflow-tracking/1/{run_id or 'run'}/artifacts/model")
        version = Version(
            name, number, self.now(), fields.pop("user", SOMEBODY), stage, run_id=run_id, source=source, **fields
        )
        model.versions[number] = version
        return version

    def version(self, name: str, version: str) -> Version:
        """The version as it stands now. Raises KeyError."""
        return self.models[name].versions[version]

    def announce(self, event: str, model: str, user: str = SOMEBODY, **details: Any) -> Act:
        """Note an act. What tells others of acts overrides this."""
        act = Act(event, self.now(), user, model, **details)
        self.acts.append(act)
        return act

    def acts_of(self, model: str, event: str = "") -> list[Act]:
        """The acts on a model, oldest first; of one event only, if it is given."""
        return [act for act in list(self.acts) if act.model == model and event in ("", act.event)]

    def registry_routes(self) -> list[web.RouteDef]:
        """Models, versions, tags, aliases, runs."""
        models, versions = f"{MLFLOW}/registered-models", f"{MLFLOW}/model-versions"
        return [
            web.post(f"{models}/create", self._create_model),
            web.get(f"{models}/get", self._get_model),
            web.get(f"{models}/search", self._search_models),
            web.get(f"{models}/get-latest-versions", self._get_latest_versions),
            web.post(f"{models}/get-latest-versions", self._get_latest_versions),
            web.post(f"{models}/alias", self._set_alias),
            web.delete(f"{models}/alias", self._delete_alias),
            web.get(f"{models}/alias", self._get_by_alias),
            web.get(f"{MLFLOW}/databricks/registered-models/get", self._get_databricks_model),
            web.post(f"{versions}/create", self._create_version),
            web.get(f"{versions}/get", self._get_version),
            web.get(f"{MLFLOW}/databricks/model-versions/get", self._get_databricks_version),
            web.get(f"{versions}/search", self._search_versions),
            web.get(f"{versions}/get-download-uri", self._get_download_uri),
            web.post(f"{versions}/set-tag", self._set_tag),
            web.delete(f"{versions}/delete-tag", self._delete_tag),
            web.get(f"{MLFLOW}/runs/get", self._get_mlflow_run),
        ]

    def model_of(self, fields: dict[str, Any], level: str = "CAN_READ") -> Model:
        """The model that a call names. Refused if it is not there, or the caller may not do this with it."""
        name = text_of(fields, "name")
        if name not in self.models:
            raise missing(f"Registered Model with name={name} not found")
        model = self.models[name]
        if LEVELS.index(model.level) < LEVELS.index(level):
            raise denied(f"{level} permission is needed for the registered model '{name}', it is {model.level}.")
        return model

    def version_of(self, fields: dict[str, Any], level: str = "CAN_READ") -> tuple[Model, Version]:
        """The version that a call names, with its model."""
        model, number = self.model_of(fields, level), text_of(fields, "version")
        if number not in model.versions:
            raise missing(f"Model Version (name={model.name}, version={number}) not found")
        return model, model.versions[number]

    async def _create_model(self, request: web.Request) -> web.Response:
        fields = await fields_of(request)
        name, tags = text_of(fields, "name"), _tags(fields)
        if name in self.models:
            raise RefusedError(400, "RESOURCE_ALREADY_EXISTS", f"Registered Model (name={name}) already exists.")
        description, user = str(fields.get("description") or ""), self.user_of(request)
        self.models[name] = Model(name, self.now(), user, description=description, tags=tags)
        self.announce("REGISTERED_MODEL_CREATED", name, user)
        return web.json_response({"registered_model": self.models[name].body()})

    async def _get_model(self, request: web.Request) -> web.Response:
        return web.json_response({"registered_model": self.model_of(await fields_of(request)).body()})

    async def _get_databricks_model(self, request: web.Request) -> web.Response:
        model = self.model_of(await fields_of(request))
        return web.json_response({"registered_model_databricks": model.databricks_body()})

    async def _search_models(self, request: web.Request) -> web.Response:
        fields = await fields_of(request)
        if fields.get("filter") or fields.get("order_by"):
            raise invalid("Filters and orders of a search of models are not played here.")
        if int(fields.get("max_results") or 0) > MAX_MODELS_PAGE:
            raise invalid(f"max_results may be {MAX_MODELS_PAGE} at most.")
        found = [model.body() for _, model in sorted(self.models.items())]
        return web.json_response(_page(found, fields, "registered_models", MODELS_PAGE))

    async def _get_latest_versions(self, request: web.Request) -> web.Response:
        fields = await fields_of(request)
        model, stages = self.model_of(fields), _listed(fields.get("stages")) or STAGES
        return _versions(model, [version for version in model.latest() if version.stage in stages])

    async def _create_version(self, request: web.Request) -> web.Response:
        fields = await fields_of(request)
        model, user = self.model_of(fields, "CAN_EDIT"), self.user_of(request)
        version = self.add_version(
            model.name,
            run_id=str(fields.get("run_id") or ""),
            source=text_of(fields, "source"),
            description=str(fields.get("description") or ""),
            tags=_tags(fields),
            user=user,
        )
        self.announce("MODEL_VERSION_CREATED", model.name, user, version=version.version)
        return _version(model, version)

    async def _get_version(self, request: web.Request) -> web.Response:
        return _version(*self.version_of(await fields_of(request)))

    async def _get_databricks_version(self, request: web.Request) -> web.Response:
        return databricks_version(*self.version_of(await fields_of(request)))

    async def _search_versions(self, request: web.Request) -> web.Response:
        fields = await fields_of(request)
        wanted = _filters(str(fields.get("filter") or ""))
        found = [
            version.body(model.aliases_of(version.version))
            for model in self.models.values()
            for version in reversed(model.versions.values())
            if all(getattr(version, key) == value for key, value in wanted.items())
        ]
        return web.json_response(_page(found, fields, "model_versions", 200))

    async def _get_download_uri(self, request: web.Request) -> web.Response:
        _, version = self.version_of(await fields_of(request))
        return web.json_response({"artifact_uri": version.source})

    async def _set_tag(self, request: web.Request) -> web.Response:
        fields = await fields_of(request)
        model, version = self.version_of(fields, "CAN_EDIT")
        key, value = text_of(fields, "key"), str(fields.get("value") or "")
        version.tags[key], version.updated = value, self.now()
        user = self.user_of(request)
        self.announce("MODEL_VERSION_TAG_SET", model.name, user, version=version.version, tags={key: value})
        return web.json_response({})

    async def _delete_tag(self, request: web.Request) -> web.Response:
        fields = await fields_of(request)
        model, version = self.version_of(fields, "CAN_EDIT")
        key = text_of(fields, "key")
        if version.tags.pop(key, None) is not None:
            user = self.user_of(request)
            self.announce("MODEL_VERSION_TAG_DELETED", model.name, user, version=version.version, tags={key: ""})
        return web.json_response({})

    async def _set_alias(self, request: web.Request) -> web.Response:
        fields = await fields_of(request)
        model, version = self.version_of(fields, "CAN_EDIT")
        alias = text_of(fields, "alias")
        model.aliases[alias] = version.version
        self.announce("ALIAS_SET", model.name, self.user_of(request), version=version.version, alias=alias)
        return web.json_response({})

    async def _delete_alias(self, request: web.Request) -> web.Response:
        fields = await fields_of(request)
        model, alias = self.model_of(fields, "CAN_EDIT"), text_of(fields, "alias")
        number = model.aliases.pop(alias, None)
        if number is not None:
            self.announce("ALIAS_DELETED", model.name, self.user_of(request), version=number, alias=alias)
        return web.json_response({})

    async def _get_by_alias(self, request: web.Request) -> web.Response:
        fields = await fields_of(request)
        model, alias = self.model_of(fields), text_of(fields, "alias")
        if alias not in model.aliases:
            raise invalid(f"Registered model alias {alias} not found.")
        return _version(model, model.versions[model.aliases[alias]])

    async def _get_mlflow_run(self, request: web.Request) -> web.Response:
        run_id = text_of(await fields_of(request), "run_id")
        if run_id not in self.runs_of_models:
            raise missing(f"Run '{run_id}' not found.")
        metrics = [
            {"key": key, "value": value, "timestamp": self.now(), "step": 0}
            for key, value in self.runs_of_models[run_id].items()
        ]
        info = {"run_id": run_id, "run_uuid": run_id, "experiment_id": "1", "status": "FINISHED"}
        return web.json_response({"run": {"info": info, "data": {"metrics": metrics, "params": [], "tags": []}}})


def databricks_version(model: Model, version: Version) -> web.Response:
    """The reply that Databricks' own endpoints give."""
    body = version.databricks_body(model.aliases_of(version.version), model.level)
    return web.json_response({"model_version_databricks": body})


def _version(model: Model, version: Version) -> web.Response:
    return web.json_response({"model_version": version.body(model.aliases_of(version.version))})


def _versions(model: Model, versions: list[Version]) -> web.Response:
    return web.json_response({"model_versions": [each.body(model.aliases_of(each.version)) for each in versions]})


def _page(found: list[Any], fields: Mapping[str, Any], key: str, default: int) -> dict[str, Any]:
    start = int(fields.get("page_token") or 0)
    end = start + int(fields.get("max_results") or default)
    more = {"next_page_token": str(end)} if len(found) > end else {}
    return {key: found[start:end], **more}


def _listed(value: object) -> list[str]:
    return [value] if isinstance(value, str) else [str(item) for item in value] if isinstance(value, list) else []


def _tags(fields: Mapping[str, Any]) -> dict[str, str]:
    tags = fields.get("tags") or []
    if not isinstance(tags, list) or not all(isinstance(tag, dict) and tag.get("key") for tag in tags):
        raise invalid("Parameter 'tags' has to be a list of keys and values.")
    return {str(tag["key"]): str(tag.get("value") or "") for tag in tags}


def _filters(text: str) -> dict[str, str]:
    wanted: dict[str, str] = {}
    for part in re.split(r"\s+and\s+", text, flags=re.IGNORECASE) if text.strip() else []:
        match = _FILTER.fullmatch(part)
        if match is None:
            raise invalid(f"Invalid filter '{part}': only name and run_id are played here.")
        wanted[match[1]] = match[2]
    return wanted
