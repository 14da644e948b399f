"""Routing: every event is kept whole, whatever its size, and starts what matches, once."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from local import sender
from local.system import System
from shared.messages import EventMessage, encode
from shared.steps import State
from shared.stories import Story
from tests.conftest import IMPATIENT, Relay, until


def comment(model: str, text: str) -> bytes:
    body = {
        "event": "COMMENT_CREATED",
        "event_timestamp": int(time.time() * 1000),
        "model_name": model,
        "version": "1",
        "comment": text,
    }
    return json.dumps(body, ensure_ascii=False).encode()


def delivered(relay: Relay, body: Any) -> str:
    reply = relay.databricks(body)
    assert reply.status_code == 202, reply.text
    return str(reply.json()["event"])


def rows(relay: Relay, event: str) -> dict[str, Any]:
    """The event's rows in the ledger, each with what changes whenever it is written."""
    found = relay.table("steps").query_entities("PartitionKey eq @event", parameters={"event": event})
    return {row["RowKey"]: row.metadata["etag"] for row in found}


def test_an_event_that_no_route_waits_for_is_kept_without_steps(relay: Relay, model: str) -> None:
    event = relay.stage_change(f"unknown-{model}")
    story = relay.ended(event)
    assert (story.steps, story.routes) == ({}, {})
    assert (story.event.type, story.event.model) == ("model_version.stage_changed", f"unknown-{model}")
    assert set(rows(relay, event)) == {"event"}


def test_an_event_of_an_unknown_type_is_kept_without_steps(relay: Relay, model: str) -> None:
    body = {**sender.databricks_stage_change(f"release-{model}", "1", "Production"), "event": "MODEL_VERSION_PRAISED"}
    story = relay.ended(delivered(relay, body))
    assert story.event.type == "databricks.model_version_praised"
    assert story.steps == {}


def test_the_rows_of_an_event_tell_a_person_what_it_is(relay: Relay, model: str) -> None:
    event = relay.stage_change(f"unknown-{model}", "17")
    relay.ended(event)
    row = relay.table("steps").get_entity(event, "event")
    assert (row["source"], row["type"]) == ("wine-dev", "model_version.stage_changed")
    assert (row["model"], row["version"]) == (f"unknown-{model}", "17")


def test_a_delivery_that_comes_again_changes_nothing(relay: Relay, model: str) -> None:
    body = sender.databricks_stage_change(f"release-{model}", "1", "Production")
    event = delivered(relay, body)
    relay.ended(event)
    before = rows(relay, event)
    assert delivered(relay, body) == event
    until(lambda: relay.queued("events") == 0)
    assert rows(relay, event) == before


def test_a_message_that_comes_again_while_its_steps_are_under_way_changes_nothing(relay: Relay, model: str) -> None:
    relay.system.chat.faults.add("POST", "^/slack/", slow=1.0)
    event = relay.comment(f"slack-{model}", "hello")
    story = until(lambda: relay.story(event))
    for _ in range(5):
        relay.queue("events").send_message(encode(EventMessage(event=story.event)))
    assert relay.ended(event).steps["tell-slack.slack"].state is State.SUCCEEDED
    before = rows(relay, event)
    until(lambda: relay.queued("events") == 0)
    assert sum(1 for message in relay.system.chat.messages if model in message.text) == 1
    assert rows(relay, event) == before


@pytest.mark.parametrize("character", ["x", "ü", "🍷", '"'])
@pytest.mark.parametrize("size", [100, 7_000, 12_000, 14_500, 40_000, 900_000])
def test_an_event_of_any_size_arrives_whole(relay: Relay, model: str, size: int, character: str) -> None:
    text = character * (size // len(json.dumps(character, ensure_ascii=False).encode()))
    body = comment(f"large-{model}", text)
    story: Story = relay.ended(delivered(relay, body))
    assert story.event.payload.encode() == body
    assert story.event.comment == text


@pytest.mark.parametrize("size", [40_000, 900_000])
def test_the_steps_of_a_large_event_see_it_whole(relay: Relay, model: str, size: int) -> None:
    event = delivered(relay, comment(f"slack-{model}", "x" * size))
    assert relay.ended(event).steps["tell-slack.slack"].state is State.SUCCEEDED
    [message] = [each for each in relay.system.chat.messages if model in each.text]
    assert message.text.startswith(f"slack-{model}: xxxx")
    assert len(message.text) > 20_000


def test_an_event_with_a_very_long_model_name_is_kept(relay: Relay, model: str) -> None:
    story = relay.ended(relay.comment(f"large-{model}" + "m" * 20_000, "hello"))
    assert len(story.event.model) > 20_000


def test_all_routes_that_match_start_and_those_that_do_not_stay_out(relay: Relay, model: str) -> None:
    story = relay.ended(relay.stage_change(f"pair-{model}"))
    assert set(story.routes) == {"slow-of-a-pair", "quick-of-a-pair"}
    assert {step.id for step in story.steps.values()} == {
        "slow-of-a-pair.azure_devops_release",
        "quick-of-a-pair.slack",
    }


def test_events_are_routed_while_slow_targets_hold_as_many_hands_as_they_may(own_system: System, model: str) -> None:
    relay = Relay(own_system, own_system.worker(IMPATIENT))
    relay.comment(f"slack-{model}", "the first, for which secrets are fetched")
    taken = until(lambda: len(own_system.chat.messages))
    own_system.chat.faults.add("POST", "^/slack/", times=None, slow=5.0)
    for number in range(30):  # a worker has 24 messages of a queue in hand
        relay.comment(f"slack-{model}-{number}", "hello")
    until(lambda: len(own_system.chat.faults.calls("POST")) >= taken + 16)
    event = relay.comment(f"unknown-{model}", "hello")
    until(lambda: rows(relay, event))
    assert len(own_system.chat.messages) == taken, "it waited for slow targets"
