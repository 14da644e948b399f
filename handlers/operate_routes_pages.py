"""What operators ask of routes with a browser: the same as `operate_routes.py`, as pages and forms."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from handlers import operate_routes
from handlers.asked import Asked
from handlers.operate import Reply
from handlers.operate_pages import JsonCall, for_people, links_of, name_of
from handlers.page_routes import MAX_REASON, routes_page, switch_page
from handlers.pages import redirect
from handlers.turn import Clock
from shared import brakes

SWITCHES = ("stop", "start")


def list_routes(asked: Asked, clock: Clock) -> Reply:
    """Answer with the routes, as the reader wants them, or with the page that asks before one is stopped or started."""
    reply = operate_routes.list_routes()
    if not asked.wants_page or reply.status != 200:
        return for_people(reply, asked) if asked.wants_page else reply
    links, action, route = links_of(asked), asked.query.get("action", ""), asked.query.get("route", "")
    if action in SWITCHES and route in {known["route"] for known in reply.body["routes"]}:
        token = asked.token(_purpose(action, route), clock())
        return replace(reply, page=switch_page(action, route, token, asked.account, links))
    return replace(reply, page=routes_page(reply.body, links, asked.query.get("done", "")))


def switch(action: str, route: str, asked: Asked, clock: Clock, call: JsonCall) -> Reply:
    """Stop or start a route as a form or a JSON body asks; `call` of `operate_routes` takes the latter."""
    if trouble := asked.trouble():
        reply = Reply(403, {"error": trouble})
        return for_people(reply, asked) if asked.wants_page else reply
    if not asked.is_form:
        return call(route, asked.body, clock)
    return for_people(_submitted(action, route, asked, clock, call), asked)


def _submitted(action: str, route: str, asked: Asked, clock: Clock, call: JsonCall) -> Reply:
    form, by = asked.form, name_of(asked)
    if not asked.has_token(form.get("token", ""), _purpose(action, route), clock()):
        return Reply(403, {"error": "this form is too old, or the route was switched meanwhile: look at it again"})
    reason = " ".join(form.get("reason", "").split())[:MAX_REASON]
    if not by or (action == "stop" and not reason):
        token = asked.token(_purpose(action, route), clock())
        problem = "Say why." if by else "Give your name: it is kept with the reason."
        return Reply(400, {}, page=switch_page(action, route, token, asked.account, links_of(asked), problem))
    body = {"reason": f"{reason} ({by})"} if action == "stop" else {"replay": form.get("replay") == "yes"}
    reply = call(route, msgspec.json.encode(body), clock)
    if reply.status != 200:
        return reply
    return Reply(303, {}, reply.pointers, redirect(links_of(asked).address("routes", done=action)))


def _purpose(action: str, route: str) -> str:
    stop = brakes.stopped_routes().get(route)
    return f"{action}/{route}/{stop.since.isoformat() if stop else ''}"
