"""Teams: a proper Adaptive Card that fits, its text no Markdown of the sender's."""

from __future__ import annotations

import re
from typing import Any

import pytest

from local.chat import Message
from local.faults import Call
from shared.steps import State, Step
from tests.conftest import Relay

TEAMS = "^/teams/"


def messages(relay: Relay, model: str) -> list[Message]:
    return [message for message in relay.system.chat.messages if model in message.text]


def posts(relay: Relay, model: str) -> list[Call]:
    return [call for call in relay.system.chat.faults.calls("POST", TEAMS) if model in str(call.body)]


def told(relay: Relay, model: str, comment: str = "hello") -> Step:
    return relay.ended(relay.comment(f"teams-{model}", comment)).steps["tell-teams.teams"]


def told_once(relay: Relay, model: str) -> Step:
    return relay.ended(relay.comment(f"card-once-{model}", "hello")).steps["tell-teams-once.teams"]


def blocks(message: Message) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = message.payload["attachments"][0]["content"]["body"]
    return found


def test_a_comment_becomes_an_adaptive_card(relay: Relay, model: str) -> None:
    step = told(relay, model, "ready for review")
    assert step.state is State.SUCCEEDED
    assert step.outcome == "Teams took the card"
    [message] = messages(relay, model)
    assert message.service == "teams"
    assert message.payload["type"] == "message"
    [attachment] = message.payload["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    assert card["$schema"] == "http://adaptivecards.io/schemas/adaptive-card.json"
    title, text = card["body"]
    assert {each["type"] for each in card["body"]} == {"TextBlock"}
    assert {each["wrap"] for each in card["body"]} == {True}
    assert (title["text"], text["text"]) == (f"teams-{model}", "ready for review")


@pytest.mark.parametrize(
    ("comment", "shown"),
    [
        ("[click](https://example.com)", r"\[click\](https://example.com)"),
        ("**bold**", r"\*\*bold\*\*"),
        (r"\[click\](https://example.com)", r"\\\[click\\\](https://example.com)"),
        ("one\r\n- two\n\n1. three", "one - two 1. three"),
        ("{model} <at>everyone</at> & co", "{model} <at>everyone</at> & co"),
    ],
)
def test_a_comment_can_not_bring_markdown_along(relay: Relay, model: str, comment: str, shown: str) -> None:
    told(relay, model, comment)
    [message] = messages(relay, model)
    assert blocks(message)[1]["text"] == shown


def test_a_title_can_not_bring_markdown_along(relay: Relay, model: str) -> None:
    name = f"teams-{model} [click](https://example.com)"
    relay.ended(relay.comment(name, "hello"))
    [message] = messages(relay, model)
    assert blocks(message)[0]["text"] == rf"teams-{model} \[click\](https://example.com)"


@pytest.mark.parametrize("character", ["x", "ü", "🍷", "*", "\\", "\x01"])
def test_a_huge_comment_is_cut_and_accepted(relay: Relay, model: str, character: str) -> None:
    assert told(relay, model, character * (100_000 // len(character.encode()))).state is State.SUCCEEDED
    [message] = messages(relay, model)
    text = blocks(message)[1]["text"]
    assert text.endswith("…")
    assert len(text) > 1000
    assert set(re.sub(r"\\(.)", r"\1", text.rstrip("…"))) == {character}


def test_a_huge_title_and_a_huge_comment_fit_one_card(relay: Relay, model: str) -> None:
    event = relay.comment(f"teams-{model}" + "🍷" * 5_000, "🍷" * 5_000)
    assert relay.ended(event).steps["tell-teams.teams"].state is State.SUCCEEDED
    assert len(messages(relay, model)) == 1


@pytest.mark.parametrize("status", [404, 410])
def test_a_workflow_that_is_gone_ends_the_step(relay: Relay, model: str, status: int) -> None:
    relay.system.chat.faults.add("POST", TEAMS, status=status, body={"error": {"message": "it was deleted"}})
    step = told(relay, model)
    assert step.state is State.DEAD
    assert f"Teams answered {status}" in step.reason
    assert "it was deleted" in step.reason
    assert len(posts(relay, model)) == 1


def test_a_throttled_card_is_sent_again_when_teams_said_and_not_before(relay: Relay, model: str) -> None:
    relay.system.chat.faults.add("POST", TEAMS, status=429, headers={"Retry-After": "3"})
    assert told(relay, model).state is State.SUCCEEDED
    first, second = posts(relay, model)
    assert second.time - first.time >= 3
    assert len(messages(relay, model)) == 1


def test_a_card_whose_reply_was_lost_is_sent_again(relay: Relay, model: str) -> None:
    relay.system.chat.faults.add("POST", TEAMS, before=False, drop=True)
    assert told(relay, model).state is State.SUCCEEDED
    assert len(messages(relay, model)) == 2


def test_a_card_that_may_come_once_only_is_left_to_a_person_when_its_reply_was_lost(relay: Relay, model: str) -> None:
    relay.system.chat.faults.add("POST", TEAMS, before=False, drop=True)
    step = told_once(relay, model)
    assert step.state is State.PARKED
    assert "it may have happened" in step.reason
    assert len(messages(relay, model)) == 1


def test_a_card_that_may_come_once_only_comes_once_when_all_is_well(relay: Relay, model: str) -> None:
    assert told_once(relay, model).state is State.SUCCEEDED
    assert len(messages(relay, model)) == 1
