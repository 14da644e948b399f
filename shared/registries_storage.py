"""The clouds' storage behind a Databricks workspace: a file stored at an address that was signed for it alone.

Contract: Put Block and Put Block List of Azure Blob Storage, Create, Append and Flush of Azure Data Lake Storage Gen2,
PUT of a presigned address of S3 and Google Cloud Storage; which of them, the type of a credential says
(ArtifactCredentialType in MLflow's databricks_artifacts.proto).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import IO, Any

from shared import outbound, rest
from shared.errors import PermanentFailure
from shared.registries_artifacts import Renew, Stream, judge, judged, parts
from shared.sessions import new_session

STORAGE = "the storage of Databricks"
SIGNED = "the address that Databricks signed"
BLOCK = 4 * 1024 * 1024
Send = Callable[..., None]


def put(
    kind: str, url: str, headers: Mapping[str, str], path: str, size: int, content: IO[bytes], renew: Renew
) -> None:
    """Store a file at a signed address of a kind. Raises a Failure, a PermanentFailure for a kind that is unknown."""
    ways = {
        "AZURE_SAS_URI": _blocks,
        "AZURE_ADLS_GEN2_SAS_URI": _appends,
        "AWS_PRESIGNED_URL": _whole,
        "GCP_SIGNED_URL": _whole,
    }
    if kind not in ways:
        raise PermanentFailure(f"Databricks signs addresses of a kind that is not known here: {kind[:60]!r}")

    def send(method: str, data: Any, given: Mapping[str, str] | None = None, **query: str) -> None:
        _send(method, url, data, {**headers, **(given or {})}, query, path)

    ways[kind](send, size, content, renew)


def _blocks(send: Send, size: int, content: IO[bytes], renew: Renew) -> None:
    """Nobody sees the blocks before the list that makes a file of them."""
    kind, listed = {"x-ms-blob-type": "BlockBlob"}, []
    for number, part in enumerate(parts(content, BLOCK, renew)):
        block = base64.b64encode(f"relay-{number:08d}".encode()).decode()
        send("PUT", part, kind, comp="block", blockid=block)
        listed.append(f"<Uncommitted>{block}</Uncommitted>")
    body = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{"".join(listed)}</BlockList>'
    send("PUT", body.encode(), comp="blocklist")


def _appends(send: Send, size: int, content: IO[bytes], renew: Renew) -> None:
    send("PUT", b"", resource="file")
    position = 0
    for part in parts(content, BLOCK, renew):
        send("PATCH", part, action="append", position=str(position))
        position += len(part)
    send("PATCH", b"", action="flush", position=str(position))


def _whole(send: Send, size: int, content: IO[bytes], renew: Renew) -> None:
    send("PUT", Stream(content, size, renew) if size else b"")


def _send(method: str, url: str, data: Any, headers: Mapping[str, str], query: Mapping[str, str], path: str) -> None:
    with judged(STORAGE), outbound.going_to(url, SIGNED), new_session() as session:
        got = session.request(
            method, url, data=data, headers=headers, params=query, timeout=rest.TIMEOUT_SECONDS, allow_redirects=False
        )
        judge(got.status_code, got.headers, got.text, f"storing the artifact {path}", STORAGE)
