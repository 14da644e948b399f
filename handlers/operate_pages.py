"""What operators ask of the app with a browser: the same as `operate.py`, as pages, and forms that ask once more.

A form that was pressed is believed if our own page made it, for this person and this state of the step. What it has
done is shown by the page that the browser is sent to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from handlers import operate, replay
from handlers.asked import Asked, named
from handlers.operate import Reply, answered, pointing
from handlers.page_actions import ACTIONS, MAX_OUTCOME, actions_of, confirm_page
from handlers.page_event import event_page
from handlers.page_events import events_page
from handlers.page_links import Links, bar, links_from
from handlers.pages import Page, note, page, redirect
from handlers.story import story_of
from handlers.turn import Clock
from handlers.values import plan_of
from shared import approvals, brakes, ledger
from shared.errors import NotNow, UnknownStep
from shared.messages import StepMessage
from shared.steps import State, Step
from shared.stories import Story

JsonCall = Callable[..., Reply]


def list_events(asked: Asked, clock: Clock) -> Reply:
    """Answer with a page of the list of events, as the reader wants it."""
    reply = operate.list_events(asked.query, clock)
    if not asked.wants_page:
        return reply
    problem = str(reply.body.get("error", ""))
    shown = events_page(reply.body, asked.query, brakes.stopped_routes(), links_of(asked), problem)
    return replace(reply, page=shown)


def show_event(event_id: str, asked: Asked) -> Reply:
    """Answer with one event's story, as the reader wants it."""
    if not asked.wants_page:
        return operate.show_event(event_id)

    def shown() -> Reply:
        story = ledger.read(event_id)
        told = story_of(story)
        done = asked.query.get("done", "")
        return Reply(
            200, told, page=event_page(told, _questions(story), brakes.stopped_routes(), links_of(asked), done)
        )

    return for_people(answered(shown), asked)


def confirm(event_id: str, asked: Asked, clock: Clock) -> Reply:
    """Answer with the page that asks once more before something is done. It changes nothing."""

    def shown() -> Reply:
        story = ledger.read(event_id)
        action, step = _meant(story, asked.query)
        if step and action not in actions_of(step.state):
            raise NotNow(f"step {step.id} is {step.state} meanwhile: that can't be done with it")
        return Reply(200, {}, page=_question(story, action, step, asked, clock))

    return for_people(answered(shown), asked)


def act(event_id: str, asked: Asked, clock: Clock, call: JsonCall) -> Reply:
    """Do what a form or a JSON body asks for; `call` is the function of `operate` that takes the latter."""
    if trouble := asked.trouble():
        reply = Reply(403, {"error": trouble})
        return for_people(reply, asked, event_id) if asked.wants_page else reply
    if not asked.is_form:
        return call(event_id, asked.body, clock, asked.account)
    return for_people(answered(lambda: _submitted(event_id, asked, clock)), asked, event_id)


def act_on_many(asked: Asked, clock: Clock) -> Reply:
    """Replay what is dead of many events, as a JSON body asks for."""
    trouble = asked.trouble()
    return Reply(403, {"error": trouble}) if trouble else operate.replay_many(asked.body, clock, asked.account)


def _submitted(event_id: str, asked: Asked, clock: Clock) -> Reply:
    form, story = asked.form, ledger.read(event_id)
    action, step = _meant(story, form)
    if not asked.has_token(form.get("token", ""), _purpose(story, action, step), clock()):
        return Reply(403, {"error": "this form is too old, or the step has changed meanwhile: look at it again"})
    by, outcome = name_of(asked), form.get("outcome", "").strip()[:MAX_OUTCOME]
    if not by or (action == "resolve" and not outcome):
        problem = "Say what you know of it." if by else "Give your name: it is kept in the history."
        return Reply(400, {}, page=_question(story, action, step, asked, clock, problem))
    pointers = _done(event_id, action, step, outcome, by, clock)
    shown = redirect(links_of(asked).address(f"events/{event_id}", done=action))
    return Reply(303, {}, pointing(pointers).pointers, shown)


def name_of(asked: Asked) -> str:
    """Return who sent a form: the account that is signed in, else the name that was given, marked as such."""
    given = named(asked.form.get("name", ""))
    return asked.account or (f"{given} (name as given)" if given else "")


def _done(event_id: str, action: str, step: Step | None, outcome: str, by: str, clock: Clock) -> list[StepMessage]:
    if step is None and action == "route":
        return replay.route_again(event_id, clock)
    if step is None:
        return replay.replay_event(event_id, frozenset({State.DEAD}), clock, by)
    if action == "resolve":
        return replay.resolve_step(event_id, step.id, outcome, clock, by)
    return [replay.replay_step(event_id, step.id, action == "force", clock, by)]


def _meant(story: Story, given: Mapping[str, str]) -> tuple[str, Step | None]:
    """Return the action and the step of a form or an address. Raises UnknownStep or ValueError for none that is."""
    action, step = given.get("action", ""), given.get("step", "")
    if action not in ACTIONS:
        raise ValueError(f"`action` has to be one of {', '.join(ACTIONS)}")
    if action in ("route", "replay_dead"):
        return action, None
    if step not in story.steps:
        raise UnknownStep(f"event {story.event.id} has no step {step!r}")
    return action, story.steps[step]


def _purpose(story: Story, action: str, step: Step | None) -> str:
    """What a form's token is good for; once, since a replay counts up what it names."""
    steps = [step] if step else list(story.steps.values())
    return "/".join((story.event.id, action, step.id if step else "", str(sum(each.reopened for each in steps))))


def _question(story: Story, action: str, step: Step | None, asked: Asked, clock: Clock, problem: str = "") -> Page:
    told = story_of(story)
    shown = next((each for each in told["steps"] if step and each["step"] == step.id), None)
    token = asked.token(_purpose(story, action, step), clock())
    stops = brakes.stopped_routes()
    return confirm_page(told, action, shown, token, asked.account, stops, links_of(asked), problem)


def _questions(story: Story) -> dict[str, str]:
    """Return, of each step that waits for a person's answer by link, the last part of that link."""
    waiting = [step for step in story.steps.values() if step.target == "approval" and step.state is State.WAITING]
    by_link = [step for step in waiting if plan_of(story, step).options.get("by", "link") == "link"]
    return {step.id: approvals.link_key(story.event.id, step.id) for step in by_link}


def links_of(asked: Asked) -> Links:
    """Return the links from the page that was asked for."""
    return links_from(asked.path, asked.query.get("code", ""))


def for_people(reply: Reply, asked: Asked, event_id: str = "") -> Reply:
    """Return the reply with a page; one that has none tells what was wrong."""
    if reply.page:
        return reply
    links = links_of(asked)
    back = f'<p><a class="button" href="{links.event(event_id)}">To the event</a></p>' if event_id else ""
    body = note(reply.body.get("error", ""), "bad") + back
    return replace(reply, page=page(reply.status, _TITLES.get(reply.status, "Not done"), body, bar=bar(links)))


_TITLES = {404: "There is no such event", 503: "Not now"}
