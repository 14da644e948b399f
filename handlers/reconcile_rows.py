"""Where the reconciler keeps what it has seen: table `reconciled`.

A row for each source that is watched (partition `look`), which says up to when all of it was looked at, and a row for
each of its models with the snapshot. A row is written only if nobody has changed it since it was read.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from handlers.registry_facts import Snapshot
from shared import storage
from shared.errors import ClaimLost
from shared.routes import Source
from shared.shapes import decoded

RECONCILED, LOOK = "reconciled", "look"
CHUNK = 60_000  # a property holds 64 KiB
MAX_SHOWN = 1000


class Look(msgspec.Struct, frozen=True):
    """How far a source was looked at.

    All models were read at `at` or later. A turn that is too long for one run goes on behind the model `after`; it
    began at `began`. `behind` are models that could not be read, each with when it was last known.
    """

    at: datetime
    began: datetime | None = None
    after: str = ""
    behind: dict[str, datetime] = {}


class Kept(msgspec.Struct, frozen=True):
    """A model's row as it was read or written. What it shows was so at `at` or later."""

    snapshot: Snapshot
    at: datetime
    etag: str


def partition_of(name: str, source: Source) -> str:
    """Return where the rows of a source are: a source that is turned to another registry begins anew."""
    return hashlib.sha256(msgspec.json.encode([name, source.address])).hexdigest()


def read_looks() -> dict[str, Look]:
    """Return how far each source was looked at, by its partition."""
    rows = storage.rows(RECONCILED, "PartitionKey eq @look", {"look": LOOK})
    return {str(row["RowKey"]): decoded(row["look"], Look) for row in rows}


def write_look(partition: str, look: Look) -> None:
    """Note how far a source was looked at."""
    told = msgspec.json.encode(look).decode()
    storage.put_row(RECONCILED, {"PartitionKey": LOOK, "RowKey": partition, "look": told})


def drop_source(partition: str) -> None:
    """Forget all that was seen of a source: when it is watched again, it begins anew."""
    for key in read_models(partition):
        drop_model(partition, key)
    storage.table(RECONCILED).delete_entity(LOOK, partition)


def read_models(partition: str) -> dict[str, Kept]:
    """Return what is known of each model of a source, by its row's key."""
    rows = storage.rows(RECONCILED, "PartitionKey eq @source", {"source": partition})
    return {str(row["RowKey"]): _kept(row) for row in rows}


def row_key(model: str) -> str:
    """Return the key of a model's row: a name may hold what a key may not."""
    return hashlib.sha256(model.encode()).hexdigest()


def write_model(partition: str, model: str, snapshot: Snapshot, at: datetime, etag: str) -> Kept:
    """Write what is known of a model; `etag` is that of the row as it was read, empty if there was none.

    Raises ClaimLost if another worker has written it meanwhile.
    """
    from azure.core import MatchConditions
    from azure.core.exceptions import ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
    from azure.data.tables import UpdateMode

    row = {"PartitionKey": partition, "RowKey": row_key(model), "model": model[:MAX_SHOWN], "at": at}
    row |= pack(snapshot)
    table = storage.table(RECONCILED)
    condition: dict[str, Any] = {"etag": etag, "match_condition": MatchConditions.IfNotModified}
    try:
        if etag:
            written = table.update_entity(row, UpdateMode.REPLACE, **condition)
        else:
            written = storage.creating(RECONCILED, lambda: table.create_entity(row))
    except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError):
        raise ClaimLost(f"another worker has looked at {model!r} at the same time") from None
    return Kept(snapshot, at, str(written["etag"]))


def drop_model(partition: str, key: str) -> None:
    """Forget a model that is no longer there."""
    storage.table(RECONCILED).delete_entity(partition, key)


def pack(snapshot: Snapshot) -> dict[str, Any]:
    """Return the snapshot as columns. A model of thousands of versions has more facts than one property holds."""
    packed = zlib.compress(msgspec.json.encode(snapshot, order="deterministic"))
    return {f"facts{start // CHUNK}": packed[start : start + CHUNK] for start in range(0, len(packed), CHUNK)}


def unpack(row: Mapping[str, Any]) -> Snapshot:
    """Return the snapshot of a row's columns."""
    names = sorted((name for name in row if name.startswith("facts")), key=lambda name: int(name[5:]))
    packed = b"".join(bytes(row[name]) for name in names)
    return decoded(zlib.decompress(packed), Snapshot)


def _kept(row: Any) -> Kept:
    return Kept(unpack(row), datetime.fromisoformat(row["at"].isoformat()), row.metadata["etag"])
