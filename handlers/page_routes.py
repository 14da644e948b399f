"""The routes as a page: which act and which are stopped, and the forms that stop and start them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from handlers.page_actions import who
from handlers.page_links import Links, bar
from handlers.page_words import badge, when
from handlers.pages import Page, name, note, page, text

MAX_REASON = 300
_DONE = {
    "stop": "Stopped: within some seconds its steps are parked instead of acting.",
    "start": "Started: within some seconds its steps act again.",
}


def routes_page(told: Mapping[str, Any], links: Links, done: str = "") -> Page:
    """Return the page of all routes, from what the JSON answer tells."""
    rows = "".join(_row(route, links) for route in sorted(told["routes"], key=lambda route: not route["stopped"]))
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("Route", "State", ""))
    body = note(_DONE[done], "good") if done in _DONE else ""
    body += (
        f'<div class="card"><table class="routes"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
    )
    return page(200, "Routes", body, bar=bar(links, "routes"))


def _row(route: Mapping[str, Any], links: Links) -> str:
    stop, called = route["stopped"], route["route"]
    why = f"<br><small>since {when(stop['since'], '%Y-%m-%d %H:%M')}: {text(stop['reason'])}</small>" if stop else ""
    action = "start" if stop else "stop"
    events = f'<a href="{links.to("events", route=called)}">{name(called)}</a>'
    button = f'<a class="button" href="{links.to("routes", action=action, route=called)}">{action.capitalize()} …</a>'
    return f"<tr><td>{events}</td><td>{badge('stopped' if stop else 'acting')}{why}</td><td>{button}</td></tr>"


def switch_page(action: str, route: str, token: str, account: str, links: Links, problem: str = "") -> Page:
    """Return the page that asks once more before a route is stopped or started."""
    stops = action == "stop"
    colour = "bad" if stops else "good"
    meaning = (
        "Its steps are parked instead of acting, those of events under way too, until it is started again."
        if stops
        else "Its steps act again."
    )
    field = (
        f'<label for="reason">Why?</label><input id="reason" name="reason" required maxlength="{MAX_REASON}">'
        if stops
        else '<label class="tick"><input type="checkbox" name="replay" value="yes" checked>Replay what is parked'
        "</label>"
    )
    goal = links.to(f"routes/{quote(route, safe='')}/{action}")
    body = (note(problem, "bad") if problem else "") + (
        f'<section class="card narrow"><p>{name(route)}: {meaning}</p>'
        f'<form method="post" action="{goal}">'
        f'{Links("").hidden(token=token)}{field}{who(account)}<div class="buttons">'
        f'<button class="{colour}">{action.capitalize()}</button>'
        f'<a class="button" href="{links.to("routes")}">Cancel</a></div></form></section>'
    )
    title = "Stop this route?" if stops else "Start this route?"
    return page(400 if problem else 200, title, body, bar=bar(links, "routes"))
