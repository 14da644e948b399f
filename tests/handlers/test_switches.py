"""The kill switch: a stopped route parks its steps, without a deployment, and goes on when it is started."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from shared.steps import State
from tests.conftest import Relay, until

ROUTE = "stoppable"


def ask(relay: Relay, method: str, path: str, **body: Any) -> requests.Response:
    key = {"x-functions-key": relay.system.function_key}
    return requests.request(method, f"{relay.worker.url}/api/{path}", json=body or None, headers=key, timeout=30)


@pytest.fixture
def stopped(relay: Relay) -> Iterator[None]:
    """The route is stopped, and the workers know it."""
    reply = ask(relay, "POST", f"routes/{ROUTE}/stop", reason="a test")
    assert reply.status_code == 200, reply.text
    until(lambda: relay.ended(relay.comment("stoppable-canary", "x")).steps[f"{ROUTE}.slack"].state is State.PARKED)
    yield
    ask(relay, "POST", f"routes/{ROUTE}/start")


def messages(relay: Relay, model: str) -> list[str]:
    return [message.text for message in relay.system.chat.messages if model in message.text]


def test_a_stopped_route_parks_and_what_it_parked_is_done_after_its_start(
    relay: Relay, stopped: None, model: str
) -> None:
    event = relay.comment(f"stoppable-{model}", "x")
    step = relay.ended(event).steps[f"{ROUTE}.slack"]
    assert step.state is State.PARKED
    assert step.reason.startswith(f"route {ROUTE} was stopped at 20")
    assert step.reason.endswith("UTC: a test")
    assert not messages(relay, model)
    (shown,) = [route for route in ask(relay, "GET", "routes").json()["routes"] if route["route"] == ROUTE]
    assert shown["stopped"]["reason"] == "a test"

    reply = ask(relay, "POST", f"routes/{ROUTE}/start", replay=True)
    assert {"event": event, "step": f"{ROUTE}.slack"} in reply.json()["ready"]
    until(lambda: len(messages(relay, model)) == 2)
    assert messages(relay, model) == [f"stoppable-{model} one", f"stoppable-{model} two"]


def test_a_stop_holds_up_what_is_under_way(relay: Relay, model: str) -> None:
    relay.system.chat.faults.add("POST", "^/slack/", status=429, headers={"Retry-After": "7"}, body="slow down")
    event = relay.comment(f"stoppable-{model}", "x")
    until(lambda: relay.row(event, f"{ROUTE}.slack").get("state") == "retry")
    ask(relay, "POST", f"routes/{ROUTE}/stop", reason="a test")
    try:
        step = relay.ended(event).steps[f"{ROUTE}.slack"]
        assert step.state is State.PARKED
        assert [moment.state for moment in step.history][-2:] == [State.RETRY, State.PARKED]
        assert not messages(relay, model)
    finally:
        ask(relay, "POST", f"routes/{ROUTE}/start")


def test_other_routes_go_on(relay: Relay, stopped: None, model: str) -> None:
    event = relay.comment(f"slack-{model}", "x")
    assert relay.ended(event).steps["tell-slack.slack"].state is State.SUCCEEDED


@pytest.mark.parametrize("action", ["stop", "start"])
def test_a_route_that_there_is_not_can_not_be_stopped_or_started(relay: Relay, action: str) -> None:
    reply = ask(relay, "POST", f"routes/no-such-route/{action}", **({"reason": "x"} if action == "stop" else {}))
    assert reply.status_code == 404
    assert "no-such-route" in reply.json()["error"]


def test_a_stop_needs_a_reason(relay: Relay) -> None:
    reply = ask(relay, "POST", f"routes/{ROUTE}/stop", why="x")
    assert reply.status_code == 400
    assert "reason" in reply.json()["error"] or "why" in reply.json()["error"]
