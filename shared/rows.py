"""A value in a row of its own, which several workers change: each change is written under the ETag of what was read.

So of two workers that change it at once the later one sees what the other has written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from shared import storage
from shared.shapes import decoded

Value = TypeVar("Value", bound=msgspec.Struct)
Key = tuple[str, str]
"""Partition key and row key."""


def read(table: str, key: Key, column: str, missing: Value) -> Value:
    """Return what the row's column holds, as what `missing` is; `missing` if there is no such row."""
    return _read(table, key, column, missing)[0]


def change(table: str, key: Key, column: str, missing: Value, alter: Callable[[Value], Value], **others: Any) -> Value:
    """Write what `alter` makes of the value, unless it is the same; return it. `others` are further columns."""
    while True:
        before, etag = _read(table, key, column, missing)
        after = alter(before)
        row = {"PartitionKey": key[0], "RowKey": key[1], column: msgspec.json.encode(after).decode(), **others}
        if after == before or _wrote(table, row, etag):
            return after


def _read(table: str, key: Key, column: str, missing: Value) -> tuple[Value, str]:
    from azure.core.exceptions import ResourceNotFoundError

    try:
        row = storage.table(table).get_entity(*key)
    except ResourceNotFoundError:
        return missing, ""
    return decoded(row[column], type(missing)), str(row.metadata["etag"])


def _wrote(name: str, row: dict[str, Any], etag: str) -> bool:
    """Write the row unless somebody has changed it since it was read."""
    from azure.core import MatchConditions
    from azure.core.exceptions import ResourceExistsError, ResourceModifiedError, ResourceNotFoundError

    table = storage.table(name)
    try:
        if etag:
            table.update_entity(row, etag=etag, match_condition=MatchConditions.IfNotModified)
        else:
            storage.creating(name, lambda: table.create_entity(row))
    except (ResourceExistsError, ResourceModifiedError):
        return False
    except ResourceNotFoundError:  # removed meanwhile
        return False
    return True
