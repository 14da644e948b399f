"""What the tests of targets that act on a registry have in common: somebody's comment starts them, events come back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from local import sender
from local.databricks import Databricks
from shared import recent
from shared.attempts import Caused
from shared.loops import echo_key
from shared.messages import Event
from shared.steps import State, Step
from tests.conftest import Relay, until

LOSSES: list[dict[str, Any]] = [{"status": 500}, {"drop": True}]
LOSS_NAMES = ["500", "dropped"]
EVENTS = [
    "MODEL_VERSION_CREATED",
    "MODEL_VERSION_TRANSITIONED_STAGE",
    "TRANSITION_REQUEST_CREATED",
    "COMMENT_CREATED",
    "MODEL_VERSION_TAG_SET",
]


def commented(relay: Relay, model: str, comment: str = "please", version: str = "1") -> Step:
    """Tell of a comment on a model of the workspace; return the step that it started, once it has ended."""
    body = sender.databricks_comment(model, comment, version)
    return ended(relay, relay.databricks(body, "governed").json()["event"])


def staged(relay: Relay, model: str) -> Step:
    """Tell of a stage change of a model of the workspace; return the step that it started, once it has ended."""
    body = sender.databricks_stage_change(model, "1", "Staging", "None")
    return ended(relay, relay.databricks(body, "governed").json()["event"])


def ended(relay: Relay, event: str) -> Step:
    """Return the only step of an event."""
    [step] = relay.ended(event).steps.values()
    return step


def states(step: Step) -> list[State]:
    """The states in their order, each one's repetitions left out."""
    found = [moment.state for moment in step.history]
    return [state for index, state in enumerate(found) if index == 0 or found[index - 1] is not state]


def listen(relay: Relay, databricks: Databricks, model: str) -> None:
    """Let the workspace tell the relay of all that happens to a model."""
    databricks.add_webhook(relay.url("governed"), relay.system.secret("wine-dev-webhook"), EVENTS, model=model)


def heard(relay: Relay, model: str, type: str) -> Event:
    """Return the event of a type that the relay was told of about a model, once it was."""

    def look() -> Event | None:
        now = datetime.now(UTC)
        stories = map(relay.story, recent.event_ids(now - timedelta(minutes=2), now, 10_000))
        events = [story.event for story in stories if story]
        return next((event for event in events if event.model == model and event.type == type), None)

    return until(look)


def agree(caused: Caused, event: Event) -> bool:
    """Tell whether the relay knows the event as the one that a step was about to cause."""
    return echo_key("here", caused) == echo_key("here", event)
