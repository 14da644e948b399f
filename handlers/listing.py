"""A page of the list of events: which are asked for, and what is found, at a bounded cost in storage."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from handlers.story import state_of, summary_of
from handlers.turn import Clock
from shared import ledger, recent
from shared.errors import UnknownStep
from shared.ledger_rows import MAX_COLUMN
from shared.recent import Noted
from shared.routes import matches
from shared.steps import State
from shared.stories import Story

DEFAULT_DAYS, DEFAULT_LIMIT, MAX_LISTED = 7.0, 50, 500
MAX_READ = 500  # events read for one page, whatever was asked for; `next` goes on from there
MAX_WALKED = 20_000  # rows of the index passed over for one page, of models that were not asked for
AT_ONCE, BATCH = 8, 50  # events read beside each other, and between two looks at whether that is enough
STATES = ("unrouted", *(state.value for state in State))


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which events are asked for. `model` and `route` are globs; empty: all. `after` is where the last page ended."""

    since: datetime
    until: datetime
    model: str = ""
    route: str = ""
    state: str = ""
    limit: int = DEFAULT_LIMIT
    after: str = ""

    def fits(self, story: Story) -> bool:
        """Tell whether the event is one that is asked for."""
        return (
            self.state in ("", state_of(story))
            and self.fits_model(story.event.model)
            and (not self.route or any(name == self.route or matches(self.route, name) for name in story.routes))
        )

    def fits_model(self, model: str) -> bool:
        """Tell whether the model is one that is asked for."""
        return self.model in ("", model) or matches(self.model, model)

    def may_fit(self, noted: str) -> bool:
        """Tell whether the model of an index row may be one asked for: a long name was cut there."""
        if self.fits_model(noted) or len(noted) < MAX_COLUMN:
            return self.fits_model(noted)
        return self.model.startswith(noted) or any(char in self.model for char in "*?[")


def wanted_of(query: Mapping[str, str], clock: Clock) -> Wanted:
    """Return which events a query asks for. Raises ValueError with what would be right."""
    now = clock()
    days = _number(query, "days", DEFAULT_DAYS)
    limit = _number(query, "limit", DEFAULT_LIMIT)
    if not 0 < days < 10_000 or not 0 < limit <= MAX_LISTED or limit != int(limit):
        raise ValueError(f"`days` has to be a number above 0, `limit` a whole one from 1 to {MAX_LISTED}")
    state = query.get("state") or ""
    if state and state not in STATES:
        raise ValueError(f"`state` has to be one of {', '.join(STATES)}")
    since = _moment(query, "since") or now - timedelta(days=days)
    after = query.get("after") or ""
    if after:
        recent.moment_of(after)
    return Wanted(
        since=recent.remembered(since, now),
        until=min(_moment(query, "until") or now + timedelta(days=1), now + timedelta(days=1)),
        model=query.get("model") or "",
        route=query.get("route") or "",
        state=state,
        limit=int(limit),
        after=after,
    )


def listed(wanted: Wanted) -> dict[str, Any]:
    """Return a page: `events`, newest first; `next`, where the next page begins, None at the end; `scanned`, how many
    events were read for it."""
    walk = recent.newest(wanted.since, wanted.until, wanted.after)
    batch = BATCH if wanted.model or wanted.route or wanted.state else min(wanted.limit, BATCH)
    found: list[dict[str, Any]] = []
    scanned = walked = 0
    while scanned < MAX_READ and walked < MAX_WALKED:
        rows = list(itertools.islice(walk, min(batch, MAX_READ - scanned)))
        stories = _read([row for row in rows if wanted.may_fit(row.model)])
        scanned, walked = scanned + len(stories), walked + len(rows)
        for number, row in enumerate(rows, 1):
            story = stories.get(row.event_id)
            if story and wanted.fits(story):
                found.append(summary_of(story))
            if len(found) == wanted.limit:
                more = number < len(rows) or next(walk, None) is not None
                return {"events": found, "next": row.place if more else None, "scanned": scanned}
        if not rows:
            return {"events": found, "next": None, "scanned": scanned}
        place = rows[-1].place
    return {"events": found, "next": place, "scanned": scanned}


def _read(rows: list[Noted]) -> dict[str, Story | None]:
    if not rows:
        return {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return {row.event_id: story for row, story in zip(rows, pool.map(_story, rows), strict=True)}


def _story(row: Noted) -> Story | None:
    from azure.core.exceptions import ResourceNotFoundError

    try:
        return ledger.read(row.event_id)
    except (UnknownStep, ResourceNotFoundError):
        return None  # just being written, or forgotten: an event's blob goes before its rows


def _number(query: Mapping[str, str], name: str, default: float) -> float:
    """Return the number of a query, -1 for what is none."""
    try:
        return float(query.get(name) or default)
    except ValueError:
        return -1.0


def _moment(query: Mapping[str, str], name: str) -> datetime | None:
    """Return the moment of a query, in UTC where it does not say."""
    given = query.get(name) or ""
    if not given:
        return None
    try:
        moment = datetime.fromisoformat(given)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"`{name}` has to be a time such as 2026-11-20T22:00 (UTC), or with its offset") from None
