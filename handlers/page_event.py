"""One event's story as a page: what it tells, then, in time, its delivery, its routes and each step of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from handlers.page_actions import step_actions, whole_actions
from handlers.page_links import KINDS, Links, bar, outward
from handlers.page_words import badge, between, many, when
from handlers.pages import Page, fact_rows, name, note, page, text
from shared.brakes import Stop
from shared.steps import ENDED

MAX_PAYLOAD = 100_000
_DONE = {
    "replay": "Replayed: it is tried again now.",
    "force": "It is done once more, with a new key.",
    "replay_dead": "Replayed: what was dead is tried again now.",
    "route": "Routed again: what matches now and was not started before is started.",
    "resolve": "Resolved: the route goes on behind it.",
}


def event_page(
    told: Mapping[str, Any], approvals: Mapping[str, str], stops: Mapping[str, Stop], links: Links, done: str = ""
) -> Page:
    """Return an event's page, from what the JSON answer tells. `approvals`: of each step that waits for one, the last
    part of its link. `done`: what was just done here."""
    title = " ".join(filter(None, (told["model"] or told["type"], told["version"] and f"v{told['version']}")))
    version = f' <span class="soft">v{name(told["version"], 40)}</span>' if told["version"] else ""
    head = f'<div class="top head"><h1>{name(told["model"] or told["type"])}{version}</h1>{badge(told["state"])}</div>'
    body = (note(_DONE[done], "good") if done in _DONE else "") + _summary(told, links) + whole_actions(told, links)
    body += f'<h2>What happened</h2><ol class="timeline">{_delivery(told)}{_routed(told, stops)}'
    body += "".join(_step(step, told, approvals, stops, links) for step in told["steps"]) + "</ol>"
    return page(200, title[:100], body + _payload(told["details"]), bar=bar(links), head=head)


def _summary(told: Mapping[str, Any], links: Links) -> str:
    event, cause = told["details"], told.get("cause")
    tags = ", ".join(f"{key}={value}" for key, value in event.get("tags", {}).items())
    moved = " → ".join(filter(None, (event.get("from_stage"), event.get("to_stage"))))
    rows = {
        "Event": f"{name(told['type'])} from {name(told['source'])}",
        "Stage": name(moved),
        "Alias": name(event.get("alias", "")),
        "Tags": name(tags, 500),
        "Comment": name(event.get("comment", ""), 500),
        "Caused by": f'step <a href="{links.event(cause["event_id"])}">{name(cause["step"])}</a>' if cause else "",
        "Event id": f"<code>{text(told['event'])}</code>",
    }
    given = {label: html for label, html in rows.items() if html != "<bdi></bdi>"}
    return f'<section class="card">{fact_rows(given)}</section>'


def _delivery(told: Mapping[str, Any]) -> str:
    event = told["details"]
    happened = event["timestamp"] / 1000
    late = f", {between(happened, told['received'])} after it happened" if told["received"] > happened else ""
    at = f'<span class="soft">{when(told["received"])}</span>'
    return (
        f'<li class="succeeded"><div class="top"><h3>Delivery</h3>{at}</div>'
        f"received from {name(told['source'])}{late} <small>delivery {name(event['delivery'], 64)}</small></li>"
    )


def _routed(told: Mapping[str, Any], stops: Mapping[str, Stop]) -> str:
    steps, skipped = told["steps"], told.get("skipped", {})
    at = f'<span class="soft">{when(steps[0]["created"])}</span>' if steps else ""
    lag = f" after {between(told['received'], steps[0]['created'])}" if steps else ""
    routes = ", ".join(
        name(route) + (' <span class="state stopped">stopped</span>' if route in stops else "")
        for route in told["routes"]
    )
    words = f"{many(len(told['routes']), 'route')}{lag}: {routes}" if routes else "no route has started"
    left = "".join(f"<p class=soft>{name(route)} was skipped: {text(why)}</p>" for route, why in skipped.items())
    state = "succeeded" if routes else "unrouted"
    return f'<li class="{state}"><div class="top"><h3>Routing</h3>{at}</div>{words}{left}</li>'


def _step(
    step: Mapping[str, Any],
    told: Mapping[str, Any],
    approvals: Mapping[str, str],
    stops: Mapping[str, Stop],
    links: Links,
) -> str:
    state = step["state"]
    words = step.get("reason") or step.get("outcome") or ""
    where = outward(step.get("link", ""), f"Open the {KINDS.get(step['target'], 'link')} {step.get('ref', '')}".strip())
    html = f'<li class="has-card {text(state)}"><article class="card step" id="{text(step["step"])}"><div class="top">'
    html += f'<h3>{name(step["name"])}</h3><span class="soft">{_place(step)}</span>{badge(state)}</div>'
    html += f'<p class="reason">{text(words)}</p>' if words else ""
    html += f"<p>{where}</p>" if where else ""
    html += f'<p class="soft"><small>{_figures(step)}</small></p>{_history(step)}'
    return html + step_actions(step, told, approvals.get(step["step"], ""), links) + "</article></li>"


def _place(step: Mapping[str, Any]) -> str:
    told_of = f", tells of the end of {name(step['tells_of'])}" if step.get("tells_of") else ""
    target = "" if step["name"] == step["target"] else f"<code>{text(step['target'])}</code> "
    return f"{target}of route {name(step['route'])}{told_of}"


def _figures(step: Mapping[str, Any]) -> str:
    """How often it was tried, how long it took, or when it goes on."""
    figures = [many(step["attempts"], "attempt")]
    if step["reopened"]:
        figures.append(many(step["reopened"], "replay"))
    if step.get("ended"):
        figures.append(f"took {between(step['created'], step['ended'])}")
    elif step["state"] not in ENDED:
        figures.append(f"goes on at {when(step['due'], '%H:%M:%S')}")
    return " · ".join(figures)


def _history(step: Mapping[str, Any]) -> str:
    moments = step["history"]
    if not moments:
        return ""
    earlier = [moments[0], *moments]
    rows = "".join(_moment(moment, before) for before, moment in zip(earlier, moments, strict=False))
    opened = "" if step["state"] in ("succeeded", "superseded") else " open"
    return f'<details{opened}><summary>{many(len(moments), "state")}</summary><ol class="history">{rows}</ol></details>'


def _moment(moment: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    gap = "" if moment is before else f"+{between(before['at'], moment['at'])}"
    return (
        f'<li>{when(moment["at"], "%H:%M:%S")}<span class="gap">{gap}</span><span>{badge(moment["state"])}</span>'
        f'<span class="why">{text(moment.get("note", ""))}</span></li>'
    )


def _payload(event: Mapping[str, Any]) -> str:
    raw = str(event.get("payload", ""))
    try:
        shown = json.dumps(json.loads(raw), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        shown = raw
    cut = "" if len(shown) <= MAX_PAYLOAD else f"\n… {len(shown) - MAX_PAYLOAD} characters more: see the JSON answer"
    return (
        f'<h2>Payload</h2><details class="card" open><summary>{len(raw)} characters, laid out</summary>'
        f"<pre>{text(shown[:MAX_PAYLOAD] + cut)}</pre></details>"
    )
