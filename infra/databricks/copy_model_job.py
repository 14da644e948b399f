"""Copies a model version with its artifacts from one registry to another: the task of a Databricks job, in one file.

The target `copy_model` of Registry Relay starts this job (`large: {workspace: …, job: …}`) for what is too large for
the relay or out of its reach, and looks for the version that it makes by its tag `relay.copied_from`. The job declares
the parameters source, destination, model, version, name, experiment and tags, and gives them to this script:

    parameters: ["--source", "{{job.parameters.source}}", "--destination", "{{job.parameters.destination}}",
                 "--model", "{{job.parameters.model}}", "--version", "{{job.parameters.version}}",
                 "--name", "{{job.parameters.name}}", "--experiment", "{{job.parameters.experiment}}",
                 "--tags", "{{job.parameters.tags}}",
                 "--registry", "https://adb-1.1.azuredatabricks.net=databricks",
                 "--registry", "https://adb-2.2.azuredatabricks.net=databricks://relay:live",
                 "--registry", "https://mlflow.example.com", "--token", "https://mlflow.example.com=relay/mlflow"]

The job goes only to registries that its own parameters name: `--registry ADDRESS=URI` is the address in the relay's
routes file and MLflow's URI for it (`databricks` is the job's own workspace, `databricks://SCOPE:PREFIX` another one,
whose PREFIX-host and PREFIX-token are in that secret scope). `--token ADDRESS=SCOPE/KEY` is where a token, or
`user:password`, for an MLflow server is among Databricks' secrets; without a slash it is an environment variable.
The cluster needs mlflow 2.9 or later, or mlflow-skinny. Exit status: 0 if the copy is there, 1 if it is not, 2 if the
parameters make no sense. Whatever runs twice makes one copy: it is looked for first, by where it comes from.

Seen here: copies between two servers of MLflow 3.17. Not seen: a real workspace. By documentation:
`databricks://SCOPE:PREFIX`, `{{job.parameters.…}}`, the run of a Python script.
"""

from __future__ import annotations

import argparse
import base64
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

COPIED_FROM = "relay.copied_from"
MARKER = "relay.marker"
FILES = "model"
EXPERIMENTS = {False: "Copied models", True: "/Shared/Copied models"}
REGISTRATION_SECONDS = 3600
_CREDENTIALS = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
log = logging.getLogger("copy_model_job")


class WrongParametersError(Exception):
    """The task's parameters make no sense. The message says what would."""


class Registry(NamedTuple):
    """A registry as MLflow knows it, with what lets us into a server."""

    uri: str
    credential: str

    @property
    def is_databricks(self) -> bool:
        """Whether it is that of a workspace."""
        return self.uri == "databricks" or self.uri.startswith("databricks://")

    @contextmanager
    def entered(self) -> Iterator[Any]:
        """Give MLflow's client for this registry. Its credentials are the process's: one registry at a time."""
        import mlflow  # type: ignore[import-not-found, unused-ignore]

        before = {name: os.environ.pop(name) for name in _CREDENTIALS if name in os.environ}
        user, colon, password = self.credential.partition(":")
        if colon:
            os.environ.update(MLFLOW_TRACKING_USERNAME=user, MLFLOW_TRACKING_PASSWORD=password)
        elif user:
            os.environ.update(MLFLOW_TRACKING_TOKEN=user)
        try:
            # parts of MLflow ask the process for these, whatever its client was given
            mlflow.set_tracking_uri(self.uri)
            mlflow.set_registry_uri(self.uri)
            yield mlflow.MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
        finally:
            for name in _CREDENTIALS:
                os.environ.pop(name, None)
            os.environ.update(before)


class Original(NamedTuple):
    """The version to copy: its files in a folder of this machine, the metrics of its run."""

    folder: str
    metrics: Mapping[str, float]


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the copy that the task's parameters tell of; return the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    given = _parser().parse_args(arguments)
    try:
        registries = _registries(given)
        source, destination = (_registry(registries, address) for address in (given.source, given.destination))
        tags = _tags(given.tags)
    except WrongParametersError as error:
        log.error("%s", error)
        return 2
    if not _is_there(destination, given.name, tags):
        with tempfile.TemporaryDirectory() as folder:
            original = _download(source, given.model, given.version, folder)
            _store(destination, given, original, tags)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Copies a model version from one registry to another.")
    for name in ("source", "destination", "model", "version", "name", "tags"):
        parser.add_argument(f"--{name}", required=True, help=f"{{{{job.parameters.{name}}}}}")
    parser.add_argument("--experiment", default="", help="{{job.parameters.experiment}}")
    parser.add_argument("--registry", action="append", default=[], help="ADDRESS=URI, or ADDRESS for an MLflow server")
    parser.add_argument("--token", action="append", default=[], help="ADDRESS=SCOPE/KEY, or ADDRESS=VARIABLE")
    return parser


def _registries(given: argparse.Namespace) -> dict[str, Registry]:
    tokens = {}
    for each in given.token:
        address, equals, place = each.partition("=")
        if not (address and equals and place):
            raise WrongParametersError(f"--token has to be ADDRESS=SCOPE/KEY or ADDRESS=VARIABLE, not {each!r}")
        tokens[address.rstrip("/")] = _secret(place)
    found = {}
    for each in given.registry:
        address, _, uri = each.partition("=")
        address = address.rstrip("/")
        found[address] = Registry(uri or address, tokens.pop(address, ""))
    if tokens:
        raise WrongParametersError(f"--token is for a --registry, and there is none of {', '.join(sorted(tokens))}")
    return found


def _registry(registries: Mapping[str, Registry], address: str) -> Registry:
    if address not in registries:
        known = ", ".join(sorted(registries)) or "none"
        raise WrongParametersError(f"this job does not go to {address}: name it with --registry; named are {known}")
    return registries[address]


def _secret(place: str) -> str:
    scope, slash, key = place.partition("/")
    if not slash:
        if not os.environ.get(place):
            raise WrongParametersError(f"the environment variable {place} is missing or empty")
        return os.environ[place]
    try:
        from databricks.sdk.runtime import dbutils  # type: ignore[import-not-found, unused-ignore]

        return str(dbutils.secrets.get(scope=scope, key=key))
    except Exception as error:  # what a cluster raises for a scope that isn't there is nowhere written down
        raise WrongParametersError(f"secret {place} can't be read: {type(error).__name__}: {error}") from None


def _tags(text: str) -> dict[str, str]:
    try:
        tags = json.loads(base64.urlsafe_b64decode(text))
    except ValueError:
        tags = None
    if not isinstance(tags, dict) or not all(isinstance(tags.get(key), str) for key in (COPIED_FROM, MARKER)):
        raise WrongParametersError("--tags has to be the parameter of the relay: was the job started by it?")
    return {str(key): str(value) for key, value in tags.items()}


def _is_there(destination: Registry, name: str, tags: Mapping[str, str]) -> bool:
    """Tell whether some version of the model bears where this one comes from. Databricks can't be asked for a tag."""
    from mlflow.exceptions import MlflowException  # type: ignore[import-not-found, unused-ignore]

    with destination.entered() as client:
        token = None
        while True:
            try:
                page = client.search_model_versions(f"name={_quoted(name)}", max_results=100, page_token=token)
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return False
                raise
            for version in page:
                if version.tags.get(COPIED_FROM) == tags[COPIED_FROM]:
                    log.info("it is there: %s version %s", name, version.version)
                    return True
            token = page.token
            if not token:
                return False


def _download(source: Registry, model: str, version: str, folder: str) -> Original:
    from mlflow.artifacts import download_artifacts  # type: ignore[import-not-found, unused-ignore]

    with source.entered() as client:
        original = client.get_model_version(model, version)
        if source.is_databricks:
            address, begun = f"models:/{model}/{version}", time.monotonic()
            places = {"tracking_uri": source.uri, "registry_uri": source.uri}
            files = download_artifacts(artifact_uri=address, dst_path=folder, **places)
            # MLflow puts it beside the files that it reads from a registry: it would name the original
            Path(files, "registered_model_meta").unlink(missing_ok=True)
        else:
            address, begun = client.get_model_version_download_uri(model, version), time.monotonic()
            files = download_artifacts(artifact_uri=address, dst_path=folder, tracking_uri=source.uri)
        log.info("%s version %s was read in %.1f s", model, version, time.monotonic() - begun)
        return Original(files, _metrics(client, original.run_id))


def _metrics(client: Any, run_id: str) -> dict[str, float]:
    """Return the metrics of a run; none if it is gone, or we may not read it."""
    from mlflow.exceptions import MlflowException  # type: ignore[import-not-found, unused-ignore]

    try:
        return dict(client.get_run(run_id).data.metrics) if run_id else {}
    except MlflowException as error:
        log.warning("its metrics can't be read: %s", error)
        return {}


def _store(destination: Registry, given: argparse.Namespace, original: Original, tags: Mapping[str, str]) -> None:
    with destination.entered() as client:
        _ensure_model(client, given.name)
        experiment = given.experiment or EXPERIMENTS[destination.is_databricks]
        run = _ensure_run(client, experiment, tags[MARKER], f"{given.model} version {given.version}"[:200])
        client.log_artifacts(run.info.run_id, original.folder, FILES)
        for key, value in original.metrics.items():
            client.log_metric(run.info.run_id, key, value)
        client.set_terminated(run.info.run_id)
    if _is_there(destination, given.name, tags):  # storing may have taken long
        return
    with destination.entered() as client:
        made = client.create_model_version(
            given.name,
            f"{run.info.artifact_uri.rstrip('/')}/{FILES}",
            run.info.run_id,
            tags=dict(tags),
            await_creation_for=REGISTRATION_SECONDS,
        )
    log.info("%s version %s was copied to %s version %s", given.model, given.version, given.name, made.version)


def _ensure_model(client: Any, name: str) -> None:
    from mlflow.exceptions import MlflowException  # type: ignore[import-not-found, unused-ignore]

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _ensure_run(client: Any, experiment: str, marker: str, name: str) -> Any:
    """Return the run with the marker: the relay, or an earlier run of this job, may have made it."""
    found = client.get_experiment_by_name(experiment)
    number = found.experiment_id if found else client.create_experiment(experiment)
    runs = client.search_runs([number], f"tags.`{MARKER}` = '{marker}'", max_results=1)
    return runs[0] if runs else client.create_run(number, tags={MARKER: marker}, run_name=name)


def _quoted(text: str) -> str:
    mark = '"' if "'" in text else "'"
    return f"{mark}{text}{mark}"


if __name__ == "__main__":
    exit_status = main()
    if exit_status:  # a task that ends by SystemExit counts as failed, whatever the status
        sys.exit(exit_status)
