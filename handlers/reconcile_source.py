"""One look at one source's registry: each model that a route may wait for is compared with what was seen before."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from handlers.current_registries import registry_of
from handlers.reconcile_rows import Kept, Look, drop_model, read_models, row_key, write_look, write_model
from handlers.reconcile_told import Watched, failed, tell_or_enqueue
from handlers.registry_facts import Sight, Snapshot, baseline, compare, sight
from handlers.turn import Clock
from shared.acts import ACT_TYPES, SKEW
from shared.errors import ClaimLost
from shared.registries import Registry
from shared.registries_listing import ListedModel, list_models, list_versions
from shared.routes import When, matches

log = logging.getLogger("relay.reconcile")
MAX_MODELS = 2000  # that one run reads of a source; the next one goes on behind them
MAX_FAILURES = 3  # in a row: then the registry is down, not a model odd


class _Turn(NamedTuple):
    watched: Watched
    registry: Registry
    look: Look | None
    clock: Clock
    began: datetime

    def since(self, model: str) -> datetime | None:
        """When the model was last known, None if nothing has been looked at yet."""
        return self.look.behind.get(model, self.look.at) if self.look else None


def look_at(watched: Watched, look: Look | None, clock: Clock, deadline: datetime) -> None:
    """Look at the source's models until the deadline, and write how far that came.

    `look` is how far it was looked at before: None takes everything as told that is there. Raises a RelayError if the
    registry or its secret can't be asked at all, and storage errors.
    """
    turn = _Turn(watched, registry_of(watched.name), look, clock, clock())
    models = sorted(_waited_for(watched, list_models(turn.registry)), key=lambda each: each.name)
    kept = read_models(watched.partition)
    for key in kept.keys() - {row_key(each.name) for each in models}:
        drop_model(watched.partition, key)
    began = (look.began if look and look.after else None) or turn.began
    after, behind = _look_at_models(turn, models, kept, deadline)
    at = look.at if look and after else began
    write_look(watched.partition, Look(at=at, began=began, after=after, behind=behind))


def _waited_for(watched: Watched, models: Iterator[ListedModel]) -> Iterator[ListedModel]:
    conditions = [route.when for route in watched.routes.routes if _may_wait(route.when, watched.name)]
    yield from (model for model in models if any(matches(when.model, model.name) for when in conditions))


def _may_wait(when: When, source: str) -> bool:
    return matches(when.source, source) and any(matches(when.event, type) for type in ACT_TYPES)


def _look_at_models(
    turn: _Turn, models: list[ListedModel], kept: Mapping[str, Kept], deadline: datetime
) -> tuple[str, dict[str, datetime]]:
    """Return behind which model the next run has to go on, "" for none, and the models that could not be read."""
    after, failures = turn.look.after if turn.look else "", 0
    behind = dict(turn.look.behind) if turn.look else {}
    waiting = [model for model in models if model.name > after]
    for count, model in enumerate(waiting):
        if count >= MAX_MODELS or failures >= MAX_FAILURES or turn.clock() > deadline:
            log.warning("%s: %s models are left for the next run", turn.watched.name, len(waiting) - count)
            return after, behind
        after = model.name
        if _could_look(turn, model, kept.get(row_key(model.name))):
            failures = 0
            behind.pop(model.name, None)
        else:
            failures += 1
            behind[model.name] = turn.since(model.name) or turn.began
    names = {model.name for model in models}
    return "", {name: at for name, at in behind.items() if name in names}


def _could_look(turn: _Turn, model: ListedModel, kept: Kept | None) -> bool:
    try:
        _look_at_model(turn, model, kept)
    except ClaimLost as lost:  # whoever was quicker has seen the same
        log.info("%s", lost)
    except Exception as error:  # what is wrong with one model may not keep the others from being looked at
        failed(turn.watched.name, error, model.name)
        return False
    return True


def _look_at_model(turn: _Turn, model: ListedModel, kept: Kept | None) -> None:
    seen = sight(model, list_versions(turn.registry, model.name))
    now = turn.clock()
    kept = _written(turn, model.name, kept, _compared(turn, model, kept, seen, now))
    snapshot = kept.snapshot
    for pending in snapshot.due(now):
        tell_or_enqueue(turn.watched, model.name, pending, turn.clock)
        snapshot = snapshot.settled(pending)
    _written(turn, model.name, kept, snapshot)


def _compared(turn: _Turn, model: ListedModel, kept: Kept | None, seen: Sight, now: datetime) -> Snapshot:
    since = turn.since(model.name)
    if since is None:
        return baseline(seen)
    if kept is not None:
        return compare(kept.snapshot, seen, max(since, kept.at), now)
    # not seen before: it is new only if it was made since, not if a route waits for it only now
    is_new = model.created >= (since - SKEW).timestamp() * 1000
    return compare(Snapshot(), seen, since, now) if is_new else baseline(seen)


def _written(turn: _Turn, model: str, kept: Kept | None, snapshot: Snapshot) -> Kept:
    if kept is not None and kept.snapshot == snapshot:
        return kept
    etag = kept.etag if kept else ""
    return write_model(turn.watched.partition, model, snapshot, turn.began, etag)
