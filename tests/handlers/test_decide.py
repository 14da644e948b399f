"""Loops: our own acts are known for such, a loop ends after its rounds, and a budget stops what nobody foresaw."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local import sender
from shared.steps import State
from shared.stories import Story
from tests.conftest import Relay, until

EVENTS = ["MODEL_VERSION_TRANSITIONED_STAGE", "MODEL_VERSION_TAG_SET", "COMMENT_CREATED"]


@pytest.fixture
def webhook(relay: Relay) -> Iterator[None]:
    """The registry tells the app of all that happens in it."""
    secret = relay.system.secret("wine-dev-webhook")
    made = relay.system.databricks.add_webhook(relay.url("governed"), secret, EVENTS)
    yield
    del relay.system.databricks.webhooks[made.id]


def stories(relay: Relay, model: str) -> list[Story]:
    """All that the ledger has of the model, oldest first."""
    found = [story for event in relay.events() if (story := relay.story(event)) and story.event.model == model]
    return sorted(found, key=lambda story: story.event.timestamp)


def quiet(relay: Relay, model: str, count: int) -> list[Story]:
    """The stories once there are so many, and all have ended."""

    def look() -> list[Story]:
        found = stories(relay, model)
        return found if len(found) >= count and all(story.has_ended for story in found) else []

    return until(look)


@pytest.mark.usefixtures("webhook")
def test_a_loop_ends_after_its_rounds_and_its_story_says_why(relay: Relay, model: str) -> None:
    name, registry = f"loop-{model}", relay.system.databricks
    registry.add_version(name)
    registry.transition(name, "1", "Staging")  # by a person
    told = quiet(relay, name, 5)
    assert [list(story.routes) for story in told] == [["loop-up"], ["loop-down"], ["loop-up"], ["loop-down"], []]
    assert [story.chain for story in told[:3]] == [(), ("loop-up",), ("loop-up", "loop-down")]
    way = "loop-up -> loop-down -> loop-up -> loop-down"
    before = told[3].event.id
    assert told[4].skipped == {"loop-up": f"its own doing: {way} has caused this event (event {before})"}
    assert len(registry.acts_of(name, "MODEL_VERSION_TRANSITIONED_STAGE")) == 5


@pytest.mark.usefixtures("webhook")
def test_a_person_who_does_the_same_later_is_not_taken_for_an_echo(relay: Relay, model: str) -> None:
    name, registry = f"loop-{model}", relay.system.databricks
    registry.add_version(name)
    registry.transition(name, "1", "Staging")
    quiet(relay, name, 5)
    registry.transition(name, "1", "Production")
    told = quiet(relay, name, 6)
    assert told[5].cause is None
    assert "loop-down" in told[5].routes


@pytest.mark.usefixtures("webhook")
def test_the_state_of_a_route_is_written_to_the_version_and_starts_nothing(relay: Relay, model: str) -> None:
    name, registry = f"status-{model}", relay.system.databricks
    version = registry.add_version(name)
    relay.system.devops.run_seconds = 1.5
    try:
        registry.transition(name, "1", "Staging")
        until(lambda: version.tags.get("relay.writes-status", "").startswith("running"))
        until(lambda: version.tags.get("relay.writes-status", "").startswith("succeeded"))
    finally:
        relay.system.devops.run_seconds = 0.5
    (start,) = [start for start in relay.system.devops.starts if start.parameters.get("model_name") == name]
    assert version.tags["relay.writes-status"].startswith(f"succeeded {relay.system.devops.url}")
    assert str(start.id) in version.tags["relay.writes-status"]
    told = quiet(relay, name, 3)
    assert [story.skipped for story in told[1:]] == [{"listens-to-tags": "the relay's own status, written back"}] * 2
    assert not [message for message in relay.system.chat.messages if f"{name} was tagged" in message.text]


@pytest.mark.usefixtures("webhook")
def test_a_failure_is_written_to_the_version_with_its_reason(relay: Relay, model: str) -> None:
    name, registry = f"status-{model}", relay.system.databricks
    version = registry.add_version(name)
    relay.system.devops.faults.add("POST", "(?i)/runs$", status=400, body={"message": "no such branch"})
    registry.transition(name, "1", "Staging")
    until(lambda: version.tags.get("relay.writes-status", "").startswith("dead: "))
    assert "no such branch" in version.tags["relay.writes-status"]


def test_a_model_version_that_has_used_up_its_budget_parks_the_rest(relay: Relay, model: str) -> None:
    told = [relay.ended(event) for event in [relay.comment(f"slack-{model}", str(number)) for number in range(40)]]
    told += [relay.ended(event) for event in [relay.comment(f"slack-{model}", str(number)) for number in (40, 41)]]
    parked = [story for story in told if story.steps["tell-slack.slack"].state is State.PARKED]
    assert parked == told[40:], "the budget is 40"
    reason = parked[0].steps["tell-slack.slack"].reason
    assert reason.startswith(f"slack-{model} 1 has started 4")
    assert reason.endswith("routes in 24 h: more than the budget of 40")
    sent = [message for message in relay.system.chat.messages if f"slack-{model}:" in message.text]
    assert len(sent) == 40
    other = relay.stage_change(f"pair-{model}")
    assert relay.ended(other).steps["quick-of-a-pair.slack"].state is State.SUCCEEDED, "other versions go on"


def test_an_event_told_twice_is_counted_once(relay: Relay, model: str) -> None:
    body = sender.databricks_stage_change(f"pair-{model}", "1", "Production")
    for _ in range(30):
        event = str(relay.databricks(body).json()["event"])
    assert relay.ended(event).steps["quick-of-a-pair.slack"].state is State.SUCCEEDED
    later = relay.stage_change(f"pair-{model}")
    assert relay.ended(later).steps["quick-of-a-pair.slack"].state is State.SUCCEEDED
