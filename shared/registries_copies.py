"""What a copy of a model version needs in the MLflow server it goes to: a model, a run that holds the files, a version.

Each function finds what an earlier attempt has made before it makes anything.
Contract: the REST API of MLflow 3 (experiments, runs, registered-models, model-versions).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from shared.errors import PermanentFailure
from shared.registries import Registry, Version, version_of
from shared.registries_artifacts import served
from shared.registries_rest import call, read

COPIED_FROM = "relay.copied_from"
MARKER = "relay.marker"


def copy_of(registry: Registry, model: str, origin: str) -> Version | None:
    """Return the oldest version of the model that was copied from there. Raises a Failure."""
    wanted = f"name={_quoted(model)} and tags.`{COPIED_FROM}`={_quoted(origin)}"
    found = read(registry, "model-versions/search", {"filter": wanted, "max_results": "100"}) or {}
    versions = [version_of(each) for each in found.get("model_versions", ())]
    return min(versions, key=lambda version: int(version.version), default=None)


def ensure_model(registry: Registry, model: str) -> None:
    """Make the registered model if there is none."""
    if read(registry, "registered-models/get", {"name": model}) is None:
        try:
            call(registry, "POST", "registered-models/create", {"name": model})
        except PermanentFailure:
            if read(registry, "registered-models/get", {"name": model}) is None:  # else another step was quicker
                raise


def ensure_run(registry: Registry, experiment: str, marker: str, name: str) -> tuple[str, str]:
    """Return the id of the run with this marker, and the folder of its files on the server; make it if need be."""
    experiment_id = _experiment(registry, experiment)
    query = {"experiment_ids": [experiment_id], "filter": f"tags.`{MARKER}`={_quoted(marker)}", "max_results": 1}
    found = call(registry, "POST", "runs/search", query).get("runs", ())
    if found:
        return _run(found[0])
    tags = [{"key": MARKER, "value": marker}]
    made = call(registry, "POST", "runs/create", {"experiment_id": experiment_id, "run_name": name, "tags": tags})
    return _run(made["run"])


def finish_run(registry: Registry, run_id: str, metrics: Mapping[str, float], ended: int) -> None:
    """Give the run the metrics of the original, for gates to ask for, and end it; `ended` in milliseconds."""
    known = {key: value for key, value in metrics.items() if isfinite(value)}  # JSON has no NaN
    logged = [{"key": key, "value": value, "timestamp": ended, "step": 0} for key, value in known.items()]
    call(registry, "POST", "runs/log-batch", {"run_id": run_id, "metrics": logged[:1000]})
    call(registry, "POST", "runs/update", {"run_id": run_id, "status": "FINISHED", "end_time": ended})


def create_version(registry: Registry, model: str, source: str, run_id: str, tags: Mapping[str, str]) -> Version:
    """Register a version; return it."""
    listed = [{"key": key, "value": value} for key, value in tags.items()]
    payload = {"name": model, "source": source, "run_id": run_id, "tags": listed}
    return version_of(call(registry, "POST", "model-versions/create", payload)["model_version"])


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


def _run(run: dict[str, Any]) -> tuple[str, str]:
    return str(run["info"]["run_id"]), served(str(run["info"]["artifact_uri"]))


def _quoted(text: str) -> str:
    """A search knows no escapes: whichever quotation mark is not in the text stands around it."""
    mark = '"' if "'" in text else "'"
    if mark in text:
        raise PermanentFailure(f"{text[:80]!r} can't be searched for: it holds both kinds of quotation marks")
    return f"{mark}{text}{mark}"
