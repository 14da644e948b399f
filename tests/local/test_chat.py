from collections.abc import Iterator
from typing import Any

import pytest
import requests

from local.chat import Chat


@pytest.fixture
def chat() -> Iterator[Chat]:
    with Chat() as service:
        yield service


def card(*texts: str) -> dict[str, Any]:
    body = [{"type": "TextBlock", "text": text} for text in texts]
    content = {"type": "AdaptiveCard", "version": "1.4", "body": body}
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": content}
    return {"type": "message", "attachments": [attachment]}


def test_slack_takes_a_text_and_says_ok(chat: Chat) -> None:
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "*wine*"}}]
    reply = requests.post(chat.slack_url(), json={"text": "wine v3 is in QA", "blocks": blocks}, timeout=5)
    assert (reply.status_code, reply.text) == (200, "ok")
    (message,) = chat.messages
    assert (message.service, message.channel, message.text) == (
        "slack",
        "general",
        "wine v3 is in QA\n*wine*",
    )


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (b"{not json", "invalid_payload"),
        (b'["a list"]', "invalid_payload"),
        (b"{}", "no_text"),
        (b'{"text": ""}', "no_text"),
        (b'{"text": "x", "blocks": {}}', "invalid_blocks"),
    ],
)
def test_slack_says_what_is_wrong_with_a_message(chat: Chat, body: bytes, answer: str) -> None:
    reply = requests.post(chat.slack_url(), data=body, timeout=5)
    assert (reply.status_code, reply.text) == (400, answer)
    assert chat.messages == []


def test_slack_does_not_know_every_channel(chat: Chat) -> None:
    chat.archived.add("old")
    replies = [requests.post(chat.slack_url(name), json={"text": "x"}, timeout=5) for name in ("nowhere", "old")]
    assert [(reply.status_code, reply.text) for reply in replies] == [
        (404, "channel_not_found"),
        (410, "channel_is_archived"),
    ]


def test_slack_can_be_rate_limited(chat: Chat) -> None:
    chat.faults.add("POST", "/slack/", status=429, body="rate_limited", headers={"Retry-After": "1"})
    reply = requests.post(chat.slack_url(), json={"text": "x"}, timeout=5)
    assert (reply.status_code, reply.text, reply.headers["Retry-After"]) == (429, "rate_limited", "1")
    assert requests.post(chat.slack_url(), json={"text": "x"}, timeout=5).ok


def test_teams_takes_an_adaptive_card_and_answers_202_with_nothing(chat: Chat) -> None:
    reply = requests.post(chat.teams_url(), json=card("wine v3", "is in QA"), timeout=5)
    assert (reply.status_code, reply.content) == (202, b"")
    assert chat.messages[0].text == "wine v3\nis in QA"


@pytest.mark.parametrize(
    "payload",
    [
        {"@type": "MessageCard", "text": "the format of the retired connectors"},
        {"text": "plain"},
        {"type": "message", "attachments": []},
        {"type": "message", "attachments": [{"contentType": "text/html", "content": "x"}]},
        {**card("x"), "type": "event"},
    ],
)
def test_teams_refuses_what_is_not_an_adaptive_card(chat: Chat, payload: dict[str, Any]) -> None:
    assert requests.post(chat.teams_url(), json=payload, timeout=5).status_code == 400
    assert chat.messages == []


def test_teams_refuses_more_than_28_kilobytes(chat: Chat) -> None:
    assert requests.post(chat.teams_url(), json=card("x" * 28 * 1024), timeout=5).status_code == 413
    assert requests.post(chat.teams_url(), json=card("x" * 27 * 1024), timeout=5).status_code == 202


def test_a_teams_workflow_that_was_deleted_is_not_found(chat: Chat) -> None:
    assert requests.post(chat.teams_url("nowhere"), json=card("x"), timeout=5).status_code == 404
