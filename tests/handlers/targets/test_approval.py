"""Approvals: a person's answer lets the route go on or ends it, once, and only who was asked can give it."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
import requests

from shared.errors import RoutesError
from shared.routes_file import parse_routes
from shared.steps import State, Step
from tests.conftest import DEAF, IMPATIENT, Relay, until

STEP = "approved-by-link.approval"
LINK = re.compile(r"http://127\.0\.0\.1:[0-9]+/api/approvals/[0-9a-f.]+")


def messages(relay: Relay, model: str) -> list[str]:
    return [message.text for message in relay.system.chat.messages if model in message.text]


def asked(relay: Relay, model: str) -> str:
    """The link that came with the message, once it has come and the route waits."""
    return until(lambda: next((found[0] for text in messages(relay, model) if (found := LINK.search(text))), ""))


def waiting(relay: Relay, event: str, step: str = STEP) -> None:
    until(lambda: relay.row(event, step).get("state") == "waiting")


def answer(
    link: str, decision: str = "approve", headers: dict[str, str] | None = None, **more: str
) -> requests.Response:
    form = {"decision": decision, "name": "Ada", **more}
    return requests.post(link, data=form, headers=headers, timeout=30)


def the_step(relay: Relay, event: str, name: str = STEP) -> Step:
    return relay.ended(event).steps[name]


def test_a_route_waits_and_goes_on_when_a_person_approves(relay: Relay, model: str) -> None:
    event = relay.stage_change(f"approve-{model}")
    link = asked(relay, model)
    waiting(relay, event)
    page = requests.get(link, timeout=30)
    assert page.status_code == 200
    assert f"approve-{model}" in page.text
    assert relay.row(event, STEP)["state"] == "waiting", "opening the page decides nothing"

    reply = answer(link, comment="tested on the holdout set")
    assert reply.status_code == 200
    step = the_step(relay, event)
    assert step.state is State.SUCCEEDED
    assert re.fullmatch(
        r"approved by Ada \(name as given\) at 20[0-9-]+ [0-9:]+ UTC: tested on the holdout set", step.outcome
    )
    assert messages(relay, model)[1] == f"approve-{model} goes: {step.outcome}"


def test_a_rejection_ends_the_route_and_is_told(relay: Relay, model: str) -> None:
    event = relay.stage_change(f"approve-{model}")
    answer(asked(relay, model), "reject", comment="<b>no</b>")
    step = the_step(relay, event)
    assert step.state is State.DEAD
    assert step.reason.startswith("rejected by Ada (name as given) at ")
    assert messages(relay, model)[1:] == [
        f"approve-{model} does not go: {step.reason}".replace("<", "&lt;").replace(">", "&gt;")
    ]


def test_the_first_decision_stands(relay: Relay, model: str) -> None:
    event = relay.stage_change(f"approve-{model}")
    link = asked(relay, model)
    assert "Thank you" in answer(link, "approve").text
    for late in (answer(link, "reject", name="Eve"), requests.get(link, timeout=30)):
        assert late.status_code == 200
        assert "This was decided" in late.text
        assert "approved by Ada" in late.text
    assert the_step(relay, event).outcome.startswith("approved by Ada")


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"decision": "maybe"}, "Press one of the two buttons"),
        ({"name": "   "}, "Give your name"),
    ],
)
def test_half_an_answer_is_asked_again(relay: Relay, model: str, form: dict[str, Any], says: str) -> None:
    event = relay.stage_change(f"approve-{model}")
    reply = answer(asked(relay, model), **form)
    assert reply.status_code == 400
    assert says in reply.text
    waiting(relay, event)


def test_a_link_that_was_changed_leads_nowhere(relay: Relay, model: str) -> None:
    event = relay.stage_change(f"approve-{model}")
    link = asked(relay, model)
    waiting(relay, event)
    event_id, short, signature = link.rsplit("/", 1)[1].split(".")
    base = link.rsplit("/", 1)[0]
    other = relay.stage_change(f"approve-other-{model}")
    forged = [
        f"{base}/{event_id}.{short}.{signature[:-1]}{'0' if signature[-1] != '0' else '1'}",
        f"{base}/{other}.{short}.{signature}",
        f"{base}/{event_id}.{'0' * 16}.{signature}",
        f"{base}/{event_id}.{short}",
        f"{base}/{event_id}.{short}.",
        f"{base}/é",
    ]
    for wrong in forged:
        assert requests.get(wrong, timeout=30).status_code == 404
        assert answer(wrong).status_code == 404
    assert relay.row(event, STEP)["state"] == "waiting"


def test_the_page_shows_a_hostile_name_as_text_and_lets_nothing_run(relay: Relay, model: str) -> None:
    name = f'approve-{model}"><script>alert(1)</script>'
    relay.stage_change(name)
    page = requests.get(asked(relay, model), timeout=30)
    assert "<script" not in page.text
    assert "&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert (page.headers["Cache-Control"], page.headers["Referrer-Policy"]) == ("no-store", "no-referrer")


def test_a_question_expires(relay: Relay, model: str) -> None:
    event = relay.stage_change(f"late-approve-{model}")
    link = asked(relay, model)
    step = the_step(relay, event, "approved-in-time.approval")
    assert (step.state, step.reason) == (State.DEAD, "nobody decided within 0.0003 h")
    late = answer(link)
    assert "This was decided" in late.text
    assert "nobody decided within" in late.text


def test_an_account_that_anybody_could_claim_is_not_believed(relay: Relay, model: str) -> None:
    event = relay.stage_change(f"few-approve-{model}")
    link = (
        asked(relay, f"few-approve-{model}") if messages(relay, f"few-approve-{model}") else link_of_card(relay, event)
    )
    reply = answer(link, headers={"X-MS-CLIENT-PRINCIPAL-NAME": "ada@example.com"})
    assert reply.status_code == 400
    assert "Sign in: not everybody may decide." in reply.text
    waiting(relay, event, "approved-by-few.approval")


def link_of_card(relay: Relay, event: str) -> str:
    """The link of the newest card that leads to this event."""
    texts = lambda: [m.text for m in relay.system.chat.messages if m.service == "teams" and event in m.text]  # noqa: E731
    found = LINK.search(until(texts)[0])
    assert found
    return found[0]


def test_with_authentication_in_front_only_the_approvers_may_decide(relay: Relay, model: str) -> None:
    authenticated = relay.system.worker({**IMPATIENT, **DEAF, "WEBSITE_AUTH_ENABLED": "True"})
    event = relay.stage_change(f"few-approve-{model}")
    link = link_of_card(relay, event).replace(relay.worker.url, authenticated.url)
    waiting(relay, event, "approved-by-few.approval")
    eve = answer(link, headers={"X-MS-CLIENT-PRINCIPAL-NAME": "eve@elsewhere.com"})
    assert (eve.status_code, "eve@elsewhere.com is none of those" in eve.text) == (400, True)
    ada = answer(link, headers={"X-MS-CLIENT-PRINCIPAL-NAME": "ada@example.com"}, name="somebody else")
    assert ada.status_code == 200
    assert the_step(relay, event, "approved-by-few.approval").outcome.startswith("approved by ada@example.com at 20")


def test_a_forced_replay_asks_anew_under_the_same_link(relay: Relay, model: str) -> None:
    event = relay.stage_change(f"approve-{model}")
    link = asked(relay, model)
    answer(link, "reject")
    assert the_step(relay, event).state is State.DEAD
    key = {"x-functions-key": relay.system.function_key}
    url = f"{relay.worker.url}/api/events/{event}/replay"
    requests.post(url, json={"step": STEP, "force": True}, headers=key, timeout=30).raise_for_status()
    waiting(relay, event)
    answer(link, "approve", name="Grace")
    until(lambda: relay.row(event, STEP).get("state") == "succeeded")
    assert "approved by Grace" in relay.row(event, STEP)["outcome"]


# In the registry


def created(relay: Relay, model: str) -> str:
    body = {
        "event": "MODEL_VERSION_CREATED",
        "event_timestamp": int(time.time() * 1000),
        "model_name": model,
        "version": "1",
        "text": "a version was made",
    }
    reply = relay.databricks(body, "governed")
    assert reply.status_code == 202, reply.text
    return str(reply.json()["event"])


@pytest.mark.parametrize(("approved", "state"), [(True, State.SUCCEEDED), (False, State.DEAD)])
def test_a_request_in_the_registry_is_opened_and_its_answer_is_taken(
    relay: Relay, model: str, approved: bool, state: State
) -> None:
    version = relay.system.databricks.add_version(f"asked-{model}", stage="Staging")
    event = created(relay, f"asked-{model}")
    waiting(relay, event, "approved-in-the-registry.approval")
    (request,) = version.requests
    assert (request.to_stage, request.comment) == ("Production", "asked by route approved-in-the-registry")
    version.requests.clear()
    if approved:
        version.stage = "Production"
    relay.make_overdue(event, "approved-in-the-registry.approval")
    relay.sweep()
    assert the_step(relay, event, "approved-in-the-registry.approval").state is state
    assert len(messages(relay, model)) == int(approved)


# The routes file


FILE = """\
sources: {dev: {kind: databricks, secret: dev-webhook}}
routes:
  - name: one
    when: {event: model_version.stage_changed}
    steps: %s
"""
TELL = "{slack: {url_secret: s, text: '{approval.link}'}}"


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ("[{approval: {}}]", "nobody would be asked"),
        (f"[{{approval: {{}}}}, {TELL}]", "unknown placeholder {approval.link}"),
        (f"[{TELL}, {{approval: {{}}}}, {{id: b, approval: {{}}}}]", "nobody would be asked"),
        (f"[{TELL}, {{approval: {{expires_hours: 0}}}}]", "expires_hours"),
        (f"[{TELL}, {{approval: {{by: mail}}}}]", "Invalid enum value 'mail'"),
        ("[{approval: {by: transition_request, stage: Live}}]", "'Live' is no stage"),
        ("[{approval: {by: transition_request, approvers: [a]}}]", "`approvers` goes with `by: link`"),
    ],
)
def test_an_approval_that_can_not_work_is_refused(steps: str, message: str) -> None:
    from handlers.current_routes import rules

    with pytest.raises(RoutesError) as error:
        parse_routes(FILE % steps, "routes.yaml", rules())
    assert message in str(error.value)


def test_two_approvals_in_a_row_have_each_their_own_question() -> None:
    from handlers.current_routes import rules

    steps: Any = f"[{TELL}, {{approval: {{}}}}, {TELL.replace('{slack', '{id: s2, slack')}, {{id: b, approval: {{}}}}]"
    assert len(parse_routes(FILE % steps, "routes.yaml", rules()).routes[0].steps) == 4
