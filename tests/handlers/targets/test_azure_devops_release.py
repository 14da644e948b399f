"""Releases: one for each event, whatever happens on the way."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests

from local import sender
from local.azure_devops_release_model import Release
from local.azure_devops_wire import SIGN_IN_PAGE, error_body
from local.faults import Call
from shared.steps import State, Step
from tests.conftest import Relay, until

RELEASES = "(?i)/_apis/release/releases$"
ONE_RELEASE = r"(?i)/_apis/release/releases/\d+$"
STEP = "release.azure_devops_release"


def starts(relay: Relay, model: str) -> int:
    return sum(1 for start in relay.system.devops.starts if model in f"{start.description} {start.variables}")


def releases(relay: Relay, model: str) -> list[Release]:
    """All that were created for the model, drafts too."""
    return [each for each in relay.system.devops.releases.values() if model in each.description]


def creations(relay: Relay, model: str) -> list[Call]:
    return [call for call in relay.system.devops.faults.calls("POST", RELEASES) if model in str(call.body)]


def messages(relay: Relay, model: str) -> list[str]:
    return [message.text for message in relay.system.chat.messages if model in message.text]


def the_step(relay: Relay, event: str, name: str = STEP) -> Step:
    return relay.ended(event).steps[name]


def states(step: Step) -> list[State]:
    """The states in their order, each one's repetitions left out."""
    found = [moment.state for moment in step.history]
    return [state for index, state in enumerate(found) if index == 0 or found[index - 1] is not state]


def notes(step: Step) -> str:
    return "\n".join(moment.note for moment in step.history)


def test_a_stage_change_becomes_one_active_release_with_its_variables_and_a_link(relay: Relay, model: str) -> None:
    event = relay.stage_change(f"release-{model}", "7")
    step = the_step(relay, event)
    assert step.state is State.SUCCEEDED
    assert step.link.startswith(relay.system.devops.url)
    release = relay.system.devops.releases[int(step.ref)]
    assert release.status == "active"
    assert release.variables == {"modelName": {"value": f"release-{model}"}, "modelVersion": {"value": "7"}}
    assert release.name in step.outcome
    assert starts(relay, model) == 1


def test_a_release_is_started_with_a_personal_access_token_where_the_route_says_so(relay: Relay, model: str) -> None:
    step = the_step(relay, relay.stage_change(f"pat-{model}"), "release-by-pat.azure_devops_release")
    assert step.state is State.SUCCEEDED
    assert [call.headers["Authorization"] for call in creations(relay, model)] == ["Basic"]
    assert starts(relay, model) == 1


@pytest.mark.parametrize(
    "loss",
    [
        {"status": 500, "body": error_body("VssServiceException", "something broke")},
        {"drop": True},
        {"status": 200, "body": {}},
        {"status": 200, "body": '{"id": 1', "headers": {"Content-Type": "application/json"}},
        {"status": 200, "body": {"id": "one"}},
        {"status": 200, "body": "<html>a proxy's own page</html>"},
    ],
    ids=["500", "dropped", "an empty object", "half an answer", "no number", "a page"],
)
def test_a_draft_whose_reply_was_lost_is_found_by_its_marker_and_used(
    relay: Relay, model: str, loss: dict[str, Any]
) -> None:
    relay.system.devops.faults.add("POST", RELEASES, before=False, **loss)
    step = the_step(relay, relay.stage_change(f"release-{model}"))
    assert step.state is State.SUCCEEDED
    assert State.IN_DOUBT in states(step)
    assert [release.status for release in releases(relay, model)] == ["active"]
    assert starts(relay, model) == 1


def test_a_draft_that_the_list_shows_late_is_found_on_the_second_look(relay: Relay, model: str) -> None:
    relay.system.devops.faults.add("POST", RELEASES, before=False, status=500)
    relay.system.devops.list_lag_seconds = 0.7
    try:
        step = the_step(relay, relay.stage_change(f"release-{model}"))
    finally:
        relay.system.devops.list_lag_seconds = 0.0
    assert step.state is State.SUCCEEDED
    assert [release.status for release in releases(relay, model)] == ["active"]


@pytest.mark.parametrize(
    "loss",
    [{"status": 500}, {"drop": True}, {"status": 200, "body": {}}],
    ids=["500", "dropped", "an empty object"],
)
@pytest.mark.parametrize("before", [False, True], ids=["after it was done", "before it was done"])
def test_a_release_whose_activation_is_lost_becomes_active_once(
    relay: Relay, model: str, loss: dict[str, Any], before: bool
) -> None:
    relay.system.devops.faults.add("PATCH", ONE_RELEASE, before=before, **loss)
    step = the_step(relay, relay.stage_change(f"release-{model}"))
    assert step.state is State.SUCCEEDED
    assert [release.status for release in releases(relay, model)] == ["active"]
    assert starts(relay, model) == 1


def test_a_throttled_release_is_tried_again_when_the_service_said_and_not_before(relay: Relay, model: str) -> None:
    throttled = error_body("RequestBlockedException", "TF400733: The request has been canceled: slow down.")
    relay.system.devops.faults.add("POST", RELEASES, status=429, headers={"Retry-After": "3"}, body=throttled)
    step = the_step(relay, relay.stage_change(f"release-{model}"))
    assert step.state is State.SUCCEEDED
    assert step.attempts == 2
    assert "slow down" in notes(step)
    first, second = creations(relay, model)
    assert second.time - first.time >= 3
    assert starts(relay, model) == 1


@pytest.mark.parametrize("loss", [{"status": 503}, {"drop": True}], ids=["503", "dropped"])
def test_a_release_that_was_not_made_is_looked_for_twice_and_then_made(
    relay: Relay, model: str, loss: dict[str, Any]
) -> None:
    relay.system.devops.faults.add("POST", RELEASES, **loss)
    event = relay.stage_change(f"release-{model}")
    step = the_step(relay, event)
    assert states(step) == [State.READY, State.RUNNING, State.IN_DOUBT, State.RUNNING, State.SUCCEEDED]
    first, second = creations(relay, model)
    looks = relay.system.devops.faults.calls("GET", RELEASES)
    assert sum(1 for look in looks if first.time <= look.time <= second.time) == 2
    assert [release.status for release in releases(relay, model)] == ["active"]
    assert starts(relay, model) == 1


def test_nothing_is_started_anew_while_the_service_can_not_be_asked_what_became_of_the_first(
    relay: Relay, model: str
) -> None:
    relay.system.devops.faults.add("POST", RELEASES, before=False, status=500)
    relay.system.devops.faults.add("GET", RELEASES, status=503)
    step = the_step(relay, relay.stage_change(f"release-{model}"))
    assert step.state is State.SUCCEEDED
    assert "could not ask" in notes(step)
    assert len(releases(relay, model)) == 1
    assert starts(relay, model) == 1


@pytest.mark.parametrize(
    "refusal",
    [
        {"status": 203, "body": SIGN_IN_PAGE},
        {"status": 302, "headers": {"Location": "/_signin"}},
        {"status": 401},
        {"status": 403, "body": error_body("AccessDeniedException", "VS402904: Access denied: the app needs more.")},
    ],
    ids=["203 with the sign-in page", "302", "401", "403"],
)
def test_refused_credentials_end_the_step_at_once_and_are_told(
    relay: Relay, model: str, refusal: dict[str, Any]
) -> None:
    relay.system.devops.faults.add("POST", RELEASES, **refusal)
    event = relay.stage_change(f"release-{model}")
    step = the_step(relay, event)
    assert step.state is State.DEAD
    assert "did not accept the credentials" in step.reason
    assert str(refusal["status"]) in step.reason
    assert step.attempts == 1
    assert len(creations(relay, model)) == 1
    assert messages(relay, model) == [f"release-{model}: release failed at azure_devops_release: {step.reason}"]
    assert the_step(relay, event, "release.on_failure.slack").state is State.SUCCEEDED


@pytest.mark.parametrize("way", ["203", "302", "401"])
def test_a_revoked_token_ends_the_step_at_once_and_is_told(
    relay: Relay, model: str, way: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay.system.vault.set("revoked-pat", "a-token-that-nobody-knows-any-more")
    monkeypatch.setattr(relay.system.devops, "bad_auth", way)
    step = the_step(relay, relay.stage_change(f"revoked-{model}"), "release-by-revoked-pat.azure_devops_release")
    assert step.state is State.DEAD
    assert "did not accept the credentials" in step.reason
    assert step.attempts <= 1
    assert "any-more" not in str(step)
    [told] = messages(relay, model)
    assert "did not accept the credentials" in told


def test_an_unknown_release_definition_ends_the_step_with_the_services_own_words(relay: Relay, model: str) -> None:
    step = the_step(relay, relay.stage_change(f"nothing-{model}"), "release-of-nothing.azure_devops_release")
    assert step.state is State.DEAD
    assert "404" in step.reason
    assert "VS402857: Release definition with ID 999 does not exist." in step.reason
    assert step.attempts == 1


@pytest.mark.parametrize(
    ("name", "character"),
    [
        ("; rm -rf /", "';'"),
        ("$(x)", "'$'"),
        ("a`b", "'`'"),
        ("a\nb", r"'\n'"),
        ("a\u202eb", r"'\u202e'"),
        ('"', "'\"'"),
    ],
)
def test_a_hostile_model_name_never_reaches_azure_devops(relay: Relay, model: str, name: str, character: str) -> None:
    step = the_step(relay, relay.stage_change(f"release-{model}{name}"))
    assert step.state is State.DEAD
    assert f"holds {character}" in step.reason
    assert not creations(relay, model)
    assert not releases(relay, model)
    [told] = messages(relay, model)
    assert f"holds {character}" in told


@pytest.mark.parametrize("version", ["$(x)", "1 && reboot", "-1"])
def test_a_hostile_version_never_reaches_azure_devops(relay: Relay, model: str, version: str) -> None:
    step = the_step(relay, relay.stage_change(f"release-{model}", version))
    assert step.state is State.DEAD
    assert not creations(relay, model)


def test_two_webhooks_and_both_names_of_one_act_start_one_release(relay: Relay, model: str) -> None:
    body = sender.databricks_stage_change(f"release-{model}", "1", "Production")
    others = [
        {**body, "webhook_id": "another-webhook"},
        {**body, "event": "MODEL_VERSION_TRANSITIONED_TO_PRODUCTION"},
        body,
    ]
    replies = [relay.databricks(each) for each in (body, *others)]
    assert [reply.status_code for reply in replies] == [202] * 4
    [event] = {reply.json()["event"] for reply in replies}
    until(lambda: relay.queued("events") == 0)
    assert the_step(relay, event).state is State.SUCCEEDED
    assert len(creations(relay, model)) == 1
    assert starts(relay, model) == 1


def test_the_same_stage_reached_again_later_is_another_release(relay: Relay, model: str) -> None:
    first = relay.stage_change(f"release-{model}")
    time.sleep(0.002)  # the sender's clock counts milliseconds
    second = relay.stage_change(f"release-{model}")
    assert the_step(relay, first).ref != the_step(relay, second).ref
    assert starts(relay, model) == 2


def test_a_draft_that_a_stopped_worker_left_behind_is_abandoned_and_no_other(relay: Relay, model: str) -> None:
    event = relay.stage_change(f"release-{model}")
    live = int(the_step(relay, event).ref)
    behind = draft(relay, model, f"{event}/{STEP}")
    others = [draft(relay, model, step) for step in ("an-event-of-another-relay/a.step", "")]
    relay.prune()
    all_releases = relay.system.devops.releases
    until(lambda: all_releases[behind].status == "abandoned")
    assert all_releases[live].status == "active"
    assert [all_releases[other].status for other in others] == ["draft", "draft"]


def draft(relay: Relay, model: str, step: str) -> int:
    """Make a draft as a worker does that dies before it records it."""
    properties = {"registry-relay.marker": "m" * 32, **({"registry-relay.step": step} if step else {})}
    body = {"definitionId": 12, "description": model, "isDraft": True, "reason": "none", "properties": properties}
    url = f"{relay.system.devops.url}/vsrm/ml-governance/ML Governance V2/_apis/release/releases?api-version=7.1"
    reply = requests.post(url, json=body, auth=("", "a-personal-access-token-of-a-test"), timeout=30)
    assert reply.ok, reply.text
    return int(reply.json()["id"])
