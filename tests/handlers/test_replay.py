"""Operators: what they see of events, and how they bring to an end what did not end well."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from local import sender
from shared.steps import State, Step
from tests.conftest import DEAF, IMPATIENT, Relay, until

ROOT = Path(__file__).resolve().parents[2]
RELEASE = "release.azure_devops_release"
RELEASES = "(?i)/_apis/release/releases$"
REFUSED: dict[str, Any] = {"status": 400, "body": {"message": "no such variable"}}


def ask(relay: Relay, method: str, path: str, key: str | None = None, **body: Any) -> requests.Response:
    headers = {"x-functions-key": relay.system.function_key if key is None else key}
    url = f"{relay.worker.url}/api/{path}"
    return requests.request(method, url, headers=headers, json=body or None, timeout=60)


def again(relay: Relay, event: str, step: str, reopened: int = 1) -> Step:
    """The step once it has ended after so many replays."""

    def look() -> Step | None:
        story = relay.story(event)
        found = story.steps[step] if story else None
        return found if found and found.reopened == reopened and found.ended else None

    return until(look)


def starts(relay: Relay, model: str) -> int:
    return sum(1 for start in relay.system.devops.starts if model in str(start.variables))


def dead_release(relay: Relay, model: str) -> str:
    relay.system.devops.faults.add("POST", RELEASES, **REFUSED)
    event = relay.stage_change(f"release-{model}")
    assert relay.ended(event).steps[RELEASE].state is State.DEAD
    return event


def test_a_dead_step_is_replayed_under_its_key_and_ends_well(relay: Relay, model: str) -> None:
    event = dead_release(relay, model)
    key = relay.ended(event).steps[RELEASE].key
    reply = ask(relay, "POST", f"events/{event}/replay", step=RELEASE)
    assert (reply.status_code, reply.json()) == (200, {"ready": [{"event": event, "step": RELEASE}]})
    step = again(relay, event, RELEASE)
    assert (step.state, step.key, step.attempts) == (State.SUCCEEDED, key, 1)
    assert starts(relay, model) == 1


def test_a_replay_finds_what_the_first_attempts_did_and_does_it_not_again(relay: Relay, model: str) -> None:
    """The release was made, its reply was lost, and nobody could be asked: given up, though it happened."""
    faults = relay.system.devops.faults
    faults.add("POST", RELEASES, before=False, status=500)
    faults.add("GET", RELEASES, status=404, body={"message": "no such project"}, times=None)
    event = relay.stage_change(f"release-{model}")
    until(lambda: (story := relay.story(event)) and story.steps[RELEASE].state is State.IN_DOUBT)
    assert ask(relay, "POST", f"events/{event}/replay", step=RELEASE).status_code == 409, "it is under way"
    faults.clear()
    assert relay.ended(event).steps[RELEASE].state is State.SUCCEEDED
    assert starts(relay, model) == 1


def test_what_has_succeeded_is_replayed_by_force_only_and_then_done_once_more(relay: Relay, model: str) -> None:
    event = relay.stage_change(f"release-{model}")
    first = relay.ended(event).steps[RELEASE]
    assert ask(relay, "POST", f"events/{event}/replay", step=RELEASE).status_code == 409
    assert ask(relay, "POST", f"events/{event}/replay", step=RELEASE, force=True).status_code == 200
    second = again(relay, event, RELEASE)
    assert second.state is State.SUCCEEDED
    assert second.key != first.key
    assert second.ref != first.ref
    assert starts(relay, model) == 2


def test_a_step_that_fails_again_after_a_replay_is_told_again(relay: Relay, model: str) -> None:
    event = dead_release(relay, model)
    relay.system.devops.faults.add("POST", RELEASES, **REFUSED)
    ask(relay, "POST", f"events/{event}/replay", step=RELEASE)
    assert again(relay, event, RELEASE).state is State.DEAD
    until(lambda: (story := relay.story(event)) and story.has_ended and len(story.steps) == 3)
    assert relay.ended(event).steps["release.on_failure.slack.1"].state is State.SUCCEEDED


def test_all_that_is_dead_since_a_time_is_replayed_at_once(relay: Relay, model: str) -> None:
    since = datetime.now(UTC) - timedelta(seconds=1)
    events = [dead_release(relay, f"{model}-{number}") for number in range(3)]
    reply = ask(relay, "POST", "replay", since=since.isoformat())
    assert {pointer["event"] for pointer in reply.json()["ready"]} >= set(events)
    assert {again(relay, event, RELEASE).state for event in events} == {State.SUCCEEDED}


def parked(relay: Relay, model: str) -> str:
    relay.system.chat.faults.add("POST", "^/slack/", before=False, drop=True)
    event = relay.comment(f"once-{model}", "hello")
    assert relay.ended(event).steps["tell-slack-once.slack"].state is State.PARKED
    return event


def test_a_parked_step_is_resolved_by_whoever_knows(relay: Relay, model: str) -> None:
    event = parked(relay, model)
    reply = ask(relay, "POST", f"events/{event}/resolve", step="tell-slack-once.slack", outcome="it is in the channel")
    assert reply.status_code == 200
    step = relay.ended(event).steps["tell-slack-once.slack"]
    assert (step.state, step.outcome) == (State.SUCCEEDED, "resolved by hand: it is in the channel")
    assert ask(relay, "POST", f"events/{event}/resolve", step="tell-slack-once.slack", outcome="x").status_code == 409


def test_a_parked_step_is_left_alone_by_a_replay_of_what_is_dead(relay: Relay, model: str) -> None:
    event = parked(relay, model)
    assert ask(relay, "POST", f"events/{event}/replay").json() == {"ready": []}
    assert ask(relay, "POST", f"events/{event}/replay", states=["parked"]).status_code == 200
    assert again(relay, event, "tell-slack-once.slack").state is State.SUCCEEDED


def test_the_next_step_of_a_resolved_one_runs(relay: Relay, model: str) -> None:
    relay.system.devops.faults.add("POST", "/runs$", **REFUSED)
    event = relay.stage_change(f"wait-{model}")
    dead = "run-and-wait.azure_devops_pipeline"
    assert relay.ended(event).steps[dead].state is State.DEAD
    assert ask(relay, "POST", f"events/{event}/resolve", step=dead, outcome="run by hand").status_code == 200
    until(lambda: (story := relay.story(event)) and story.has_ended and "run-and-wait.slack" in story.steps)
    assert relay.ended(event).steps["run-and-wait.slack"].state is State.SUCCEEDED


def test_events_are_listed_newest_first_and_narrowed(relay: Relay, model: str) -> None:
    dead = dead_release(relay, model)
    fine = relay.comment(f"slack-{model}", "<b>hello</b>")
    relay.ended(fine)
    listed = [event["event"] for event in ask(relay, "GET", "events?limit=500").json()["events"]]
    assert listed.index(fine) < listed.index(dead)
    found = ask(relay, "GET", f"events?state=dead&model=release-{model}").json()["events"]
    assert [(event["event"], event["routes"]) for event in found] == [(dead, ["release"])]


def test_an_event_is_told_whole(relay: Relay, model: str) -> None:
    event = relay.comment(f"slack-{model}", "hello")
    relay.ended(event)
    story = ask(relay, "GET", f"events/{event}").json()
    assert story["state"] == "succeeded"
    assert '"comment": "hello"' in story["details"]["payload"]
    assert [moment["state"] for moment in story["steps"][0]["history"]] == ["ready", "running", "succeeded"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "events/{}", {}, 404),
        ("GET", "events?limit=0", {}, 400),
        ("GET", "events?days=x", {}, 400),
        ("POST", "events/{}/replay", {}, 404),
        ("POST", "events/{}/replay", {"more": 1}, 400),
        ("POST", "events/{}/replay", {"force": True}, 400),
        ("POST", "events/{}/resolve", {"step": "a"}, 400),
        ("POST", "replay", {"states": ["dead"]}, 400),
        ("POST", "replay", {"since": "yesterday"}, 400),
        ("POST", "replay", {"since": "2026-01-01T00:00:00Z", "states": ["broken"]}, 400),
    ],
)
def test_a_wrong_question_is_answered_with_what_would_be_right(
    relay: Relay, method: str, path: str, body: dict[str, Any], status: int
) -> None:
    reply = ask(relay, method, path.format("0" * 64), **body)
    assert reply.status_code == status
    assert len(reply.json()["error"]) > 10


def test_a_replay_since_ever_goes_back_as_far_as_the_ledger_remembers(relay: Relay) -> None:
    reply = ask(relay, "POST", "replay", since="0001-01-01T00:00:00Z", states=[])
    assert (reply.status_code, reply.json()["ready"]) == (200, [])


@pytest.mark.parametrize("path", ["events", "events/x"])
def test_operators_functions_want_the_key(relay: Relay, path: str) -> None:
    assert ask(relay, "GET", path, key="").status_code == 401
    assert ask(relay, "GET", path, key="wrong").status_code == 401
    assert ask(relay, "POST", "replay", key="wrong", since="2026-01-01T00:00:00Z").status_code == 401


def command(relay: Relay, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "RELAY_URL": relay.worker.url, "RELAY_KEY": relay.system.function_key}
    return subprocess.run([sys.executable, "-m", "cli", *words], cwd=ROOT, env=env, capture_output=True, text=True)


def test_a_secret_that_was_missing_is_taken_soon_after_it_was_put_into_the_vault(relay: Relay, model: str) -> None:
    step = "slack-by-a-secret-to-come.slack"
    event = relay.comment(f"unkept-{model}", "where is it?")
    assert "unkept-slack" in relay.ended(event).steps[step].reason
    relay.system.vault.set("unkept-slack", relay.system.chat.slack_url())

    def replayed() -> bool:
        ask(relay, "POST", f"events/{event}/replay", step=step)
        return relay.ended(event).steps[step].state is State.SUCCEEDED

    until(replayed)


def test_an_event_that_is_noted_but_not_written_yet_stops_no_bulk_replay(relay: Relay) -> None:
    now = datetime.now(UTC)
    keys = {"PartitionKey": now.date().isoformat(), "RowKey": f"{0:016d}-{'0' * 64}"}
    relay.table("recent").upsert_entity({**keys, "event": "0" * 64, "happened": now})
    since = (now - timedelta(seconds=5)).isoformat()
    replies = [ask(relay, "POST", "replay", since=since, states=["superseded"])]
    replies.append(ask(relay, "POST", "replay", since=since, routes=True))
    relay.table("recent").delete_entity(keys["PartitionKey"], keys["RowKey"])
    assert [reply.status_code for reply in replies] == [200, 200]


def test_the_commands_list_show_and_replay(relay: Relay, model: str) -> None:
    event = dead_release(relay, model)
    assert event in command(relay, "events", "list", "--state", "dead").stdout
    shown = command(relay, "events", "show", event)
    assert "no such variable" in shown.stdout
    replayed = command(relay, "events", "replay", event, "--step", RELEASE)
    assert replayed.stdout.splitlines() == [f"ready: {RELEASE} of {event}", "1 step is ready"]
    assert again(relay, event, RELEASE).state is State.SUCCEEDED
    refused = command(relay, "events", "replay", event, "--step", RELEASE)
    assert (refused.returncode, refused.stderr.strip().splitlines()[-1]) == (
        1,
        f"step {RELEASE} is succeeded: only `force` does it once more",
    )


def test_the_ledger_forgets_after_its_retention(relay: Relay, model: str) -> None:
    large = "x" * 100_000
    kept = relay.comment(f"slack-{model}", "kept")
    relay.ended(kept)
    forgotten = relay.comment(f"slack-{model}", large)
    relay.ended(forgotten)
    index = relay.table("recent")
    row = next(iter(index.query_entities("event eq @id", parameters={"id": forgotten})))
    index.delete_entity(row["PartitionKey"], row["RowKey"])
    index.create_entity({**row, "PartitionKey": "2020-01-01"})
    relay.prune()
    until(lambda: relay.story(forgotten) is None)
    until(lambda: not list(index.query_entities("event eq @id", parameters={"id": forgotten})))  # it goes last
    assert relay.story(kept) is not None


def test_an_event_from_before_tables_begin_is_forgotten_too_and_stops_nobody(relay: Relay, model: str) -> None:
    data = {"name": model, "version": "1", "alias": "champion"}
    body = {**sender.mlflow_body("model_version_alias", "created", data), "timestamp": "0001-01-01T01:02:01+00:00"}
    reply = relay.mlflow(body)
    assert reply.status_code == 202, reply.text
    event = str(reply.json()["event"])
    until(lambda: relay.story(event))
    relay.prune()
    until(lambda: relay.story(event) is None)


MENDED = """\
sources:
  wine-dev: {kind: databricks, secret: wine-dev-webhook}
routes:
  - name: mended
    when: {event: comment.created, model: "unrouted-*"}
    steps: [{slack: {url_secret: mlops-slack, text: "{model}: {comment}"}}]
"""


@pytest.fixture
def mended(relay: Relay, tmp_path: Path) -> Relay:
    """The app after somebody has added the route that was missing."""
    file = tmp_path / "routes.yaml"
    file.write_text(MENDED)
    return Relay(relay.system, relay.system.worker({**IMPATIENT, **DEAF, "ROUTES": str(file)}))


def test_an_event_that_started_nothing_starts_the_route_that_was_missing(
    relay: Relay, mended: Relay, model: str
) -> None:
    lost, other = relay.comment(f"unrouted-{model}", "first"), relay.comment(f"slack-{model}", "routed before")
    assert not relay.ended(lost).steps
    relay.ended(other)

    reply = ask(mended, "POST", f"events/{lost}/replay", routes=True)
    assert reply.json() == {"ready": [{"event": lost, "step": "mended.slack"}]}
    assert relay.ended(lost).steps["mended.slack"].state is State.SUCCEEDED
    assert ask(mended, "POST", f"events/{lost}/replay", routes=True).json() == {"ready": []}

    since = datetime.now(UTC)
    second = relay.comment(f"unrouted-{model}", "second")
    assert not relay.ended(second).steps
    done = command(mended, "events", "replay", "--routes", "--since", since.strftime("%Y-%m-%dT%H:%M:%S"))
    assert f"ready: mended.slack of {second}" in done.stdout
    assert relay.ended(second).steps["mended.slack"].state is State.SUCCEEDED
    texts = [message.text for message in relay.system.chat.messages if model in message.text]
    assert sorted(texts) == [f"slack-{model}: routed before", f"unrouted-{model}: first", f"unrouted-{model}: second"]


def test_the_commands_stop_list_and_start_routes(relay: Relay, mended: Relay) -> None:
    stopped = command(mended, "routes", "stop", "mended", "--reason", "wrong test set")
    assert stopped.stdout.strip() == "mended is stopped"
    try:
        (line,) = command(mended, "routes", "list").stdout.splitlines()
        assert line.startswith("mended  stopped 20")
        assert line.endswith(": wrong test set")
    finally:
        started = command(mended, "routes", "start", "mended", "--replay")
    assert started.stdout.splitlines()[-1] == "0 steps are ready"
    assert command(mended, "routes", "list").stdout.splitlines() == ["mended  running"]
    assert command(mended, "routes", "start", "mended").returncode == 1
