"""What operators ask of the app over HTTP: events, replay, resolve. In: a request's parts. Out: a status and JSON.

Who may ask is the host's business: these functions need its key. `by` is who asks, where that is known: it is kept in
the history of the steps. The same for browsers is in `operate_pages.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from handlers import replay
from handlers.hours import hours_until
from handlers.listing import listed, wanted_of
from handlers.pages import Page
from handlers.poison import replay_poison
from handlers.story import story_of
from handlers.turn import Clock
from shared import ledger, recent
from shared.errors import ClaimLost, NotNow, RoutesError, RoutesUnavailable, UnknownStep
from shared.messages import StepMessage
from shared.shapes import decoded
from shared.steps import State


class ReplayRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Body of a replay. `since` (ISO 8601 with offset) only for many events; `states` dead unless told otherwise.

    With `routes`, the routes that match now and were not started are started; of many events, for those that started
    none.
    """

    step: str = ""
    force: bool = False
    routes: bool = False
    since: datetime | None = None
    states: tuple[State, ...] = (State.DEAD,)


class ResolveRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Body of a resolve: which step, and what a person knows of its outcome."""

    step: str
    outcome: str


@dataclass(frozen=True)
class Reply:
    """What the operator is told, and the pointers to put on the queue `steps`; `page` is the same for a browser."""

    status: int
    body: dict[str, Any]
    pointers: Iterable[StepMessage] = ()
    page: Page | None = None


def list_events(query: Mapping[str, str], clock: Clock) -> Reply:
    """Answer with a page of events, newest first, as `handlers.listing` reads the query; the first page of a list has
    the last 24 hours beside it."""

    def found() -> Reply:
        wanted = wanted_of(query, clock)
        told = listed(wanted)
        return Reply(200, told if wanted.after else {**told, "hours": hours_until(clock())})

    return answered(found)


def show_event(event_id: str) -> Reply:
    """Answer with all that the ledger knows of an event."""
    return answered(lambda: Reply(200, story_of(ledger.read(event_id))))


def replay_one(event_id: str, body: bytes, clock: Clock, by: str = "") -> Reply:
    """Replay one step of an event or, without `step`, all its steps in one of the `states`."""

    def replayed() -> Reply:
        asked = decoded(body or b"{}", ReplayRequest)
        if asked.force and not asked.step:
            raise ValueError("`force` is for one step: name it in `step`")
        if asked.routes:
            return pointing(replay.route_again(event_id, clock))
        if asked.step:
            return pointing([replay.replay_step(event_id, asked.step, asked.force, clock, by)])
        return pointing(replay.replay_event(event_id, frozenset(asked.states), clock, by))

    return answered(replayed)


def replay_many(body: bytes, clock: Clock, by: str = "") -> Reply:
    """Replay the steps in one of the `states` of all events `since` then, and events kept as poison since then."""

    def replayed() -> Reply:
        asked = decoded(body or b"{}", ReplayRequest)
        if asked.since is None or asked.step or asked.force:
            raise ValueError("give `since`, and neither `step` nor `force`")
        given = asked.since if asked.since.tzinfo else asked.since.replace(tzinfo=UTC)
        since = recent.remembered(given, clock())
        if asked.routes:
            return pointing(list(replay.route_unrouted_since(since, clock)))
        reply = pointing(list(replay.replay_since(since, frozenset(asked.states), clock, by)))
        reply.body["requeued"] = replay_poison(since)
        return reply

    return answered(replayed)


def resolve(event_id: str, body: bytes, clock: Clock, by: str = "") -> Reply:
    """Note that a dead or parked step was done."""

    def resolved() -> Reply:
        asked = decoded(body or b"{}", ResolveRequest)
        return pointing(replay.resolve_step(event_id, asked.step, asked.outcome, clock, by))

    return answered(resolved)


def pointing(pointers: list[StepMessage]) -> Reply:
    """Answer with the steps that are ready now."""
    named = [{"event": pointer.event_key, "step": pointer.step} for pointer in pointers]
    return Reply(200, {"ready": named}, pointers)


def answered(call: Callable[[], Reply]) -> Reply:
    """Return the call's reply, or the one that tells what was wrong with it."""
    try:
        return call()
    except UnknownStep as error:
        return Reply(404, {"error": str(error)})
    except (NotNow, ClaimLost) as error:
        return Reply(409, {"error": str(error)})
    except (RoutesError, RoutesUnavailable) as error:
        return Reply(503, {"error": f"the routes can't be used: {error}"})
    except (ValueError, msgspec.DecodeError) as error:
        return Reply(400, {"error": str(error)})
