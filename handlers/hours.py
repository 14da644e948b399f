"""Events and failures of the last 24 hours, hour by hour, from the ledger's two indexes."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from shared import failures, recent

HOURS = 24
MAX_COUNTED = 10_000  # of each; whoever has more of them in a day looks at the monitoring


def hours_until(now: datetime) -> list[dict[str, Any]]:
    """Return, for each of the last 24 hours, the oldest first: its beginning as `hour`, how many `events` happened in
    it, and how many `failures` there were: times that a step came to be dead or parked."""
    first = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS - 1)
    events = _counted(row.happened for row in recent.newest(first, now))
    failed = _counted(failures.since(first, now))
    hours = [first + timedelta(hours=number) for number in range(HOURS)]
    return [{"hour": hour.isoformat(), "events": events[hour], "failures": failed[hour]} for hour in hours]


def _counted(moments: Iterable[datetime]) -> Counter[datetime]:
    counted = itertools.islice(moments, MAX_COUNTED)
    return Counter(moment.replace(minute=0, second=0, microsecond=0) for moment in counted)
