"""What an operator can do with an event or a step from its page: the links to it, and the page that asks once more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from handlers.asked import MAX_NAME
from handlers.page_links import Links, bar
from handlers.page_words import badge, many
from handlers.pages import Page, fact_rows, name, note, page, text
from shared.brakes import Stop

MAX_OUTCOME = 500


@dataclass(frozen=True)
class Action:
    """Something an operator does: its `button`, the question and what it means, and where its form goes."""

    button: str
    question: str
    meaning: str
    goes_to: str = "replay"
    colour: str = "good"


ACTIONS = {
    "replay": Action(
        "Replay",
        "Replay this step?",
        "It is tried again with its key: what an earlier attempt has done is found at the target where that can be "
        "asked, and not done twice.",
    ),
    "force": Action(
        "Do it once more",
        "Do this step once more?",
        "It gets a new key and is done once more, whatever was done before: a second release, run or message.",
        colour="bad",
    ),
    "replay_dead": Action(
        "Replay all that is dead",
        "Replay all dead steps of this event?",
        "Each is tried again with its key: what was done before is not done twice where the target can be asked.",
    ),
    "route": Action(
        "Route again",
        "Route this event again?",
        "Routes that match it now and that it has not started are started. Others are left as they are.",
    ),
    "resolve": Action(
        "Resolve",
        "Was this step done?",
        "It is noted as succeeded with your words, and the route goes on behind it. Nothing is done at its target.",
        goes_to="resolve",
    ),
}


def actions_of(state: str) -> list[str]:
    """Return the names of what can be done with a step in this state."""
    if state in ("dead", "parked"):
        return ["replay", "resolve", "force"]
    return ["force"] if state in ("succeeded", "superseded") else []


def step_actions(step: Mapping[str, Any], told: Mapping[str, Any], approval: str, links: Links) -> str:
    """Return a step's buttons. They lead to a page that asks once more, and decide nothing by themselves."""
    decide = (
        f'<a class="button" href="{links.back}approvals/{text(approval)}">Approve or reject …</a>' if approval else ""
    )
    buttons = decide + "".join(
        _button(action, told["event"], links, step["step"]) for action in actions_of(step["state"])
    )
    return f'<div class="buttons">{buttons}</div>' if buttons else ""


def whole_actions(told: Mapping[str, Any], links: Links) -> str:
    """Return the buttons for the event as a whole."""
    dead = sum(step["state"] == "dead" for step in told["steps"])
    wanted = ["replay_dead"] * (dead > 1) + ["route"] * (not told["steps"] or bool(told.get("skipped")))
    buttons = "".join(_button(action, told["event"], links) for action in wanted)
    return f'<div class="buttons">{buttons}</div>' if buttons else ""


def _button(action: str, event_id: str, links: Links, step: str = "") -> str:
    href = links.to(f"events/{event_id}/confirm", action=action, step=step)
    return f'<a class="button" href="{href}">{ACTIONS[action].button} …</a>'


def confirm_page(
    told: Mapping[str, Any],
    action: str,
    step: Mapping[str, Any] | None,
    token: str,
    account: str,
    stops: Mapping[str, Stop],
    links: Links,
    problem: str = "",
) -> Page:
    """Return the page that asks once more. `problem` is why the answer before was not enough."""
    known = ACTIONS[action]
    routes = [step["route"]] if step else []
    stopped = "".join(note(f"Route {route} is stopped: its steps are parked.") for route in routes if route in stops)
    outcome = (
        f'<label for="outcome">What do you know of it?</label><textarea id="outcome" name="outcome" rows="3" required '
        f'maxlength="{MAX_OUTCOME}" placeholder="the message is in the channel"></textarea>'
    )
    goal = links.to(f"events/{told['event']}/{known.goes_to}")
    form = (
        f'<form method="post" action="{goal}">'
        f"{Links('').hidden(token=token, action=action, step=step['step'] if step else '')}"
        f"{outcome if action == 'resolve' else ''}{who(account)}"
        f'<div class="buttons"><button class="{known.colour}">{known.button}</button>'
        f'<a class="button" href="{links.event(told["event"])}">Cancel</a></div></form>'
    )
    body = note(problem, "bad") if problem else ""
    body += f'{stopped}<section class="card narrow">{_what(told, step)}<p>{known.meaning}</p>{form}</section>'
    return page(400 if problem else 200, known.question, body, bar=bar(links))


def _what(told: Mapping[str, Any], step: Mapping[str, Any] | None) -> str:
    event = name(" ".join(filter(None, (told["model"], told["version"] and f"v{told['version']}", told["type"]))))
    dead = sum(each["state"] == "dead" for each in told["steps"])
    return fact_rows(
        {
            "Event": event,
            "Step": name(step["step"]) if step else "",
            "State": badge(step["state"]) if step else "",
            "Reason": text(step.get("reason", "")) if step else "",
            "Outcome": text(step.get("outcome", "")) if step else "",
            "Dead": many(dead, "step") if not step and dead else "",
        }
    )


def who(account: str) -> str:
    """Return the form field for a person's name, or the account that is signed in."""
    if account:
        return f"<p>You are {name(account)}: it is kept with what you do.</p>"
    return (
        f'<label for="name">Your name</label><input id="name" name="name" maxlength="{MAX_NAME}" autocomplete="name" '
        "required><small>It is kept with what you do, as you give it.</small>"
    )
