"""What operators ask of routes over HTTP: which there are, and to stop or start one without a deployment."""

from __future__ import annotations

import msgspec

from handlers.current_routes import current_routes
from handlers.operate import Reply, answered, pointing
from handlers.replay import replay_route
from handlers.switches import LOOK_AGAIN_SECONDS
from handlers.turn import Clock
from shared import brakes, storage
from shared.errors import UnknownStep
from shared.messages import STEPS_QUEUE, encode
from shared.shapes import decoded


class StopRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Body of a stop: why, for those who find the route stopped."""

    reason: str


class StartRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Body of a start. With `replay`, what was parked meanwhile is replayed."""

    replay: bool = False


def list_routes() -> Reply:
    """Answer with the routes of the file, each with whether it is stopped, and with stopped ones not in the file."""

    def listed() -> Reply:
        stops = brakes.stopped_routes()
        names = [route.name for route in current_routes().routes]
        return Reply(200, {"routes": [_told(name, stops.get(name)) for name in dict.fromkeys((*names, *stops))]})

    return answered(listed)


def stop_route(route: str, body: bytes, clock: Clock) -> Reply:
    """Let the route's steps be parked instead of acting, within some seconds, for events under way as for new ones."""

    def stopped() -> Reply:
        asked = decoded(body or b"{}", StopRequest)
        if route not in {known.name for known in current_routes().routes}:
            raise UnknownStep(f"the routes file has no route {route!r}")
        brakes.stop_route(route, asked.reason[:500], clock())
        return Reply(200, _told(route, brakes.stopped_routes().get(route)))

    return answered(stopped)


def start_route(route: str, body: bytes, clock: Clock) -> Reply:
    """Let the route act again, within some seconds; replay what the stop has parked if asked to."""

    def started() -> Reply:
        asked = decoded(body or b"{}", StartRequest)
        stop = brakes.stopped_routes().get(route)
        if stop is None:
            raise UnknownStep(f"route {route!r} is not stopped")
        brakes.start_route(route)
        reply = pointing(list(replay_route(route, stop.since, clock)) if asked.replay else [])
        for pointer in reply.pointers:  # not before each worker has noticed: else it parks the step again
            storage.send(STEPS_QUEUE, encode(pointer), LOOK_AGAIN_SECONDS + 1)
        return Reply(reply.status, reply.body)

    return answered(started)


def _told(name: str, stop: brakes.Stop | None) -> dict[str, object]:
    return {"route": name, "stopped": {"reason": stop.reason, "since": stop.since.isoformat()} if stop else None}
