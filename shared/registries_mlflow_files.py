"""The files of MLflow servers, as far as a server serves them itself (`mlflow-artifacts:`, the default).

For anything else (--no-serve-artifacts) the credentials of its storage would be needed.
Contract: MlflowArtifactsService of MLflow 3 (list, download, upload).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO
from urllib.parse import quote, unquote, urlsplit

from shared import rest
from shared.errors import PermanentFailure
from shared.registries import Registry
from shared.registries_artifacts import Address, Entry, JobNeeded, Renew, Stream, judge, judged
from shared.registries_rest import MLFLOW, headers, read

API = "/api/2.0/mlflow-artifacts/artifacts"


class MlflowFolder:
    """A folder on an MLflow server."""

    def __init__(self, registry: Registry, root: str) -> None:
        self._registry, self._root = registry, root

    def entries(self, path: str) -> Iterator[Entry]:
        """Yield what stands at a path in the folder."""
        params = {"path": f"{self._root}/{path}".rstrip("/")}
        asked = rest.request(
            "GET", f"{self._registry.url}{API}", MLFLOW, params=params, headers=headers(self._registry)
        )
        for each in asked.json().get("files", ()):
            yield Entry(str(each["path"]), bool(each.get("is_dir")), int(each.get("file_size") or 0))

    def address(self, path: str) -> Address:
        """Return where a file is read."""
        return Address(f"{self._registry.url}{API}/{quote(f'{self._root}/{path}')}", headers(self._registry), MLFLOW)

    def store(self, path: str, size: int, content: IO[bytes], renew: Renew) -> None:
        """Store a file."""
        import requests

        where = self.address(path)
        data = Stream(content, size, renew) if size else b""  # requests would send an empty file without its length
        with judged(MLFLOW):
            got = requests.put(
                where.url, data=data, headers=where.headers, timeout=rest.TIMEOUT_SECONDS, allow_redirects=False
            )
            judge(got.status_code, got.headers, got.text, f"storing the artifact {path}", MLFLOW)


def version_folder(registry: Registry, model: str, version: str) -> MlflowFolder:
    """Return the folder of a version's artifacts. Raises JobNeeded if they are elsewhere, and any Failure."""
    params = {"name": model, "version": version}
    uri = str((read(registry, "model-versions/get-download-uri", params) or {}).get("artifact_uri", ""))
    return MlflowFolder(registry, served(uri))


def served(uri: str) -> str:
    """Return the folder that an artifact URI names on its server. Raises JobNeeded if it is elsewhere, and a
    PermanentFailure for a path that leads out of the server's artifacts: HTTP clients resolve `..` before they ask."""
    found = urlsplit(uri)
    if found.scheme != "mlflow-artifacts" or found.netloc:
        raise JobNeeded(
            f"the artifacts are at {found.scheme or 'no'}:, and of an MLflow server only those are copied here "
            "that it serves itself (mlflow-artifacts:)"
        )
    if any(part in (".", "..") for part in re.split(r"[/\\]", unquote(found.path))):
        raise PermanentFailure(f"the registry names artifacts at a path that no folder has: {found.path[:80]!r}")
    return found.path.strip("/")
