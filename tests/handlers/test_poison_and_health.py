"""What operators see: messages that nothing could take, and the health page with its reasons."""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.core.exceptions import ResourceNotFoundError

from local.ports import free_port
from local.system import System
from local.worker import Host
from shared import poison
from shared.messages import Event, EventMessage, StepMessage, encode
from shared.steps import State, Step
from tests.conftest import DEAF, IMPATIENT, Relay, until

SLACK = "^/slack/"
STEP = "tell-slack.slack"


def kept(relay: Relay, queue: str, message: str) -> dict[str, Any] | None:
    key = hashlib.sha256(message.encode()).hexdigest()
    try:
        return dict(relay.table("poison").get_entity(queue, key))
    except ResourceNotFoundError:
        return None


def step_of(relay: Relay, event: str, state: State) -> Step | None:
    """The event's step once it is in the state."""
    story = relay.story(event)
    step = story.steps.get(STEP) if story else None
    return step if step and step.state is state else None


def health(worker: Host) -> tuple[int, dict[str, Any]]:
    reply = requests.get(f"{worker.url}/api/health", timeout=60)
    body: dict[str, Any] = reply.json()
    return reply.status_code, body


def problems(system: System, **settings: str) -> list[str]:
    """What the health page of a worker with these settings complains of."""
    status, body = health(system.worker({**IMPATIENT, **DEAF, **settings}))
    assert (status, body["status"]) == (503, "red")
    found: list[str] = body["problems"]
    return found


# Messages that nothing could take


@pytest.mark.parametrize(
    ("queue", "text"),
    [
        ("events", "this is no event: {model}"),
        ("events", 'relay {{"event": {{"id": 5, "model": "{model}"}}}}'),
        ("steps", "this is no pointer: {model} <ü🍷>"),
        ("steps", 'relay {{"event_key": "{model}"}}'),
        ("steps", 'relay {{"event_key": "{model}", "step": "tell-slack.slack"}}'),
    ],
)
def test_a_message_that_nothing_could_take_is_kept_with_its_reason(
    relay: Relay, model: str, queue: str, text: str
) -> None:
    message = text.format(model=model)
    relay.queue(f"{queue}-poison").send_message(message)
    row = until(lambda: kept(relay, queue, message))
    assert row["message"] == message
    assert ("DecodeError" if queue == "events" else "gave up") in row["reason"].replace(
        "ValidationError", "DecodeError"
    )
    assert row["at"]
    until(lambda: relay.queued(f"{queue}-poison") == 0)


def event_message(model: str) -> tuple[str, str]:
    """The message of an event that no function was given, as the queue `events` would hold it, and the event's id."""
    now = time.time()
    id = hashlib.sha256(model.encode()).hexdigest()
    event = Event(
        id=id,
        source="wine-dev",
        type="comment.created",
        delivery="d",
        timestamp=int(now * 1000),
        received=now,
        model=f"slack-{model}",
        version="1",
        comment="hello",
    )
    return encode(EventMessage(event=event)), id


def test_an_event_whose_message_was_given_up_is_routed_all_the_same(relay: Relay, model: str) -> None:
    """Workers may have died with it in hand five times for reasons of their own."""
    message, event = event_message(model)
    relay.queue("events-poison").send_message(message)
    story = until(lambda: relay.story(event))
    assert relay.ended(event).steps[STEP].state is State.SUCCEEDED
    assert story.event.model == f"slack-{model}"
    assert kept(relay, "events", message) is None


def test_an_event_that_was_kept_as_poison_is_routed_by_a_replay(relay: Relay, model: str) -> None:
    message, event = event_message(model)
    since = datetime.now(UTC)
    rubbish = f"this is no event: {model}"
    for text in (message, rubbish):
        key = hashlib.sha256(text.encode()).hexdigest()
        poison.keep("events", key, text, "a fault that has been mended", since)
    headers = {"x-functions-key": relay.system.function_key}
    url = f"{relay.worker.url}/api/replay"
    reply = requests.post(url, json={"since": since.isoformat(), "states": ["parked"]}, headers=headers, timeout=60)
    assert reply.json()["requeued"] == 1
    until(lambda: relay.story(event))
    assert relay.ended(event).steps[STEP].state is State.SUCCEEDED
    assert kept(relay, "events", message) is None
    assert kept(relay, "events", rubbish) is not None, "it would only turn to poison again"


def test_the_same_poison_twice_is_kept_once(relay: Relay, model: str) -> None:
    message = f"this is no event: {model}"
    for _ in range(2):
        relay.queue("events-poison").send_message(message)
    until(lambda: kept(relay, "events", message))
    until(lambda: relay.queued("events-poison") == 0)
    rows = relay.table("poison").query_entities("message eq @text", parameters={"text": message})
    assert len(list(rows)) == 1


def test_a_pointer_that_nothing_could_take_counts_as_a_failed_attempt_of_its_step(relay: Relay, model: str) -> None:
    relay.system.chat.faults.add("POST", SLACK, status=429, headers={"Retry-After": "600"})
    event = relay.comment(f"slack-{model}", "hello")
    step = until(lambda: step_of(relay, event, State.RETRY))
    message = encode(StepMessage(event_key=event, step=step.id))
    relay.queue("steps-poison").send_message(message)

    def counted_again() -> Step | None:
        found = step_of(relay, event, State.RETRY)
        return found if found and found.attempts == 2 else None

    counted = until(counted_again)
    assert "the host gave up on its message" in counted.reason
    assert counted.due >= step.due - timedelta(seconds=1), "what Slack asked for is not cut short"
    assert kept(relay, "steps", message) is None


def test_a_step_whose_pointers_all_turn_to_poison_dies_and_says_why(relay: Relay, model: str) -> None:
    relay.system.chat.faults.add("POST", SLACK, times=None, status=429, headers={"Retry-After": "600"})
    event = relay.comment(f"slack-{model}", "hello")

    def poisoned_to_death() -> Step | None:
        waiting = step_of(relay, event, State.RETRY)
        if waiting and relay.queued("steps-poison") == 0:
            relay.queue("steps-poison").send_message(encode(StepMessage(event_key=event, step=waiting.id)))
        return step_of(relay, event, State.DEAD)

    step = until(poisoned_to_death)
    assert step.reason.startswith("gave up after 4 attempts: ")
    assert not [message for message in relay.system.chat.messages if model in message.text]


def test_a_pointer_that_nothing_could_take_leaves_a_running_step_alone(relay: Relay, model: str) -> None:
    relay.system.chat.faults.add("POST", SLACK, slow=1.5)
    event = relay.comment(f"slack-{model}", "hello")
    step = until(lambda: step_of(relay, event, State.RUNNING))
    relay.queue("steps-poison").send_message(encode(StepMessage(event_key=event, step=step.id)))
    until(lambda: relay.queued("steps-poison") == 0)
    step = relay.ended(event).steps[STEP]
    assert (step.state, step.attempts) == (State.SUCCEEDED, 1)
    assert [message.text for message in relay.system.chat.messages if model in message.text] == [
        f"slack-{model}: hello"
    ]


# Health


def test_the_health_page_is_green_when_all_is_well(relay: Relay) -> None:
    assert health(relay.worker) == (200, {"status": "green", "problems": []})


def test_the_health_page_names_file_and_line_of_each_problem_with_the_routes(system: System, tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(
        "sources:\n"
        "  wine-dev: {kind: databricks, secret: wine-dev-webhook}\n"
        "routes:\n"
        "  - name: first\n"
        "    when: {event: comment.created, modle: x}\n"
        "    steps:\n"
        "      - slack: {url_secret: mlops-slack, text: hello}\n"
        "  - name: second\n"
        "    when: {event: comment.created}\n"
        "    steps:\n"
        '      - slack: {url_secret: mlops-slack, text: "{modle}"}\n'
    )
    found = problems(system, ROUTES=str(file))
    assert found[0].startswith("broken.yaml:5: routes[0].when.modle: unknown key")
    file.write_text(file.read_text().replace("modle: x", "model: x"))
    [problem] = problems(system, ROUTES=str(file))
    assert problem.startswith("broken.yaml:11: routes[1].steps[0]")
    assert "modle" in problem


def test_the_health_page_says_when_there_is_no_routes_file(system: System, tmp_path: Path) -> None:
    [problem] = problems(system, ROUTES=str(tmp_path / "absent.yaml"))
    assert "absent.yaml" in problem
    assert "can't be read" in problem


def test_the_health_page_names_each_secret_that_can_not_be_used(system: System, tmp_path: Path) -> None:
    system.vault.set("short-secret", "too-short")
    system.vault.set("empty-secret", "")
    system.vault.set("unresolved-secret", "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/s)")
    system.vault.disable("disabled-secret", system.vault.set("disabled-secret", "a-secret-of-decent-length"))
    names = ["short-secret", "empty-secret", "unresolved-secret", "disabled-secret", "absent-secret"]
    file = tmp_path / "routes.yaml"
    sources = [f"  s{number}: {{kind: databricks, secret: {name}}}\n" for number, name in enumerate(names)]
    good = "  good: {kind: databricks, secret: wine-dev-webhook, authorization_secret: short-secret}\n"
    file.write_text("".join(["sources:\n", *sources, good, "routes: []\n"]))
    found = problems(system, ROUTES=str(file))
    assert len(found) == 6
    for number, name in enumerate(names):
        assert found[number].startswith(f"source s{number}: secret '{name}' ")
    assert "16 bytes" in found[0]
    assert "empty" in found[1]
    assert "unresolved" in found[2]
    assert found[5].startswith("source good: secret 'short-secret' ")
    assert "too-short" not in str(found).replace("too short", "")


def test_the_health_page_says_when_the_vault_is_down(system: System, relay: Relay) -> None:
    assert health(relay.worker)[0] == 200
    system.vault.faults.add("*", "/secrets/", times=None, status=503)
    found = problems(system)
    assert any("Key Vault could not be asked for 'wine-dev-webhook'" in problem for problem in found)
    assert health(relay.worker)[0] == 200, "a worker that knows the secrets goes on without the vault"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KEY_VAULT_URL", ""),
        ("KEY_VAULT_URL", "http://vault.example.com"),
        ("RETRY_DELAYS", "5,soon"),
        ("STEP_LEASE_SECONDS", "0"),
    ],
)
def test_the_health_page_names_a_setting_that_makes_no_sense(system: System, name: str, value: str) -> None:
    found = problems(system, **{name: value})
    assert any(f"setting {name} " in problem for problem in found)


def test_the_health_page_says_when_the_storage_account_can_not_be_used(system: System) -> None:
    port, elsewhere = free_port(), system.azurite.connection_string
    for each in system.azurite.ports.values():
        elsewhere = elsewhere.replace(f":{each}/", f":{port}/")
    [problem] = problems(system, AzureWebJobsStorage=elsewhere)
    assert problem.startswith("the storage account can't be used: ")
    assert "AccountKey" not in problem
