"""Acts in a registry, each with what told of it: so that a webhook and the reconciler tell of one act as one event.

Table `acts`, a row for each act of a source (type, model, version, stage, alias): the newest time at which a webhook
said that it happened, and the windows of time in which the reconciler found that it had. Both sides write with a
condition on the one row, and whoever is later reads what the other has written.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from shared import rows, storage
from shared.messages import Event

ACTS = "acts"
ACT_TYPES = ("model_version.created", "model_version.stage_changed", "model_version_alias.created")
"""What the reconciler can see in a registry: events of other types leave nothing there that tells of them."""
SKEW = timedelta(minutes=1)  # how far the registry's clock may be from ours: as far as a delivery's may
REMEMBERED = timedelta(days=31)  # longer than any source takes a delivery for


class Window(msgspec.Struct, frozen=True):
    """The reconciler found that the act happened between two looks, and told of it at `until`, as this event."""

    event: str
    since: datetime
    seen: datetime
    until: datetime

    def holds(self, moment: datetime) -> bool:
        """Tell whether a webhook that names this moment tells of the act that was found.

        Also one that names a moment after it was seen: MLflow names that at which it began to send, which may be
        minutes later, and what was seen stood until it was told of.
        """
        return self.since - SKEW <= moment <= self.until


class Act(msgspec.Struct, frozen=True):
    """What has told of an act so far. `told` is the newest moment that a webhook named."""

    told: datetime | None = None
    windows: tuple[Window, ...] = ()

    def window(self, event: Event) -> Window | None:
        """Return the window in which the reconciler has found what the event tells."""
        own = (each for each in self.windows if each.event == event.id)
        return next(own, None) or next((each for each in self.windows if each.holds(event.happened)), None)

    def was_told(self, since: datetime) -> bool:
        """Tell whether a webhook has told of an act that is not older than that."""
        return self.told is not None and self.told >= since - SKEW


def settle(address: str, event: Event, now: datetime) -> Window | None:
    """Note that the event was told; return the reconciler's window if it has found the same act before."""

    def told(act: Act) -> Act:
        if act.window(event) or (act.told and act.told >= event.happened):
            return act
        return msgspec.structs.replace(act, told=event.happened)

    return _changed(address, event, told, now).window(event)


def was_told(address: str, event: Event, since: datetime) -> bool:
    """Tell whether a webhook has told of the act since then."""
    return rows.read(ACTS, _key(address, event), "act", Act()).was_told(since)


def reserve(address: str, event: Event, since: datetime, seen: datetime, now: datetime) -> bool:
    """Note that the reconciler tells of the act, as this event; the same answer each time it is asked for it.

    False if a webhook was first, or another event of the reconciler's.
    """

    def reserved(act: Act) -> Act:
        if act.was_told(since) or any(each.since < seen and since < each.seen for each in act.windows):
            return act
        kept = (each for each in act.windows if each.until > now - REMEMBERED)
        return msgspec.structs.replace(act, windows=(*kept, Window(event.id, since, seen, now)))

    act = _changed(address, event, reserved, now)
    return any(each.event == event.id for each in act.windows)


def forget(before: datetime, limit: int) -> int:
    """Remove the acts that nobody has told of since then, so many at most; return how many that were."""
    old = list(itertools.islice(storage.rows(ACTS, "at lt @before", {"before": before}), limit))
    for row in old:
        storage.table(ACTS).delete_entity(row["PartitionKey"], row["RowKey"])
    return len(old)


def _changed(address: str, event: Event, change: Callable[[Act], Act], now: datetime) -> Act:
    return rows.change(ACTS, _key(address, event), "act", Act(), change, at=now)


def _key(address: str, event: Event) -> rows.Key:
    """The source is part of it: two sources of one registry are told by webhooks of their own, and start routes of
    their own."""
    act = [event.source, address, event.type, event.model, event.version, event.to_stage, event.alias]
    return hashlib.sha256(msgspec.json.encode(act)).hexdigest(), "act"
