"""The page behind an approval's link: what is asked, and a person's answer to it.

Opening the page decides nothing: chats and mail scanners open links too. The link is the key to it; who answered is
the signed-in account where App Service authentication stands in front, else the name that the person gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import parse_qs

from handlers.asked import MAX_NAME, account_of, is_from_elsewhere, named
from handlers.pages import Page, facts, note, page, text
from handlers.targets.approval import Options, expiry
from handlers.turn import point_to
from handlers.values import plan_of
from shared import approvals, ledger
from shared.approvals import Decision
from shared.errors import ClaimLost, UnknownStep
from shared.messages import StepMessage
from shared.routes import matches
from shared.shapes import converted
from shared.steps import ENDED, State, Step
from shared.stories import Story
from shared.telemetry import tell

MAX_COMMENT, MAX_FORM = 500, 10_000


def show(token: str, headers: Mapping[str, str], now: datetime) -> Page:
    """Return the page that asks, or tells what was decided. `headers` with lower-case names."""
    try:
        story, step = approvals.read_link(token, now)
    except UnknownStep as error:
        return page(404, "No such question", f"<p>{text(error)}</p>")
    closed = _why_closed(story, step, now)
    if closed:
        return page(200, "This was decided", note(closed) + _facts(story, step))
    return page(200, "May this go on?", _facts(story, step) + _form(account_of(headers)))


def submit(token: str, headers: Mapping[str, str], body: bytes, now: datetime) -> tuple[Page, list[StepMessage]]:
    """Take a person's answer; return the page that tells what stands now, and the pointer that wakes the step up."""
    try:
        story, step = approvals.read_link(token, now)
    except UnknownStep as error:
        return page(404, "No such question", f"<p>{text(error)}</p>"), []
    if is_from_elsewhere(headers):  # a browser that is signed in here would answer in its user's name
        return page(403, "Not decided", note("another site has sent this: open the link, and answer there", "bad")), []
    if _why_closed(story, step, now):
        return show(token, headers, now), []
    made, problem = _answer(_options(story, step), headers, body, now)
    if made is None:
        return page(400, "May this go on?", note(problem, "bad") + _facts(story, step) + _form(account_of(headers))), []
    stands = approvals.decide(step.key, made)
    if stands is made:
        outcome = "approved" if made.approved else "rejected"
        tell(
            "approval",
            f"step {step.id} of event {step.event_id} is {outcome}",
            outcome=outcome,
            event=step.event_id,
            route=step.route,
            step=step.id,
        )
    title = "Thank you" if stands is made else "This was decided"
    return page(200, title, note(stands.told(), "good") + _facts(story, step)), _wake(step, now)


def _answer(options: Options, headers: Mapping[str, str], body: bytes, now: datetime) -> tuple[Decision | None, str]:
    given = {name: values[0] for name, values in parse_qs(body[:MAX_FORM].decode("utf-8", "replace")).items()}
    account = account_of(headers)
    name = account or named(given.get("name", ""))
    if given.get("decision") not in ("approve", "reject"):
        return None, "Press one of the two buttons."
    if not name:
        return None, "Give your name: it is kept with the decision."
    if options.approvers and not (account and matches(options.approvers, account)):
        return (
            None,
            f"{name} is none of those who may decide this." if account else "Sign in: not everybody may decide.",
        )
    comment = given.get("comment", "").strip()[:MAX_COMMENT]
    return Decision(given["decision"] == "approve", name, now, comment, bool(account)), ""


def _why_closed(story: Story, step: Step, now: datetime) -> str:
    made = approvals.decision(step.key)
    if made is not None:
        return made.told()
    if step.state in ENDED:
        return f"{step.state}: {step.reason or step.outcome}"
    until = expiry(step.claimed or step.created, _options(story, step).expires_hours)
    return f"nobody decided until {until:%Y-%m-%d %H:%M} UTC" if now > until else ""


def _wake(step: Step, now: datetime) -> list[StepMessage]:
    """Make the step due now. One that is just being asked, or was changed meanwhile, finds the decision by itself."""
    try:
        if step.state is State.WAITING:
            ledger.change(step, State.WAITING, now, due=now)
    except ClaimLost:
        pass
    return [point_to(step)]


def _options(story: Story, step: Step) -> Options:
    return converted(plan_of(story, step).options, Options)


def _facts(story: Story, step: Step) -> str:
    event = story.event
    told = facts(
        {
            "route": step.route,
            "model": event.model,
            "version": event.version,
            "event": event.type,
            "from stage": event.from_stage,
            "to stage": event.to_stage,
            "alias": event.alias,
            "comment": event.comment,
            "source": event.source,
            "asked": f"{step.claimed or step.created:%Y-%m-%d %H:%M} UTC",
        }
    )
    return f'<section class="card narrow">{told}</section>'


def _form(account: str) -> str:
    name = f'<label for="name">Your name</label><input id="name" name="name" maxlength="{MAX_NAME}" required>'
    return (
        f'<form method="post" class="card narrow">{f"<p>You are {text(account)}.</p>" if account else name}'
        f'<label for="comment">Comment</label><textarea id="comment" name="comment" maxlength="{MAX_COMMENT}" rows="3">'
        '</textarea><div class="buttons"><button class="good" name="decision" value="approve">Approve</button>'
        '<button class="bad" name="decision" value="reject">Reject</button></div></form>'
    )
