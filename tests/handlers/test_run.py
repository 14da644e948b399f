"""The state machine: what a step does when its worker, its message or its target fails, and what it does to others."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from handlers.turn import Turn
from local import sender
from local.system import System
from shared import ledger
from shared.attempts import Attempt
from shared.errors import ClaimLost
from shared.messages import StepMessage, encode
from shared.steps import State, Step
from tests.conftest import IMPATIENT, Relay, until

RELEASES = "(?i)/_apis/release/releases$"
ONE_RELEASE = r"(?i)/_apis/release/releases/\d+$"
RUNS = r"/_apis/pipelines/\d+/runs$"
SLACK = "^/slack/"
RELEASE = "release.azure_devops_release"
MARKED_RUN = "run-marked.azure_devops_pipeline"
HASTY = {**IMPATIENT, "STEP_LEASE_SECONDS": "2"}
ENDED = ("succeeded", "parked", "dead")


def messages(relay: Relay, model: str) -> list[str]:
    return [message.text for message in relay.system.chat.messages if model in message.text]


def point(relay: Relay, event: str, step: str, times: int = 1) -> None:
    """Put pointers to a step on the queue, as a message that comes more than once."""
    queue = relay.queue("steps")
    for _ in range(times):
        queue.send_message(encode(StepMessage(event_key=event, step=step)))


def step_of(relay: Relay, event: str, step: str) -> Step | None:
    story = relay.story(event)
    return story.steps.get(step) if story else None


def states(row: dict[str, Any]) -> list[str]:
    """The states that a row has been in, each one's repetitions left out."""
    found = [moment["state"] for moment in json.loads(row["history"])]
    return [state for index, state in enumerate(found) if index == 0 or found[index - 1] != state]


# A worker that stands still


def test_a_worker_that_stood_still_as_it_noted_its_progress_lets_the_one_that_took_over_go_on(
    relay: Relay, model: str
) -> None:
    event = relay.stage_change(f"release-{model}")
    step = relay.ended(event).steps[RELEASE]
    now, progress = datetime.now(UTC), [{"part": 1}, {"part": 2}]

    def clock() -> datetime:
        row = ledger.read(event).steps[RELEASE]
        if row.progress.get("part") != 2:
            return now
        if row.fence == step.fence:
            ledger.change(row, State.IN_DOUBT, now, fence=row.fence + 1, progress={"part": 3})
        return now + timedelta(hours=1)

    [ready] = ledger.change(step, State.READY, now, progress={})
    turn = Turn(ledger.read(event), ready, clock)
    turn.move(State.RUNNING, due=now)
    told: list[Any] = []

    def act(attempt: Attempt) -> None:
        for part in progress:
            attempt.save(part)
            told.append(part)

    with pytest.raises(ClaimLost) as lost:
        turn.ask(act)
    assert told == progress[:1]
    assert lost.value.progress == {"part": 3}


# One route and the others


def test_a_route_that_fails_takes_nothing_from_the_other_route_of_its_event(relay: Relay, model: str) -> None:
    body = {
        "event": "MODEL_VERSION_TAG_SET",
        "event_timestamp": int(time.time() * 1000),
        "model_name": f"two-{model}",
        "version": "1",
        "tags": [{"key": "approved", "value": "true"}],
    }
    steps = relay.ended(relay.databricks(body).json()["event"]).steps
    assert steps["first-of-two.slack"].state is State.DEAD
    assert steps["second-of-two.slack"].state is State.SUCCEEDED
    assert messages(relay, model) == [f"two-{model} was approved"]


def test_a_route_whose_target_is_slow_does_not_delay_the_other(relay: Relay, model: str) -> None:
    relay.system.devops.faults.add("POST", RELEASES, hang=2.0)
    event = relay.stage_change(f"pair-{model}")
    until(lambda: messages(relay, model))
    slow = until(lambda: step_of(relay, event, "slow-of-a-pair.azure_devops_release"))
    assert slow.state not in (State.SUCCEEDED, State.DEAD)
    steps = relay.ended(event).steps.values()
    assert [step.state for step in steps] == [State.SUCCEEDED] * 2
    assert messages(relay, model) == [f"pair-{model} is on its way"]


# Giving up


def test_a_step_that_is_refused_again_and_again_is_given_up_and_says_why(relay: Relay, model: str) -> None:
    relay.system.chat.faults.add("POST", SLACK, times=None, status=429, body="rate_limited")
    step = relay.ended(relay.comment(f"slack-{model}", "hello")).steps["tell-slack.slack"]
    assert step.state is State.DEAD
    assert step.reason == "gave up after 4 attempts: Slack answered 429: rate_limited"
    assert step.attempts == 4
    assert sum(1 for call in relay.system.chat.faults.calls("POST", SLACK) if model in str(call.body)) == 4


def test_a_step_that_stays_in_doubt_again_and_again_is_given_up_and_starts_nothing(relay: Relay, model: str) -> None:
    relay.system.devops.faults.add("POST", RUNS, times=None, status=503)
    step = relay.ended(relay.stage_change(f"run-{model}")).steps["run.azure_devops_pipeline"]
    assert step.state is State.DEAD
    assert step.reason.startswith("gave up after 4 attempts: Azure DevOps answered 503")
    assert not [run for run in relay.system.devops.runs.values() if model in str(run.parameters)]


def test_a_message_about_a_failure_that_fails_itself_is_not_told_again(relay: Relay, model: str) -> None:
    relay.system.devops.faults.add("POST", RELEASES, status=401)
    relay.system.chat.faults.add("POST", SLACK, status=410, body="channel_is_archived")
    steps = relay.ended(relay.stage_change(f"release-{model}")).steps
    assert set(steps) == {RELEASE, "release.on_failure.slack"}
    assert {step.state for step in steps.values()} == {State.DEAD}
    assert messages(relay, model) == []


# Credentials


def test_a_step_waits_for_the_vault_and_for_the_identity_and_then_goes_on(own_system: System, model: str) -> None:
    relay = Relay(own_system, own_system.worker({**IMPATIENT, "RETRY_DELAYS": "2,2,2,2,2,2"}))
    relay.comment(f"unknown-{model}", "the secret of the source is read and its token is there")
    vault = own_system.vault.faults.add("*", "/secrets/mlops-slack", times=None, status=503)
    identity = own_system.identity.faults.add("*", "/msi/token", times=None, status=400, body={"statusCode": 400})
    message = relay.comment(f"slack-{model}", "hello"), "tell-slack.slack"
    release = relay.stage_change(f"release-{model}"), RELEASE
    until(lambda: relay.row(*message).get("state") == relay.row(*release).get("state") == "retry")
    assert "Key Vault could not be asked for 'mlops-slack'" in relay.row(*message)["reason"]
    assert relay.row(*release)["reason"].startswith("no token for ")
    assert not own_system.devops.faults.calls("POST")
    vault.times = identity.times = 0
    until(lambda: relay.row(*message)["state"] == relay.row(*release)["state"] == "succeeded")
    assert states(relay.row(*release)) == ["ready", "retry", "running", "succeeded"]
    assert (len(own_system.chat.messages), len(own_system.devops.starts)) == (1, 1)


def test_credentials_that_fail_are_asked_for_once_a_turn(own_system: System, model: str) -> None:
    relay = Relay(own_system, own_system.worker({**IMPATIENT, "RETRY_DELAYS": "3,300"}))
    relay.comment(f"unknown-{model}", "the secret of the source is read and its token is there")
    own_system.identity.faults.add("*", "/msi/token", times=None, status=400, body={"statusCode": 400})
    asked = len(own_system.identity.faults.calls())
    event = relay.stage_change(f"release-{model}")
    until(lambda: relay.row(event, RELEASE).get("attempts") == 1)
    with_the_event = len(own_system.identity.faults.calls()) - asked
    until(lambda: relay.row(event, RELEASE)["attempts"] == 2)
    with_a_message = len(own_system.identity.faults.calls()) - asked - with_the_event
    assert with_the_event == with_a_message > 0


# Messages that come more than once


def test_two_workers_that_get_the_same_pointers_start_nothing_twice(own_system: System, model: str) -> None:
    relay = Relay(own_system, own_system.worker(HASTY))
    own_system.worker(HASTY)
    own_system.devops.faults.add("POST", RUNS, times=5, slow=1.0)
    events = {relay.stage_change(f"marked-{model}", str(number)): str(number) for number in range(1, 11)}
    for event in events:
        until(lambda event=event: relay.row(event, MARKED_RUN))  # type: ignore[misc]
        point(relay, event, MARKED_RUN, times=3)
    until(lambda: all(relay.row(event, MARKED_RUN)["state"] == "succeeded" for event in events))
    until(lambda: relay.queued("steps") == 0)
    assert sorted(run.parameters["model_version"] for run in own_system.devops.runs.values()) == sorted(events.values())


def test_copies_of_a_message_do_not_breed(own_system: System, model: str, tmp_path: Path) -> None:
    file, names = tmp_path / "routes.yaml", [f"route-{number}" for number in range(12)]
    rest = "when: {event: comment.created}, steps: [slack: {url_secret: mlops-slack, text: hello}]"
    sources = "sources:\n  wine-dev: {kind: databricks, secret: wine-dev-webhook}\nroutes:\n"
    file.write_text(sources + "".join(f"  - {{name: {name}, {rest}}}\n" for name in names))
    deaf = {"ROUTES": str(file), "AzureWebJobs.run_step.Disabled": "1"}
    relay = Relay(own_system, own_system.worker({**HASTY, **deaf}))
    event = relay.comment(model, "hello")
    until(lambda: relay.queued("steps") == len(names))
    relay.queue("steps").clear_messages()
    point(relay, event, "route-0.slack", times=20)
    relay.worker.stop()
    relay.worker = own_system.worker({**HASTY, "ROUTES": str(file)})
    until(lambda: relay.row(event, "route-0.slack").get("state") == "succeeded")
    until(lambda: relay.queued("steps") == 0)
    assert not any(relay.row(event, f"{name}.slack") for name in names[1:]), "others were pointed to"
    assert len(own_system.chat.messages) == 1


@pytest.mark.parametrize("finder", ["a copy of the message", "the sweeper"])
def test_the_step_that_follows_is_found_when_its_worker_died_before_it_pointed_to_it(
    relay: Relay, model: str, finder: str
) -> None:
    relay.system.devops.faults.add("POST", RELEASES, status=401)
    for event, ended, following in [
        (relay.stage_change(f"wait-{model}"), "run-and-wait.azure_devops_pipeline", "run-and-wait.slack"),
        (relay.stage_change(f"release-{model}"), RELEASE, "release.on_failure.slack"),
    ]:
        relay.ended(event)
        row = {"PartitionKey": event, "RowKey": f"step:{following}", "state": "ready", "fence": 0}
        relay.table("steps").update_entity(row)
        if finder == "the sweeper":
            relay.table("open").upsert_entity({"PartitionKey": event[:1], "RowKey": event})
            relay.make_overdue(event, following)
            relay.sweep()
        else:
            point(relay, event, ended)
        until(lambda event=event, step=following: relay.row(event, step)["state"] == "succeeded")  # type: ignore[misc]
        assert relay.row(event, following)["fence"] == 1
    assert len(messages(relay, model)) == 4


def test_a_pointer_to_nothing_changes_nothing(relay: Relay, model: str) -> None:
    event = relay.comment(f"slack-{model}", "hello")
    before = relay.ended(event)
    point(relay, event, "tell-slack.no-such-step")
    point(relay, "0" * 64, "tell-slack.slack")
    point(relay, event, "tell-slack.slack")
    until(lambda: relay.queued("steps") == 0 or relay.queued("steps-poison") == 0)
    assert relay.ended(event) == before
    assert len(messages(relay, model)) == 1


# Workers that die


def killed_amid(
    relay: Relay, event: str, step: str, is_committed: Callable[[], object], state: str = "succeeded"
) -> dict[str, Any]:
    """Kill the worker once the target has done its part; return the step's row after another worker has ended it."""
    until(is_committed)
    assert relay.lease(event, step)
    relay.worker.kill()
    assert relay.lease(event, step)
    relay.worker = relay.system.worker(HASTY)
    relay.make_overdue(event, step)
    relay.sweep()
    until(lambda: relay.row(event, step).get("state") in ENDED)
    row = relay.row(event, step)
    assert row["state"] == state
    assert "the worker that ran it did not come back" in row["history"]
    return row


@pytest.mark.parametrize(
    ("method", "path", "before"),
    [("POST", RELEASES, True), ("POST", RELEASES, False), ("PATCH", ONE_RELEASE, False)],
    ids=["before there was a draft", "after there was a draft", "after the draft was activated"],
)
def test_a_worker_killed_amid_a_release_leaves_one_release(
    own_system: System, model: str, method: str, path: str, before: bool
) -> None:
    relay = Relay(own_system, own_system.worker(HASTY))
    own_system.devops.faults.add(method, path, before=before, hang=60)
    event = relay.stage_change(f"release-{model}")
    row = killed_amid(relay, event, RELEASE, lambda: own_system.devops.faults.calls(method, path))
    assert states(row)[:4] == ["ready", "running", "in_doubt", "succeeded" if row["fence"] == 2 else "running"]
    assert [release.status for release in own_system.devops.releases.values()] == ["active"]
    assert len(own_system.devops.starts) == 1


def test_a_worker_killed_amid_the_start_of_a_run_leaves_one_run(own_system: System, model: str) -> None:
    relay = Relay(own_system, own_system.worker(HASTY))
    own_system.devops.faults.add("POST", RUNS, before=False, hang=60)
    event = relay.stage_change(f"marked-{model}")
    row = killed_amid(relay, event, MARKED_RUN, lambda: own_system.devops.runs)
    assert row["ref"] == "1"
    assert len(own_system.devops.runs) == 1


def test_a_worker_killed_amid_a_message_sends_it_again_or_parks_it_where_once_is_the_limit(
    own_system: System, model: str
) -> None:
    relay = Relay(own_system, own_system.worker(HASTY))
    for name, step, state, count in [
        ("once", "tell-slack-once.slack", "parked", 1),
        ("slack", "tell-slack.slack", "succeeded", 2),
    ]:
        own_system.chat.messages.clear()
        own_system.chat.faults.add("POST", SLACK, before=False, hang=60)
        event = relay.comment(f"{name}-{model}", "hello")
        killed_amid(relay, event, step, lambda: own_system.chat.messages, state)
        assert len(own_system.chat.messages) == count


def test_a_step_whose_worker_died_is_left_alone_until_its_lease_is_over(own_system: System, model: str) -> None:
    relay = Relay(own_system, own_system.worker({**HASTY, "STEP_LEASE_SECONDS": "3"}))
    own_system.devops.faults.add("POST", RELEASES, before=False, hang=60)
    event = relay.stage_change(f"release-{model}")
    until(lambda: own_system.devops.releases)
    relay.worker.kill()
    lease_ends = relay.lease(event, RELEASE)
    assert lease_ends
    own_system.worker(HASTY)
    point(relay, event, RELEASE)
    until(lambda: relay.row(event, RELEASE).get("state") == "succeeded")
    doubted = next(each for each in json.loads(relay.row(event, RELEASE)["history"]) if each["state"] == "in_doubt")
    assert doubted["at"] >= lease_ends.isoformat()
    assert len(own_system.devops.starts) == 1


# Workers that freeze and come back


def frozen_amid_a_draft(own_system: System, model: str) -> None:
    """Freeze a worker between its draft and the record of it, let another end the step, let the first go on."""
    relay = Relay(own_system, own_system.worker(HASTY))
    own_system.devops.faults.add("POST", RELEASES, before=False, hang=1.0)
    event = relay.stage_change(f"release-{model}")
    until(lambda: own_system.devops.releases)
    relay.worker.pause()
    own_system.worker(HASTY)
    point(relay, event, RELEASE)
    until(lambda: relay.row(event, RELEASE).get("state") == "succeeded")
    row = relay.row(event, RELEASE)
    relay.worker.stop()  # wakes it, and waits until it has finished what it had in hand
    assert relay.row(event, RELEASE) == row


def test_a_worker_that_comes_back_late_leaves_alone_the_draft_that_another_has_used(
    own_system: System, model: str
) -> None:
    frozen_amid_a_draft(own_system, model)
    assert [release.status for release in own_system.devops.releases.values()] == ["active"]
    assert len(own_system.devops.starts) == 1


def test_a_worker_that_comes_back_late_takes_back_the_draft_that_nobody_found(own_system: System, model: str) -> None:
    own_system.devops.list_lag_seconds = 60
    frozen_amid_a_draft(own_system, model)
    assert [release.status for release in own_system.devops.releases.values()] == ["abandoned", "active"]
    assert len(own_system.devops.starts) == 1


# What an operator reads


def test_the_history_of_a_step_tells_each_state_with_its_reason(relay: Relay, model: str) -> None:
    relay.system.devops.faults.add("POST", RELEASES, status=429, body={"message": "slow down"})
    relay.system.devops.faults.add("POST", RELEASES, status=503, body={"message": "upgrade in progress"})
    step = relay.ended(relay.stage_change(f"release-{model}")).steps[RELEASE]
    told = [(moment.state, moment.note) for moment in step.history]
    assert told == [
        (State.READY, ""),
        (State.RUNNING, ""),
        (State.RETRY, "Azure DevOps answered 429: slow down"),
        (State.RUNNING, ""),
        (State.IN_DOUBT, "Azure DevOps answered 503: upgrade in progress"),
        (State.RUNNING, ""),
        (State.SUCCEEDED, step.outcome),
    ]
    moments = [moment.at for moment in step.history]
    assert moments == sorted(moments)
    assert step.ended == moments[-1]
    assert step.created == moments[0]


def test_an_event_of_the_other_registry_runs_its_steps_too(relay: Relay, model: str) -> None:
    data = {"name": f"alias-{model}", "alias": "champion", "version": "4"}
    reply = relay.mlflow(sender.mlflow_body("model_version_alias", "created", data))
    assert reply.status_code == 202
    step = relay.ended(reply.json()["event"]).steps["alias-run.azure_devops_release"]
    assert step.state is State.SUCCEEDED
    release = relay.system.devops.releases[int(step.ref)]
    assert release.variables == {"modelName": {"value": f"alias-{model}"}, "modelVersion": {"value": "4"}}
