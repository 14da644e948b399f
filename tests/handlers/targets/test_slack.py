"""Slack: text that can't become markup, messages that come at least once, or at most once where the route says so."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from local.chat import Message
from local.faults import Call
from local.ports import free_port
from shared.steps import State, Step
from tests.conftest import Relay, until

SLACK = "^/slack/"


def messages(relay: Relay, model: str) -> list[Message]:
    return [message for message in relay.system.chat.messages if model in message.text]


def posts(relay: Relay, model: str) -> list[Call]:
    return [call for call in relay.system.chat.faults.calls("POST", SLACK) if model in str(call.body)]


def told(relay: Relay, model: str, comment: str = "hello", route: str = "tell-slack") -> Step:
    """Comment on a model whose name begins as the route wants it; return the step of the route when it has ended."""
    prefix = {"tell-slack": "slack", "tell-slack-once": "once"}[route]
    return relay.ended(relay.comment(f"{prefix}-{model}", comment)).steps[f"{route}.slack"]


def states(step: Step) -> list[State]:
    return [moment.state for moment in step.history]


def test_a_comment_becomes_a_message_and_its_characters_no_markup(relay: Relay, model: str) -> None:
    step = told(relay, model, "<!channel> Q&A: <https://example.com|here> {model} &amp;")
    assert step.state is State.SUCCEEDED
    assert step.outcome == "Slack took the message"
    [message] = messages(relay, model)
    assert message.service == "slack"
    assert message.payload == {
        "text": f"slack-{model}: &lt;!channel&gt; Q&amp;A: &lt;https://example.com|here&gt; {{model}} &amp;amp;"
    }


@pytest.mark.parametrize("character", ["x", "🍷", "&"], ids=["letters", "emoji", "escaped characters"])
def test_a_huge_comment_is_cut_and_accepted(relay: Relay, model: str, character: str) -> None:
    assert told(relay, model, character * (100_000 // len(character.encode()))).state is State.SUCCEEDED
    [message] = messages(relay, model)
    text = message.payload["text"]
    assert text.startswith(f"slack-{model}: ")
    assert 20_000 < len(text) <= 40_000
    assert not re.search("&(?!amp;|lt;|gt;)", text), "cut through an escaped character"


def test_an_archived_channel_ends_the_step_with_slacks_own_word(relay: Relay, model: str) -> None:
    relay.system.chat.faults.add("POST", SLACK, status=410, body="channel_is_archived")
    step = told(relay, model)
    assert step.state is State.DEAD
    assert step.reason == "Slack answered 410: channel_is_archived"
    assert step.attempts == 1
    assert len(posts(relay, model)) == 1


@pytest.mark.parametrize("route", ["tell-slack", "tell-slack-once"])
def test_a_throttled_message_is_sent_again_when_slack_said_and_not_before(relay: Relay, model: str, route: str) -> None:
    relay.system.chat.faults.add("POST", SLACK, status=429, headers={"Retry-After": "3"}, body="rate_limited")
    step = told(relay, model, route="tell-slack-once")
    assert step.state is State.SUCCEEDED
    assert step.attempts == 2
    first, second = posts(relay, model)
    assert second.time - first.time >= 3
    assert len(messages(relay, model)) == 1


def test_a_message_that_broke_slack_is_sent_again_when_slack_said_and_not_before(relay: Relay, model: str) -> None:
    relay.system.chat.faults.add("POST", SLACK, status=503, headers={"Retry-After": "3"})
    assert told(relay, model).state is State.SUCCEEDED
    first, second = posts(relay, model)
    assert second.time - first.time >= 3


@pytest.mark.parametrize("loss", [{"drop": True}, {"status": 500}], ids=["dropped", "500"])
def test_a_message_whose_reply_was_lost_is_sent_again(relay: Relay, model: str, loss: dict[str, Any]) -> None:
    relay.system.chat.faults.add("POST", SLACK, before=False, **loss)
    step = told(relay, model)
    assert states(step) == [State.READY, State.RUNNING, State.IN_DOUBT, State.RETRY, State.RUNNING, State.SUCCEEDED]
    assert len(messages(relay, model)) == 2


@pytest.mark.parametrize("loss", [{"drop": True}, {"status": 500}], ids=["dropped", "500"])
@pytest.mark.parametrize("before", [False, True], ids=["after it came", "before it came"])
def test_a_message_that_may_come_once_only_is_left_to_a_person_when_its_reply_was_lost(
    relay: Relay, model: str, loss: dict[str, Any], before: bool
) -> None:
    relay.system.chat.faults.add("POST", SLACK, before=before, **loss)
    step = told(relay, model, route="tell-slack-once")
    assert step.state is State.PARKED
    assert "it may have happened" in step.reason
    assert len(posts(relay, model)) == 1
    assert len(messages(relay, model)) == (0 if before else 1)


def test_a_channel_whose_secret_is_missing_ends_the_step_and_names_the_secret(relay: Relay, model: str) -> None:
    body = {
        "event": "MODEL_VERSION_TAG_SET",
        "event_timestamp": int(time.time() * 1000),
        "model_name": f"two-{model}",
        "version": "1",
        "tags": [{"key": "approved", "value": "true"}],
    }
    step = relay.ended(relay.databricks(body).json()["event"]).steps["first-of-two.slack"]
    assert step.state is State.DEAD
    assert step.reason.startswith("secret 'no-such-secret' ")


def test_a_secret_that_holds_no_usable_url_ends_the_step_without_showing_it(relay: Relay, model: str) -> None:
    relay.system.vault.set("slack-without-scheme", "a-secret-path")
    relay.system.vault.set("slack-in-clear", "http://example.com/a-secret-path")
    relay.system.vault.set("slack-half-pasted", "https://[a-secret-path")
    steps = relay.ended(relay.comment(f"unusable-{model}", "hello"), 20).steps.values()
    assert [step.state for step in steps] == [State.DEAD] * 3
    assert all(f"secret slack-{step.route.removeprefix('tell-')} has to be" in step.reason for step in steps)
    assert "a-secret-path" not in str(steps)


def test_a_channel_that_could_not_be_reached_is_tried_again_even_where_once_is_the_limit(
    relay: Relay, model: str
) -> None:
    port = free_port()
    relay.system.vault.set("late-slack", f"http://127.0.0.1:{port}/slack/late/a-secret-path")
    event = relay.comment(f"late-{model}", "hello")

    def tried() -> Step | None:
        story = relay.story(event)
        step = story.steps["tell-where-nobody-listens.slack"] if story else None
        return step if step and step.state is State.RETRY else None

    waiting = until(tried)
    assert "could not be reached" in waiting.reason
    assert "a-secret-path" not in str(waiting)
    with listening(port) as bodies:
        step = relay.ended(event).steps[waiting.id]
    assert step.state is State.SUCCEEDED
    assert State.IN_DOUBT not in states(step)
    assert [model in body for body in bodies] == [True]


@contextmanager
def listening(port: int) -> Iterator[list[str]]:
    """Take every POST on a port, and collect the bodies."""
    bodies: list[str] = []

    class Channel(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(200)
            self.end_headers()

    with HTTPServer(("127.0.0.1", port), Channel) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield bodies
        server.shutdown()
