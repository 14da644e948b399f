"""A webhook and the reconciler may tell of one act, in any order: it is one event."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import NamedTuple

import msgspec

from shared import acts, storage
from shared.messages import Event, encode_event
from shared.routes import Routes

log = logging.getLogger("relay.reconcile")


class SameAct(NamedTuple):
    """An event as it is to be routed: under the id of the reconciler's, if that has found the act before. `moment` is
    the time that counts for what may have caused it."""

    event: Event
    blob: str
    moment: datetime


def same_act(routes: Routes, event: Event, blob: str, now: datetime) -> SameAct:
    """Return the event under the one id that its act has, and note that a webhook told of it.

    Only for sources that are reconciled; `blob` is where a large event lies. Raises storage errors.
    """
    source = routes.sources.get(event.source)
    if source is None or source.reconcile == "off" or event.type not in acts.ACT_TYPES:
        return SameAct(event, blob, now)
    window = acts.settle(source.address, event, now)
    if window is None:
        return SameAct(event, blob, now)
    # an echo is known for an hour: what was found late may have been caused long before it was found
    moment = min(now, window.since)
    if window.event == event.id:
        return SameAct(event, blob, moment)
    log.info("delivery %s tells of what was found in the registry: event %s", event.delivery, window.event)
    same = msgspec.structs.replace(event, id=window.event)
    return SameAct(same, stored(same) if blob else "", moment)


def stored(event: Event) -> str:
    """Store a large event under its id; return the name of the blob."""
    blob = f"{event.id}.json"
    storage.write_blob(blob, encode_event(event))
    return blob
