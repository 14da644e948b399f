"""Reconcile: compare what the registries hold with what webhooks have told, and tell or enqueue what none reported."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from handlers.current_routes import current_routes
from handlers.reconcile_rows import Look, drop_source, partition_of, read_looks
from handlers.reconcile_source import look_at
from handlers.reconcile_told import Watched, failed
from handlers.turn import Clock
from shared import acts
from shared.errors import RoutesError, RoutesUnavailable, SettingError
from shared.routes import Routes
from shared.settings import settings

RUN = timedelta(minutes=4)  # the host ends a function after five
MAX_ACTS = 5000


def reconcile(clock: Clock) -> None:
    """Look once at the registry of each source that asks for it (`reconcile: alert` or `enqueue`).

    One registry that can't be asked is told of and harms no other. Raises storage errors.
    """
    try:
        routes = current_routes()
    except (RoutesError, RoutesUnavailable, SettingError) as error:
        failed("", str(error))
        return
    watched, looks = _watched(routes), read_looks()
    for partition in looks.keys() - {each.partition for each in watched}:
        drop_source(partition)
    _look_at_all(watched, looks, clock)


def forget(now: datetime) -> int:
    """Remove what was told of acts longer ago than the ledger remembers, 5,000 rows at most; return how many."""
    return acts.forget(now - timedelta(days=settings().retention_days), MAX_ACTS)


def _watched(routes: Routes) -> list[Watched]:
    wanted = {name: source for name, source in routes.sources.items() if source.reconcile != "off"}
    return [Watched(name, source, routes, partition_of(name, source)) for name, source in wanted.items()]


def _look_at_all(watched: list[Watched], looks: Mapping[str, Look], clock: Clock) -> None:
    """Each source gets its share of the time that is left. Those that could not be looked at lately come last: a
    registry that does not answer costs a minute."""
    start = clock()
    order = sorted(watched, key=lambda each: looks[each.partition].at if each.partition in looks else start)
    for count, each in enumerate(reversed(order)):
        now, end, left = clock(), start + RUN, len(order) - count
        try:
            look_at(each, looks.get(each.partition), clock, now + (end - now) / left)
        except Exception as error:  # a registry or a secret may fail in many ways: the others have to be looked at
            failed(each.name, error)
