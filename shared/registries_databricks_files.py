"""The files of Databricks workspaces: read as those of a model version, stored as those of a run.

To read, the right CAN_READ on the model is enough: the registry signs an address of its own storage for each file
(model-versions/list-artifacts, model-versions/get-signed-download-uri). To store, the right to edit the experiment: the
tracking service signs one for each file of a run (artifacts/list, artifacts/credentials-for-write).
Contract: MLflow's own client for Databricks (3.17: DatabricksModelsArtifactRepository, whose two endpoints it declares
stable, and databricks_artifacts.proto). Databricks documents artifacts/list alone; its DBFS API, which is documented,
does not reach these folders. What is signed is an address of the cloud's storage: it takes no token of ours, and where
it leads is checked, since the answer of a registry is not trusted with that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

from shared.errors import PermanentFailure, TransientFailure
from shared.outbound import place_named
from shared.registries import Registry
from shared.registries_artifacts import Address, Entry, Renew
from shared.registries_rest import call, read
from shared.registries_storage import SIGNED, STORAGE, put

MAX_PAGES = 100


class VersionFolder:
    """The files of a model version, to be read."""

    def __init__(self, registry: Registry, model: str, version: str) -> None:
        self._registry = registry
        self._version = {"name": model, "version": version}

    def entries(self, path: str) -> Iterator[Entry]:
        """Yield what stands at a path in the folder."""
        return _entries(self._registry, "model-versions/list-artifacts", {**self._version, "path": path}, path)

    def address(self, path: str) -> Address:
        """Return where a file is read."""
        signed = read(self._registry, "model-versions/get-signed-download-uri", {**self._version, "path": path})
        if signed is None:
            raise TransientFailure(f"the artifact {path} was listed and is not there")
        return Address(_checked(signed), _headers(signed), STORAGE, is_signed=True)


class RunFolder:
    """The files of a run in one of its folders, to be read by name and stored."""

    def __init__(self, registry: Registry, run: str, root: str) -> None:
        self._registry, self._run, self._root = registry, run, root

    def entries(self, path: str) -> Iterator[Entry]:
        """Yield what stands at a path in the folder."""
        inside = f"{self._root}/{path}".rstrip("/")
        return _entries(self._registry, "artifacts/list", {"run_id": self._run, "path": inside}, inside)

    def address(self, path: str) -> Address:
        """Return where a file is read."""
        signed = self._credentials("artifacts/credentials-for-read", path)
        return Address(_checked(signed), _headers(signed), STORAGE, is_signed=True)

    def store(self, path: str, size: int, content: IO[bytes], renew: Renew) -> None:
        """Store a file."""
        signed = self._credentials("artifacts/credentials-for-write", path)
        put(str(signed.get("type") or ""), _checked(signed), _headers(signed), path, size, content, renew)

    def _credentials(self, api: str, path: str) -> dict[str, Any]:
        wanted = {"run_id": self._run, "path": [f"{self._root}/{path}"]}
        found = call(self._registry, "POST", api, wanted).get("credential_infos")
        if not isinstance(found, list) or len(found) != 1 or not isinstance(found[0], dict):
            raise TransientFailure(f"Databricks signed no address for the artifact {path}")
        return found[0]


def _entries(registry: Registry, api: str, params: dict[str, str], path: str) -> Iterator[Entry]:
    """Yield what is listed, page by page; a path that is a file's lists that file alone, which is in no folder then."""
    token = ""
    for _ in range(MAX_PAGES):
        page = read(registry, api, {**params, **({"page_token": token} if token else {})}) or {}
        for each in page.get("files", ()):
            name = str(each["path"])
            if name != path:
                inside = name.removeprefix(f"{path}/") if path else name
                yield Entry(inside, bool(each.get("is_dir")), int(each.get("file_size") or 0))
        token = str(page.get("next_page_token") or "")
        if not token:
            return
    raise PermanentFailure(f"Databricks lists artifacts without end: {MAX_PAGES} pages at most are read")


def _checked(signed: dict[str, Any]) -> str:
    uri = str(signed.get("signed_uri") or "")
    place_named(uri, SIGNED)
    return uri


def _headers(signed: dict[str, Any]) -> dict[str, str]:
    return {str(each["name"]): str(each["value"]) for each in signed.get("headers") or ()}
