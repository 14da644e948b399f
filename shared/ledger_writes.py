"""How rows get into table `steps`: several in one transaction, a single one by itself, which takes half the time.

A change of a row is made under the etag with which it was read.
"""

from __future__ import annotations

from typing import Any

from shared import storage
from shared.errors import ClaimLost

STEPS = "steps"
TRANSACTION_ROWS = 100  # the service's limit for one transaction
# Repeated by the SDK, a write whose reply was lost would meet itself, and take itself for another worker's. The host
# gives the message to a turn instead that reads the row first. Inserts and transactions, being POSTs, are not anyway.
_UNREPEATED = {"retry_connect": 0, "retry_read": 0}


def insert(rows: list[dict[str, Any]]) -> list[str]:
    """Insert rows of one event; return their etags, none if one of the rows is there already."""
    from azure.core.exceptions import ResourceExistsError
    from azure.data.tables import TableTransactionError

    try:
        if len(rows) == 1:
            replies = [storage.creating(STEPS, lambda: storage.table(STEPS).create_entity(rows[0]))]
        else:
            replies = _in_transactions("create", rows)
    except (TableTransactionError, ResourceExistsError) as error:
        if not _is_conflict(error):
            raise
        return []
    return [str(reply["etag"]) for reply in replies]


def delete(rows: list[dict[str, Any]]) -> None:
    """Delete rows of one event."""
    _in_transactions("delete", rows)


def write(row: dict[str, Any], etag: str, then: list[dict[str, Any]]) -> list[str]:
    """Write over a row if it is as it was read, or insert it if it was not there (without an etag), and with it the
    rows `then`; return the etags of all.

    Raises ClaimLost if it is not, or if one of the new rows is there already.
    """
    etags = _replace(row, etag, then) if etag else insert([row, *then])
    if not etags:
        raise ClaimLost(f"{row['RowKey']} of event {row['PartitionKey']} was changed by another worker")
    return etags


def _replace(row: dict[str, Any], etag: str, then: list[dict[str, Any]]) -> list[str]:
    from azure.core import MatchConditions
    from azure.core.exceptions import HttpResponseError

    condition = {"mode": "replace", "etag": etag, "match_condition": MatchConditions.IfNotModified}
    try:
        if then:
            replies = _transaction([("update", row, condition), *(("create", new) for new in then)])
        else:
            replies = [_update(row, {**condition, **_UNREPEATED})]
    except HttpResponseError as error:
        if not _is_conflict(error):
            raise
        return []
    return [str(reply["etag"]) for reply in replies]


def complete(rows: list[dict[str, Any]], there: set[str]) -> None:
    """Insert the rows whose keys are not `there`, one by one, since others may do the same at the same time."""
    from azure.core.exceptions import ResourceExistsError

    for row in rows:
        if row["RowKey"] not in there:
            try:
                storage.table(STEPS).create_entity(row)
            except ResourceExistsError:
                continue  # another worker completes it at the same time


def _in_transactions(operation: str, rows: list[dict[str, Any]]) -> list[Any]:
    replies = []
    for start in range(0, len(rows), TRANSACTION_ROWS):
        replies += _transaction([(operation, row) for row in rows[start : start + TRANSACTION_ROWS]])
    return replies


def _transaction(operations: list[Any]) -> list[Any]:
    return list(storage.creating(STEPS, lambda: storage.table(STEPS).submit_transaction(operations)))


def _update(row: dict[str, Any], options: dict[str, Any]) -> Any:
    return storage.creating(STEPS, lambda: storage.table(STEPS).update_entity(row, **options))


def _is_conflict(error: Any) -> bool:
    known = ("EntityAlreadyExists", "UpdateConditionNotSatisfied")
    return error.status_code in (409, 412) or getattr(error, "error_code", "") in known
