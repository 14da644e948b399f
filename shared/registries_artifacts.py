"""The artifacts of MLflow servers: what a version consists of, read from one server and stored at another.

Only what a server serves itself (`mlflow-artifacts:`, which it does unless started with --no-serve-artifacts): for
anything else the credentials of its storage would be needed. Storing the same file again does no harm.
Contract: MlflowArtifactsService of MLflow 3 (list, download, upload).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any
from urllib.parse import quote, urlsplit

from shared import rest
from shared.errors import PermanentFailure, TransientFailure
from shared.registries import Registry
from shared.registries_rest import MLFLOW, headers, read

API = "/api/2.0/mlflow-artifacts/artifacts"
CHUNK = 1024 * 1024
MAX_FILES = 1000
MAX_DEPTH = 20


def folder_of(registry: Registry, model: str, version: str) -> str:
    """Return the folder, on its server, of a version's artifacts. Raises PermanentFailure if they are elsewhere."""
    params = {"name": model, "version": version}
    uri = str((read(registry, "model-versions/get-download-uri", params) or {}).get("artifact_uri", ""))
    return served(uri)


def served(uri: str) -> str:
    """Return the folder that an artifact URI names on its server. Raises PermanentFailure if it is elsewhere."""
    parts = urlsplit(uri)
    if parts.scheme != "mlflow-artifacts" or parts.netloc:
        raise PermanentFailure(
            f"the artifacts are at {parts.scheme or 'no'}:, and only those that an MLflow server serves itself "
            "(mlflow-artifacts:) are copied here: use a `databricks_job` or pipeline that may read them"
        )
    return parts.path.strip("/")


def files(registry: Registry, folder: str, most: int) -> dict[str, int]:
    """Return the size of each file in a folder, by its path in there.

    Raises PermanentFailure if they are larger than `most` bytes together, or too many.
    """
    found: dict[str, int] = {}
    for path, size in _walk(registry, folder, "", 0):
        found[path] = size
        if sum(found.values()) > most or len(found) > MAX_FILES:
            raise PermanentFailure(
                f"the artifacts are more than {most / 1e6:g} MB, or than {MAX_FILES} files: raise `max_megabytes` as "
                "far as the copying still fits into STEP_LEASE_SECONDS, or use a `databricks_job` or pipeline for it"
            )
    return found


def fetch(registry: Registry, path: str, size: int, into: IO[bytes]) -> None:
    """Read a file of so many bytes from its server. Raises a Failure, a TransientFailure if it is not so large."""
    import requests

    with _judged():
        url = f"{registry.url}{API}/{quote(path)}"
        with requests.get(
            url, headers=headers(registry), stream=True, timeout=rest.TIMEOUT_SECONDS, allow_redirects=False
        ) as got:
            rest.judge(got.status_code, got.headers, f"reading the artifact {path}", "GET", MLFLOW)
            for chunk in got.iter_content(CHUNK):
                into.write(chunk)
                if into.tell() > size:
                    break
    if into.tell() != size:
        raise TransientFailure(f"the artifact {path} is not the {size} bytes that {MLFLOW} lists")
    into.seek(0)


def store(registry: Registry, path: str, size: int, content: IO[bytes]) -> None:
    """Store a file at a server. Raises a Failure."""
    import requests

    with _judged():  # to store it once more changes nothing: that makes it as harmless as asking
        url = f"{registry.url}{API}/{quote(path)}"
        data = content if size else b""  # requests would send an empty file without its length
        got = requests.put(
            url, data=data, headers=headers(registry), timeout=rest.TIMEOUT_SECONDS, allow_redirects=False
        )
        rest.judge(got.status_code, got.headers, f"storing the artifact {path}: {got.text[:300]}", "GET", MLFLOW)


def _walk(registry: Registry, folder: str, inside: str, depth: int) -> Iterator[tuple[str, int]]:
    reply = rest.request(
        "GET",
        f"{registry.url}{API}",
        MLFLOW,
        params={"path": f"{folder}/{inside}".rstrip("/")},
        headers=headers(registry),
    )
    listed: Any = reply.json()
    for each in listed.get("files", ()):
        name = str(each["path"])
        if name in ("", ".", "..") or "/" in name or "\\" in name or depth > MAX_DEPTH:
            raise PermanentFailure(f"{MLFLOW} lists an artifact that no folder holds: {name[:80]!r}")
        path = f"{inside}/{name}".lstrip("/")
        if each.get("is_dir"):
            yield from _walk(registry, folder, path, depth + 1)
        else:
            yield path, int(each.get("file_size", 0))


@contextmanager
def _judged() -> Iterator[None]:
    import requests

    try:
        yield
    except requests.RequestException as error:
        raise rest.failure_of_error(error, "GET", MLFLOW) from None
