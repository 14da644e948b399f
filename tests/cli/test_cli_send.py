"""`send`: the running app takes every event that Databricks and MLflow send; secrets stay off the command line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cli.samples import EVENTS
from shared.routes import EVENT_TYPES
from tests.cli.terminal import run
from tests.conftest import Relay

SOURCES = {"databricks": "wine-dev", "mlflow": "models", "databricks_jobs": "jobs"}
SECRETS = {"databricks": "wine-dev-webhook", "mlflow": "models-webhook", "databricks_jobs": "jobs-user"}
THE_TWELVE = {
    "MODEL_VERSION_CREATED",
    "MODEL_VERSION_TRANSITIONED_STAGE",
    "TRANSITION_REQUEST_CREATED",
    "COMMENT_CREATED",
    "REGISTERED_MODEL_CREATED",
    "MODEL_VERSION_TAG_SET",
    "MODEL_VERSION_TRANSITIONED_TO_STAGING",
    "MODEL_VERSION_TRANSITIONED_TO_PRODUCTION",
    "MODEL_VERSION_TRANSITIONED_TO_ARCHIVED",
    "TRANSITION_REQUEST_TO_STAGING_CREATED",
    "TRANSITION_REQUEST_TO_PRODUCTION_CREATED",
    "TRANSITION_REQUEST_TO_ARCHIVED_CREATED",
}
ONLY_DATABRICKS = {"model_version.stage_changed", "transition_request.created", "comment.created"}


def answer(out: str) -> Any:
    return json.loads(out.split("\n", 1)[1])


def test_the_list_has_each_event_of_each_sender() -> None:
    listed = [line.split() for line in run("send", "--list").out.splitlines()]
    by_kind = {kind: {name for each, name in listed if each == kind} for kind in SOURCES}
    assert by_kind["databricks"] == THE_TWELVE
    assert by_kind["mlflow"] == {
        name for name in EVENT_TYPES if not name.startswith("job.") and name not in ONLY_DATABRICKS
    }
    assert by_kind["databricks_jobs"] == {"jobs.on_start", "jobs.on_success", "jobs.on_failure"}


@pytest.mark.parametrize("name", EVENTS)
def test_the_app_takes_each_sample_as_a_real_event_of_a_known_type(relay: Relay, model: str, name: str) -> None:
    kind = EVENTS[name][0]
    secret = relay.system.secret(SECRETS[kind])
    words = ("--source", SOURCES[kind], "--model", f"sample-{model}", "--alias", "sample")
    found = run("send", "--type", name, *words, stdin=f"{secret}\n", relay=relay)
    assert (found.status, found.out.splitlines()[0], found.err) == (0, "202 Accepted", "")
    reply = answer(found.out)
    assert "test" not in reply
    story = relay.ended(reply["event"])
    assert story.event.type in EVENT_TYPES
    assert secret not in found.out + story.event.payload


def test_the_words_of_the_command_are_what_the_event_tells(relay: Relay, model: str) -> None:
    secret = relay.system.secret("wine-dev-webhook")
    words = ("--model", f"sample-{model}", "--version", "7", "--from", "None", "--to", "Staging")
    url = relay.url("wine-dev")
    found = run("send", "--type", "MODEL_VERSION_TRANSITIONED_STAGE", *words, "--to-url", url, stdin=secret)
    event = relay.ended(answer(found.out)["event"]).event
    assert (event.model, event.version, event.from_stage, event.to_stage) == (
        f"sample-{model}",
        "7",
        "None",
        "Staging",
    )


def test_the_secret_comes_from_the_key_vault_by_its_name(relay: Relay, model: str) -> None:
    words = ("send", "--type", "MODEL_VERSION_TAG_SET", "--source", "guarded", "--model", f"sample-{model}")
    by_name = (*words, "--secret-name", "wine-dev-webhook", "--tag", "approved=a=b")
    vault = {"KEY_VAULT_URL": relay.system.vault.url, "REQUESTS_CA_BUNDLE": certificate_of(relay)}
    found = run(*by_name, relay=relay, **vault)
    assert (found.status, found.out.splitlines()[0]) == (1, "401 Unauthorized")
    found = run(*by_name, "--authorization-secret-name", "guarded-authorization", relay=relay, **vault)
    assert (found.status, found.err) == (0, "")
    assert relay.ended(answer(found.out)["event"]).event.tags == {"approved": "a=b"}
    found = run(*words, "--secret-name", "no-such-secret", relay=relay, **vault)
    assert found.status == 1
    assert "no-such-secret" in found.err


def certificate_of(relay: Relay) -> str:
    return relay.system.environment()["REQUESTS_CA_BUNDLE"]


@pytest.mark.parametrize("name", ["COMMENT_CREATED", "model_version.created", "jobs.on_failure"])
def test_a_wrong_secret_is_answered_401_and_ends_with_status_1(relay: Relay, name: str) -> None:
    source = SOURCES[EVENTS[name][0]]
    found = run("send", "--type", name, "--source", source, stdin="wrong, but long enough\n", relay=relay)
    assert (found.status, found.out.splitlines()[0]) == (1, "401 Unauthorized")
    assert answer(found.out) == {"error": "unauthorized"}


def test_a_body_may_be_printed_instead(relay: Relay) -> None:
    found = run("send", "--type", "model_version_alias.created", "--print", "--alias", "champion")
    assert json.loads(found.out)["data"] == {"name": "wine_quality", "alias": "champion", "version": "1"}


@pytest.mark.parametrize(
    "words",
    [
        ("--type", "COMMENT_CREATED"),
        ("--type", "COMMENT_CREATED", "--source", "a", "--to-url", "https://example.com"),
        ("--type", "COMMENT_CREATED", "--source", "a"),
        ("--type", "COMMENT_CREATED", "--to-url", "http://example.com/api/webhooks/x"),
        ("--type", "COMMENT_CREATED", "--to-url", "file:///etc/passwd"),
        ("--type", "COMENT_CREATED", "--to-url", "https://example.com"),
        ("--type", "MODEL_VERSION_TAG_SET", "--tag", "novalue", "--to-url", "https://example.com"),
        ("--type", "COMMENT_CREATED", "--to-url", "https://example.com", "--secret-name", "a-name"),
        ("--type", "COMMENT_CREATED", "--to-url", "https://example.com", "--secret", "on-the-command-line"),
        (),
    ],
)
def test_wrong_usage_sends_nothing_and_ends_with_status_2(words: tuple[str, ...]) -> None:
    found = run("send", *words, stdin="\n", KEY_VAULT_URL="")
    assert found.status == 2
    assert found.err


def test_no_secret_at_all_is_wrong_usage(relay: Relay) -> None:
    assert run("send", "--type", "COMMENT_CREATED", "--source", "wine-dev", relay=relay).status == 2


def test_an_address_at_which_nobody_listens_ends_with_status_1() -> None:
    found = run("send", "--type", "COMMENT_CREATED", "--to-url", "http://127.0.0.1:1/x", stdin="a secret\n")
    assert found.status == 1
    assert "ConnectionError" in found.err


def test_a_redirect_is_shown_and_not_followed(relay: Relay) -> None:
    relay.system.receiver.faults.add("POST", "/moved", status=302, headers={"Location": "/elsewhere"})
    url = f"{relay.system.receiver.url}/moved"
    found = run("send", "--type", "COMMENT_CREATED", "--to-url", url, stdin="a secret\n")
    assert (found.status, found.out.split()[0]) == (1, "302")
    assert not [each for each in relay.system.receiver.received if each.name == "elsewhere"]


@pytest.mark.parametrize("hostile", ["[red]x[/]", "a\x1b[31mb", "'; drop", "🍷", "x" * 300, "{{7*7}}"])
def test_hostile_words_travel_as_they_are(relay: Relay, model: str, hostile: str) -> None:
    secret = relay.system.secret("wine-dev-webhook")
    words = ("--model", f"sample-{model}", "--comment", hostile, "--source", "wine-dev")
    found = run("send", "--type", "COMMENT_CREATED", *words, stdin=secret, relay=relay)
    assert found.status == 0
    event = answer(found.out)["event"]
    assert relay.ended(event).event.comment == hostile
    shown = run("events", "show", event, relay=relay)
    assert shown.status == 0
    assert "\x1b" not in shown.out
