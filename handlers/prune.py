"""Prune: the ledger forgets an event RETENTION_DAYS after it happened, with its steps, its blob and its index row."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from shared import brakes, failures, ledger, recent
from shared.settings import settings

log = logging.getLogger("relay.prune")
MAX_EVENTS = 5000  # what one run may take within the host's time for a function; the next run goes on


def prune(now: datetime) -> int:
    """Remove what is older than the retention, 5,000 events at most; return how many events that were."""
    before = now - timedelta(days=settings().retention_days)
    count = 0
    for row in recent.older_than(before, MAX_EVENTS):
        ledger.forget(row)
        count += 1
    brakes.forget(now)
    failures.forget(before, MAX_EVENTS)
    log.info("%s events from before %s were removed", count, before.date())
    return count
