"""An index of failures: table `failures`, one row for each time a step was dead or parked, a partition a day.

It is for people's eyes and written beside the ledger, not with it: a row may be missing after a crash.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta

from shared import storage
from shared.steps import State, Step

log = logging.getLogger("relay.ledger")
FAILURES = "failures"
FAILED = frozenset({State.DEAD, State.PARKED})


def note(step: Step, now: datetime) -> None:
    """Note a step that has just come to its state, if that is a failure. What storage raises is logged alone."""
    if step.state not in FAILED:
        return
    from azure.core.exceptions import AzureError

    name = hashlib.sha256(f"{step.event_id}/{step.id}/{step.reopened}".encode()).hexdigest()[:32]
    key = {"PartitionKey": now.date().isoformat(), "RowKey": name}
    try:
        storage.put_row(FAILURES, {**key, "event": step.event_id, "route": step.route, "at": now})
    except AzureError as error:
        log.warning("a failure of event %s is missing in the index: %s", step.event_id, type(error).__name__)


def since(moment: datetime, until: datetime) -> Iterator[datetime]:
    """Yield when steps failed between the two moments, in no order. Costs a query for each day and each 1,000 rows."""
    day = moment.date()
    while day <= until.date():
        for row in storage.rows(FAILURES, "PartitionKey eq @day", {"day": day.isoformat()}):
            if moment <= row["at"] <= until:
                yield row["at"]
        day += timedelta(days=1)


def forget(before: datetime, limit: int) -> int:
    """Remove the rows from before the day of that moment, so many at most; return how many they were."""
    count = 0
    for row in storage.rows(FAILURES, "PartitionKey lt @day", {"day": before.date().isoformat()}):
        if count == limit:
            break
        storage.table(FAILURES).delete_entity(row["PartitionKey"], row["RowKey"])
        count += 1
    return count
