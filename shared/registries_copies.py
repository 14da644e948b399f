"""What a copy of a model version needs in the registry it goes to: a model, a run that holds the files, a version.

Each function finds what an earlier attempt has made before it makes anything.
Contract: the REST API of MLflow 3 (experiments, runs, registered-models, model-versions), which Databricks documents
for its workspaces too. There a search of versions knows one condition only, so that tags are compared here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any, NamedTuple

from shared.errors import PermanentFailure
from shared.registries import Registry, Version, version_of
from shared.registries_artifacts import Folder, WritableFolder
from shared.registries_databricks_files import RunFolder, VersionFolder
from shared.registries_mlflow_files import MlflowFolder, served, version_folder
from shared.registries_rest import call, read

COPIED_FROM = "relay.copied_from"
MARKER = "relay.marker"
FILES = "model"
EXPERIMENTS = {"mlflow": "Copied models", "databricks": "/Shared/Copied models"}
MAX_PAGES = 100


class Run(NamedTuple):
    """A run that holds the files of a copy. `source` is their URI, for the version that is made of them."""

    id: str
    source: str
    files: WritableFolder


class Original(NamedTuple):
    """What the run of a version tells: its metrics, and its address for a person. Nothing if it can't be read."""

    metrics: Mapping[str, float]
    link: str


def original_files(registry: Registry, model: str, version: str) -> Folder:
    """Return the folder of a version's artifacts. Raises JobNeeded if they are out of reach, and any Failure."""
    if registry.kind == "databricks":
        return VersionFolder(registry, model, version)
    return version_folder(registry, model, version)


def original_run(registry: Registry, run_id: str) -> Original:
    """Return what can be read of a version's run: whoever may read a model may not read each experiment."""
    try:
        run = read(registry, "runs/get", {"run_id": run_id}, "run") if run_id else None
    except PermanentFailure:
        run = None
    if run is None:
        return Original({}, "")
    found = {each["key"]: float(each["value"]) for each in run.get("data", {}).get("metrics", ())}
    pages = "ml/experiments" if registry.kind == "databricks" else "#/experiments"
    link = f"{registry.url}/{pages}/{run.get('info', {}).get('experiment_id', '')}/runs/{run_id}"
    return Original({key: value for key, value in found.items() if isfinite(value)}, link)  # JSON has no NaN


def copy_of(registry: Registry, model: str, origin: str) -> Version | None:
    """Return the oldest version of the model that was copied from there. Raises a Failure."""
    copies = [each for each in _versions(registry, model, origin) if each.tags.get(COPIED_FROM) == origin]
    return min(copies, key=lambda version: int(version.version), default=None)


def ensure_model(registry: Registry, model: str) -> None:
    """Make the registered model if there is none."""
    if read(registry, "registered-models/get", {"name": model}) is None:
        try:
            call(registry, "POST", "registered-models/create", {"name": model})
        except PermanentFailure:
            if read(registry, "registered-models/get", {"name": model}) is None:  # else another step was quicker
                raise


def ensure_run(registry: Registry, experiment: str, marker: str, name: str) -> Run:
    """Return the run with this marker; make it if need be. Raises JobNeeded if its files are out of reach."""
    experiment_id = _experiment(registry, experiment or EXPERIMENTS[registry.kind])
    query = {"experiment_ids": [experiment_id], "filter": f"tags.`{MARKER}`={_quoted(marker)}", "max_results": 1}
    found = call(registry, "POST", "runs/search", query).get("runs", ())
    if found:
        return _run(registry, found[0])
    tags = [{"key": MARKER, "value": marker}]
    made = call(registry, "POST", "runs/create", {"experiment_id": experiment_id, "run_name": name, "tags": tags})
    return _run(registry, made["run"])


def finish_run(registry: Registry, run_id: str, metrics: Mapping[str, float], ended: int) -> None:
    """Give the run the metrics of the original, for gates to ask for, and end it; `ended` in milliseconds."""
    logged = [{"key": key, "value": value, "timestamp": ended, "step": 0} for key, value in metrics.items()]
    call(registry, "POST", "runs/log-batch", {"run_id": run_id, "metrics": logged[:1000]})
    call(registry, "POST", "runs/update", {"run_id": run_id, "status": "FINISHED", "end_time": ended})


def create_version(
    registry: Registry, model: str, source: str, run_id: str, run_link: str, tags: Mapping[str, str]
) -> Version:
    """Register a version; return it. `run_link` is the address of the run it was made in, elsewhere."""
    listed = [{"key": key, "value": value} for key, value in tags.items()]
    payload = {"name": model, "source": source, "run_id": run_id, "tags": listed}
    linked = {"run_link": run_link} if run_link else {}
    return version_of(call(registry, "POST", "model-versions/create", {**payload, **linked})["model_version"])


def _versions(registry: Registry, model: str, origin: str) -> Iterator[Version]:
    wanted = f"name={_quoted(model)}"
    if registry.kind != "databricks":
        wanted += f" and tags.`{COPIED_FROM}`={_quoted(origin)}"
    token = ""
    for _ in range(MAX_PAGES):
        params = {"filter": wanted, "max_results": "100", **({"page_token": token} if token else {})}
        page = read(registry, "model-versions/search", params) or {}
        yield from (version_of(each) for each in page.get("model_versions", ()))
        token = str(page.get("next_page_token") or "")
        if not token:
            return
    raise PermanentFailure(f"{model} has too many versions to look for a copy among them")


def _experiment(registry: Registry, name: str) -> str:
    found = read(registry, "experiments/get-by-name", {"experiment_name": name}, "experiment")
    if found is None:
        try:
            return str(call(registry, "POST", "experiments/create", {"name": name})["experiment_id"])
        except PermanentFailure:
            found = read(registry, "experiments/get-by-name", {"experiment_name": name}, "experiment")
            if found is None:  # else another step was quicker
                raise
    return str(found["experiment_id"])


def _run(registry: Registry, run: dict[str, Any]) -> Run:
    run_id, root = str(run["info"]["run_id"]), str(run["info"]["artifact_uri"]).rstrip("/")
    if registry.kind == "databricks":
        return Run(run_id, f"{root}/{FILES}", RunFolder(registry, run_id, FILES))
    folder = f"{served(root)}/{FILES}"
    return Run(run_id, f"mlflow-artifacts:/{folder}", MlflowFolder(registry, folder))


def _quoted(text: str) -> str:
    """A search knows no escapes: whichever quotation mark is not in the text stands around it."""
    mark = '"' if "'" in text else "'"
    if mark in text:
        raise PermanentFailure(f"{text[:80]!r} can't be searched for: it holds both kinds of quotation marks")
    return f"{mark}{text}{mark}"
