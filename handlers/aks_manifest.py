"""What `aks_rollout` applies: the manifest of the route, or one that serves a model version with MLflow.

Values are put into objects, not into text: whatever they hold, a value stays a value. Each that comes from outside has
passed `harmless` before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.errors import PermanentFailure
from shared.templates import fill_all, harmless

ROOT = Path(__file__).parent.parent
DNS_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def path_in_package(name: str) -> Path:
    """Return the path of a manifest file. Raises ValueError unless it is a YAML or JSON file within the package."""
    path = (ROOT / name).resolve()
    if not path.is_relative_to(ROOT) or path.suffix not in (".yaml", ".yml", ".json") or not path.is_file():
        raise ValueError(f"`manifest` {name!r} is no YAML or JSON file of this package: give its path from the top")
    return path


def read(name: str, values: Mapping[str, str]) -> list[Any]:
    """Return the objects of a manifest file, its placeholders filled. Raises PermanentFailure."""
    import yaml

    try:
        objects = [each for each in yaml.safe_load_all(path_in_package(name).read_text()) if each is not None]
        return [fill_all(each, values, harmless) for each in objects]
    except (ValueError, yaml.YAMLError) as error:
        raise PermanentFailure(f"the manifest {name!r} can't be used: {error}") from None
    except KeyError as error:
        raise PermanentFailure(f"the manifest {name!r} has a placeholder {error} that `values` does not give") from None


def check(objects: list[Any], name: str, namespace: str) -> None:
    """Raise PermanentFailure unless these are objects of the one namespace, with the deployment among them."""
    for each in objects:
        metadata = each.get("metadata") if isinstance(each, dict) else None
        if (
            not isinstance(metadata, dict)
            or not each.get("kind")
            or not each.get("apiVersion")
            or not metadata.get("name")
        ):
            raise PermanentFailure("each object of a manifest has `apiVersion`, `kind` and `metadata.name`")
        if metadata.get("namespace", namespace) != namespace:
            raise PermanentFailure(f"the manifest reaches into namespace {metadata['namespace']!r}, not {namespace!r}")
    if not any(each["kind"] == "Deployment" and each["metadata"]["name"] == name for each in objects):
        raise PermanentFailure(f"the manifest has no Deployment called {name!r}")


def serving(
    *,
    name: str,
    image: str,
    model_uri: str,
    port: int,
    replicas: int,
    env: Mapping[str, str],
    env_secret: str,
    time: str,
) -> list[Any]:
    """Return a Deployment and its Service that serve a model with `mlflow models serve`.

    `time` is the event's: an alias may stand for another version now, which only new pods load. Contract: MLflow 3,
    `mlflow models serve` (`/health` answers when the model is loaded, `/invocations` scores).
    """
    serve = ["mlflow", "models", "serve", "--model-uri", model_uri, "--host", "0.0.0.0", "--port", str(port)]  # noqa: S104
    container: dict[str, Any] = {
        "name": "model",
        "image": image,
        "command": [*serve, "--env-manager", "local"],
        "ports": [{"name": "http", "containerPort": port}],
        "env": [{"name": key, "value": value} for key, value in env.items()],
        "readinessProbe": {"httpGet": {"path": "/health", "port": port}, "periodSeconds": 5},
    }
    if env_secret:
        container["envFrom"] = [{"secretRef": {"name": env_secret}}]
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/managed-by": "registry-relay"}
    selector = {"app.kubernetes.io/name": name}
    pod = {
        "metadata": {"labels": labels, "annotations": {"relay-event-time": time}},
        "spec": {"containers": [container]},
    }
    deployment = {"replicas": replicas, "selector": {"matchLabels": selector}, "template": pod}
    ports = [{"name": "http", "port": 80, "targetPort": port}]
    return [
        _object("apps/v1", "Deployment", name, labels, deployment),
        _object("v1", "Service", name, labels, {"selector": selector, "ports": ports}),
    ]


def _object(version: str, kind: str, name: str, labels: Mapping[str, str], spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": dict(labels)}, "spec": dict(spec)}
