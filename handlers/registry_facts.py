"""What a look at a model shows, and what is new in it since the look before. Pure: nothing is asked or written here.

A fact is a state that an act has left behind: a version is there, it is in a stage, an alias leads to it. A fact that
is new waits for its webhook, which may be late. One that is gone again before its time is no fact any more: the
registry has moved on.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import msgspec

from shared.acts import ACT_TYPES, SKEW
from shared.messages import Event, identify
from shared.registries_listing import ListedModel, ListedVersion

GRACE = timedelta(minutes=10)
CREATED, STAGE_CHANGED, ALIAS_CREATED = ACT_TYPES
TEXT = "found in the registry, reported by no webhook"


class Fact(msgspec.Struct, frozen=True, array_like=True, order=True):
    """What is so of a version: `detail` is its stage, or the alias that leads to it."""

    type: str
    version: str
    detail: str = ""


class Sight(msgspec.Struct, frozen=True):
    """What a look has shown of a model: its facts, when the registry says they came about (milliseconds, 0 if it does
    not), and the tags of its versions."""

    facts: frozenset[Fact]
    times: dict[Fact, int] = {}
    tags: dict[str, dict[str, str]] = {}


class Pending(msgspec.Struct, frozen=True):
    """A new fact: absent at `since`, there at `seen`. `happened` is in milliseconds; `from_stage` the stage before."""

    fact: Fact
    since: datetime
    seen: datetime
    happened: int
    from_stage: str = ""
    tags: dict[str, str] = {}


class Snapshot(msgspec.Struct, frozen=True):
    """What is known of a model: the facts that need no more attention, and those that wait for their webhook."""

    known: frozenset[Fact] = frozenset()
    pending: tuple[Pending, ...] = ()

    def due(self, now: datetime) -> list[Pending]:
        """Return the facts whose webhook should have come by now."""
        return [each for each in self.pending if each.seen + GRACE <= now]

    def settled(self, pending: Pending) -> Snapshot:
        """Return the snapshot in which this fact needs no more attention."""
        others = tuple(each for each in self.pending if each != pending)
        return Snapshot(self.known | {pending.fact}, others)


def sight(model: ListedModel, versions: Iterable[ListedVersion]) -> Sight:
    """Return what the registry's answers show of a model."""
    times: dict[Fact, int] = {}
    tags: dict[str, dict[str, str]] = {}
    for each in versions:
        times[Fact(CREATED, each.version)] = each.created
        tags[each.version] = each.tags
        if each.stage != "None":
            times[Fact(STAGE_CHANGED, each.version, each.stage)] = each.updated
        times.update({Fact(ALIAS_CREATED, each.version, alias): 0 for alias in each.aliases})
    times.update({Fact(ALIAS_CREATED, version, alias): 0 for alias, version in model.aliases.items()})
    return Sight(frozenset(times), times, tags)


def baseline(seen: Sight) -> Snapshot:
    """Return the snapshot of a model of which nothing is known yet: what is there is taken as told."""
    return Snapshot(seen.facts)


def compare(before: Snapshot, now: Sight, since: datetime, seen: datetime) -> Snapshot:
    """Return the snapshot after a look. What was not there at `since` and is there at `seen` is pending from now on."""
    known = before.known & now.facts
    pending = tuple(each for each in before.pending if each.fact in now.facts)
    fresh = now.facts - known - {each.fact for each in pending}
    return Snapshot(known, (*pending, *(_pending(fact, before, now, since, seen) for fact in sorted(fresh))))


def event_of(source: str, kind: str, model: str, pending: Pending, received: datetime) -> Event:
    """Return the event that tells of a fact, as a webhook of that kind would have told it; the same each time.

    Where a webhook's time is the registry's own (Databricks), the id is that of the webhook's event as well.
    """
    fact = pending.fact
    staged = fact.type == STAGE_CHANGED
    meaning = {
        "model": model,
        "version": fact.version,
        "from_stage": pending.from_stage,
        "to_stage": fact.detail if staged else "",
        "alias": fact.detail if fact.type == ALIAS_CREATED else "",
    }
    tags = pending.tags if kind == "mlflow" else {}  # which Databricks tells of no new version
    id = identify(source, fact.type, timestamp=pending.happened, detail=[tags, ""], **meaning)
    told = {"found_by": "reconciler", "absent_at": pending.since.isoformat(), "seen_at": pending.seen.isoformat()}
    return Event(
        id=id,
        source=source,
        type=fact.type,
        delivery=id[:32],
        timestamp=pending.happened,
        received=received.timestamp(),
        tags=tags,
        text=TEXT,
        payload=msgspec.json.encode(told).decode(),
        **meaning,
    )


def _pending(fact: Fact, before: Snapshot, now: Sight, since: datetime, seen: datetime) -> Pending:
    return Pending(
        fact=fact,
        since=since,
        seen=seen,
        happened=_happened(now.times.get(fact, 0), since, seen),
        from_stage=_stage_before(fact, before) if fact.type == STAGE_CHANGED else "",
        tags=now.tags.get(fact.version, {}) if fact.type == CREATED else {},
    )


def _happened(said: int, since: datetime, seen: datetime) -> int:
    """The registry's own time, unless it is none of an act between the two looks: a later change moves it."""
    moment = datetime.fromtimestamp(said / 1000, UTC)
    return said if since - SKEW <= moment <= seen + SKEW else int(seen.timestamp() * 1000)


def _stage_before(fact: Fact, before: Snapshot) -> str:
    facts = [*before.known, *(each.fact for each in before.pending)]
    stages = (each.detail for each in facts if each.type == STAGE_CHANGED and each.version == fact.version)
    return next(stages, "None")
