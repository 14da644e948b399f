"""The list of events as a page: chart, filters, a row for each event, and the way to older ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from handlers.listing import STATES
from handlers.page_chart import chart
from handlers.page_links import Links, bar
from handlers.page_words import badge, when
from handlers.pages import Page, name, note, page, text
from shared.brakes import Stop

DAYS = {"0.041667": "last hour", "1": "last day", "7": "last 7 days", "30": "last 30 days", "90": "last 90 days"}
FILTERS = ("model", "route", "state", "days", "since", "until", "limit")
MAX_ROUTES = 3


def events_page(
    told: Mapping[str, Any], query: Mapping[str, str], stops: Mapping[str, Stop], links: Links, problem: str = ""
) -> Page:
    """Return the list's page: what the JSON answer tells (`events`, `next`, `scanned`, `hours`) and the filters."""
    stopped = "".join(
        f'<p class="note">Route <a href="{links.to("routes")}">{name(route)}</a> is stopped: {text(stop.reason)}</p>'
        for route, stop in sorted(stops.items())
    )
    picture = chart(told["hours"]) if "hours" in told else ""
    body = (note(problem, "bad") if problem else "") + stopped + picture + _filters(query, links)
    if not problem:
        body += _table(told["events"], links) + _pager(told, query, links)
    return page(400 if problem else 200, "Events", body, bar=bar(links, "events"))


def _filters(query: Mapping[str, str], links: Links) -> str:
    exact = "".join(
        f'<div><label for="{field}">{label} (UTC)</label><input id="{field}" name="{field}" type="datetime-local" '
        f'value="{text(query.get(field, ""))}"></div>'
        for field, label in (("since", "Since"), ("until", "Until"))
    )
    opened = " open" if query.get("since") or query.get("until") else ""
    return (
        f'<form class="card filters" method="get" action="{links.to("events").partition("?")[0]}">'
        f"{_input('model', 'Model (name, or a glob such as wine*)', query)}{_input('route', 'Route', query)}"
        f"{_select('state', 'State', {'': 'any', **{state: state.replace('_', ' ') for state in STATES}}, query)}"
        f"{_select('days', 'Time', DAYS, {'days': '7', **query})}{links.hidden()}<button>Show</button>"
        f'<details class="wide"{opened}><summary>Exact time</summary><div class="pair">{exact}</div></details></form>'
    )


def _input(field: str, label: str, query: Mapping[str, str]) -> str:
    return (
        f'<div><label for="{field}">{label}</label><input id="{field}" name="{field}" type="search" '
        f'autocapitalize="none" spellcheck="false" value="{text(query.get(field, ""))}"></div>'
    )


def _select(field: str, label: str, choices: Mapping[str, str], query: Mapping[str, str]) -> str:
    given = query.get(field, "")
    shown = choices if given in choices else {**choices, given: given}
    options = "".join(
        f'<option value="{text(value)}"{" selected" if value == given else ""}>{text(word)}</option>'
        for value, word in shown.items()
    )
    return f'<div><label for="{field}">{label}</label><select id="{field}" name="{field}">{options}</select></div>'


def _table(events: list[dict[str, Any]], links: Links) -> str:
    if not events:
        return '<p class="card">No event that fits was found.</p>'
    rows = "".join(_row(event, links) for event in events)
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("State", "Received (UTC)", "Model", "Event", "Routes"))
    return f'<div class="card"><table class="list"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'


def _row(event: dict[str, Any], links: Links) -> str:
    title = name(event["model"]) if event["model"] else "<i>no model</i>"
    version = f' <span class="soft">v{name(event["version"], 40)}</span>' if event["version"] else ""
    routes, more = event["routes"][:MAX_ROUTES], len(event["routes"]) - MAX_ROUTES
    told = ", ".join(name(route, 60) for route in routes) + (f" and {more} more" if more > 0 else "")
    return (
        f"<tr><td>{badge(event['state'])}</td><td>{when(event['received'], '%Y-%m-%d')} "
        f'<span class="sub soft">{when(event["received"], "%H:%M:%S")}</span></td>'
        f'<td><a href="{links.event(event["event"])}">{title}</a>{version}</td>'
        f'<td>{name(event["type"], 80)} <span class="sub soft">from {name(event["source"], 60)}</span></td>'
        f"<td>{told or '<span class=soft>none</span>'}</td></tr>"
    )


def _pager(told: Mapping[str, Any], query: Mapping[str, str], links: Links) -> str:
    kept = {field: query.get(field, "") for field in FILTERS}
    older = links.to("events", **kept, after=told["next"] or "")
    buttons = f'<a class="button" href="{links.to("events", **kept)}">Newest</a>' if query.get("after") else ""
    buttons += f'<a class="button" rel="next" href="{older}">Older</a>' if told["next"] else ""
    words = f"{len(told['events'])} shown, {told['scanned']} looked at"
    return f'<nav class="top" aria-label="More events"><span class="soft">{words}</span><span>{buttons}</span></nav>'
