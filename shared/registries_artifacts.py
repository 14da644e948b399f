"""The artifacts of model versions: a folder of files at one registry, read and stored at another, whatever their kinds.

How a kind of registry is asked for its files: shared.registries_mlflow_files, shared.registries_databricks_files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import IO, NamedTuple, Protocol

from shared import outbound, rest
from shared.errors import PermanentFailure, TransientFailure
from shared.sessions import new_session

CHUNK = 1024 * 1024
MAX_FILES = 1000
MAX_DEPTH = 20
Renew = Callable[[], None]
"""Called between the parts of a file: says that whoever copies is still at it, and fails if nobody waits for that."""


class JobNeeded(PermanentFailure):
    """The files are too many, too large or out of reach for this app: a Databricks job may still copy them."""


class Entry(NamedTuple):
    """What a folder lists: a file with its size, or a folder. `name` has no slash."""

    name: str
    is_folder: bool
    size: int


class Address(NamedTuple):
    """Where a file is read, with the headers that it takes, at which service. `is_signed` if a registry has named the
    address: then it may not lead anywhere."""

    url: str
    headers: Mapping[str, str]
    service: str
    is_signed: bool = False


class Folder(Protocol):
    """A folder of artifacts at a registry; paths have no slash at either end. Each method raises a Failure."""

    def entries(self, path: str) -> Iterator[Entry]:
        """Yield what stands at a path in the folder, "" for itself; nothing where there is nothing."""

    def address(self, path: str) -> Address:
        """Return where a file is read."""


class WritableFolder(Folder, Protocol):
    """A folder of a run, to store files in."""

    def store(self, path: str, size: int, content: IO[bytes], renew: Renew) -> None:
        """Store a file; once more does no harm. Raises a Failure, and what `renew` raises."""


def files(folder: Folder, most: float) -> dict[str, int]:
    """Return the size of each file in a folder, by its path in there.

    Raises JobNeeded if they are larger than `most` bytes together, or too many.
    """
    found: dict[str, int] = {}
    total = 0
    for path, size in _walk(folder, "", 0):
        found[path] = size
        total += size
        if total > most:
            raise JobNeeded(f"the artifacts are more than {most / 1e6:g} MB")
        if len(found) > MAX_FILES:
            raise JobNeeded(f"the artifacts are more than {MAX_FILES} files")
    return found


def fetch(folder: Folder, path: str, size: int, into: IO[bytes], renew: Renew) -> None:
    """Read a file of so many bytes. Raises a Failure, a TransientFailure if it is not so large."""
    where = folder.address(path)
    with (
        judged(where.service),
        outbound.going_to(where.url, f"where {path} is read") if where.is_signed else nullcontext(),
        new_session() as session,
        session.get(
            where.url, headers=where.headers, stream=True, timeout=rest.TIMEOUT_SECONDS, allow_redirects=False
        ) as got,
    ):
        said = "" if got.ok else next(got.iter_content(CHUNK), b"").decode(errors="replace")
        judge(got.status_code, got.headers, said, f"reading the artifact {path}", where.service)
        for chunk in got.iter_content(CHUNK):
            into.write(chunk)
            renew()
            if into.tell() > size:
                break
    if into.tell() != size:
        raise TransientFailure(f"the artifact {path} is not the {size} bytes that are listed")
    into.seek(0)


class Stream:
    """A file as requests sends it: with its length, and renewing while it is read."""

    def __init__(self, content: IO[bytes], size: int, renew: Renew) -> None:
        self._content, self._size, self._renew = content, size, renew

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        return parts(self._content, CHUNK, self._renew)

    def read(self, length: int = -1) -> bytes:
        """Return so many bytes at most."""
        self._renew()
        return self._content.read(length)


def parts(content: IO[bytes], length: int, renew: Renew) -> Iterator[bytes]:
    """Yield the content in parts of so many bytes, and renew before each."""
    while part := content.read(length):
        renew()
        yield part


@contextmanager
def judged(service: str) -> Iterator[None]:
    """Turn what requests raises into a Failure. To read and to store is as harmless to repeat as to ask."""
    import requests

    try:
        yield
    except requests.RequestException as error:
        raise rest.failure_of_error(error, "GET", service) from None


def judge(status: int, headers: Mapping[str, str], said: str, doing: str, service: str) -> None:
    """Raise the Failure that a status means. What was said may repeat a signed address: only its code is told on."""
    code = _code(said)
    if status == 403 and (code in ("AuthenticationFailed", "ExpiredToken") or "expired" in said.lower()):
        raise TransientFailure(f"{service} lets nobody in any more by this address, {doing}: it will be asked anew")
    rest.judge(status, headers, f"{doing} {code}".strip(), "GET", service)


def _code(said: str) -> str:
    found = re.search(r"<Code>([A-Za-z]{1,60})</Code>", said) or re.search(r'"message": ?"([^"]{1,300})"', said)
    return found[1] if found else ""


def _walk(folder: Folder, path: str, depth: int) -> Iterator[tuple[str, int]]:
    for entry in folder.entries(path):
        name = entry.name
        if name in ("", ".", "..") or "/" in name or "\\" in name or not name.isprintable() or depth > MAX_DEPTH:
            raise PermanentFailure(f"the registry lists an artifact that no folder holds: {name[:80]!r}")
        inside = f"{path}/{name}".lstrip("/")
        if entry.is_folder:
            yield from _walk(folder, inside, depth + 1)
        else:
            yield inside, entry.size
