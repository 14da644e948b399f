"""The ledger: an event keeps the routes it started with, however many, and its steps' rows tell the whole story."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from local import sender
from local.system import System
from shared.steps import State
from tests.conftest import IMPATIENT, Relay, until

MANY = [f"text-{number:02}-{'long' * 150}" for number in range(60)]  # more than the row of the event holds: 121 rows
SOURCES = "sources:\n  wine-dev: {kind: databricks, secret: wine-dev-webhook}\n"


def routes(folder: Path, name: str, *texts: str, parts: int = 2) -> dict[str, str]:
    """Write a file with a route for each text that tells it to Slack in parts; return a worker's settings with it."""
    file = folder / f"{name}.yaml"
    lines = [SOURCES, "routes:\n"]
    for number, text in enumerate(texts):
        lines.append(f"  - name: route-{number}\n    when: {{event: comment.created}}\n    steps:\n")
        for rank in range(1, parts + 1):
            lines.append(f"      - id: part-{rank}\n        slack: {{url_secret: mlops-slack, text: {text} {rank}}}\n")
    file.write_text("".join(lines))
    return {**IMPATIENT, "STEP_LEASE_SECONDS": "3", "ROUTES": str(file)}


def rows(relay: Relay, event: str) -> list[dict[str, Any]]:
    return list(relay.table("steps").query_entities("PartitionKey eq @event", parameters={"event": event}))


def comment(model: str) -> bytes:
    return json.dumps(sender.databricks_comment(model, "hello")).encode()


def texts(system: System) -> list[str]:
    return sorted(message.text for message in system.chat.messages)


def test_an_event_under_way_keeps_its_routes_when_the_file_changes(
    own_system: System, model: str, tmp_path: Path
) -> None:
    deaf = {"AzureWebJobs.run_step.Disabled": "1"}
    relay = Relay(own_system, own_system.worker({**routes(tmp_path, "old", "old"), **deaf}))
    event = relay.comment(model, "hello")
    until(lambda: relay.queued("steps") == 1)
    relay.worker.stop()
    relay.worker = own_system.worker(routes(tmp_path, "new", "new", "new"))
    until(lambda: relay.row(event, "route-0.part-2").get("state") == "succeeded")
    assert texts(own_system) == ["old 1", "old 2"]
    later = relay.comment(model, "another one")
    until(lambda: relay.row(later, "route-1.part-2").get("state") == "succeeded")
    until(lambda: len(texts(own_system)) == 6)
    assert texts(own_system)[:4] == ["new 1", "new 1", "new 2", "new 2"]


def test_an_event_may_start_more_routes_than_one_transaction_holds(
    own_system: System, model: str, tmp_path: Path
) -> None:
    relay = Relay(own_system, own_system.worker(routes(tmp_path, "many", *MANY, parts=1)))
    body = comment(model)
    for _ in range(3):  # the same one, also while the first is being written
        assert relay.databricks(body).status_code == 202
    until(lambda: len(texts(own_system)) >= len(MANY))
    until(lambda: relay.queued("events") == 0 and relay.queued("steps") == 0)
    assert texts(own_system) == [f"{text} 1" for text in MANY]


def test_an_event_that_was_half_written_when_its_worker_died_is_completed(
    own_system: System, model: str, tmp_path: Path
) -> None:
    relay = Relay(own_system, own_system.worker(routes(tmp_path, "many", *MANY, parts=1)))
    body = comment(model)
    event = str(relay.databricks(body).json()["event"])
    until(lambda: len(texts(own_system)) == len(MANY))
    until(lambda: relay.queued("steps") == 0)
    # as the worker would have left it between its two transactions: the steps stand, routes and event do not
    table = relay.table("steps")
    rows = list(table.query_entities("PartitionKey eq @event", parameters={"event": event}))
    assert len(rows) == 1 + 2 * len(MANY)
    for row in rows:
        if row["RowKey"].startswith(("event", "route:route-3")):
            table.delete_entity(row)
        elif row["RowKey"].startswith("step:"):
            fresh = {"state": "ready", "fence": 0, "attempts": 0, "due": datetime.now(UTC)}
            table.update_entity({"PartitionKey": event, "RowKey": row["RowKey"], **fresh})
    own_system.chat.messages.clear()
    assert relay.databricks(body).json()["event"] == event
    until(lambda: len(texts(own_system)) >= len(MANY))
    until(lambda: relay.queued("events") == 0 and relay.queued("steps") == 0)
    assert texts(own_system) == [f"{text} 1" for text in MANY]


def test_an_event_that_starts_nothing_is_kept_once_however_often_it_is_told(relay: Relay, model: str) -> None:
    body = json.dumps(sender.databricks_stage_change(f"unrouted-{model}", "1", "Staging")).encode()
    event = str(relay.databricks(body).json()["event"])
    first = until(lambda: relay.story(event))
    assert not first.routes
    for _ in range(2):
        assert relay.databricks(body).json()["event"] == event
    until(lambda: relay.queued("events") == 0)
    assert relay.story(event) == first
    assert relay.events().count(event) == 1


def test_the_row_of_a_step_tells_an_operator_what_to_look_for(relay: Relay, model: str) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    event = relay.stage_change(f"release-{model}")
    step = relay.ended(event).steps["release.azure_devops_release"]
    row = relay.row(event, step.id)
    assert row["state"] == "succeeded"
    assert (row["route"], row["name"], row["target"]) == ("release", step.name, "azure_devops_release")
    assert row["outcome"] == f"release {relay.system.devops.releases[int(row['ref'])].name} is active"
    assert row["link"].startswith(relay.system.devops.url)
    assert before <= row["created"] <= row["claimed"] <= row["ended"] <= datetime.now(UTC) + timedelta(seconds=1)
    assert (row["attempts"], row["fence"]) == (1, 1)
    assert step.claimed == row["claimed"]
    assert json.loads(row["progress"]) == {"release": int(row["ref"])}


def test_an_event_is_one_row_until_somebody_claims_its_steps(own_system: System, model: str, tmp_path: Path) -> None:
    deaf = {"AzureWebJobs.run_step.Disabled": "1"}
    relay = Relay(own_system, own_system.worker({**routes(tmp_path, "three", "a", "b", "c"), **deaf}))
    event = relay.comment(model, "hello")
    until(lambda: relay.queued("steps") == 3)
    assert [row["RowKey"] for row in rows(relay, event)] == ["event"]
    relay.queue("steps").clear_messages()  # lost: the sweeper has to find them all the same
    relay.worker.stop()
    relay.worker = own_system.worker(routes(tmp_path, "three", "a", "b", "c"))
    relay.make_overdue(event, "route-0.part-1")
    relay.sweep()
    until(lambda: len(texts(own_system)) == 6)
    assert texts(own_system) == ["a 1", "a 2", "b 1", "b 2", "c 1", "c 2"]


def test_an_event_whose_single_step_acts_at_once_is_one_row_that_tells_of_its_claim(relay: Relay, model: str) -> None:
    relay.system.devops.faults.add("POST", "/_apis/Release/releases", slow=2.0)
    event, name = relay.stage_change(f"release-{model}"), "release.azure_devops_release"
    running = until(lambda: relay.story(event)).steps[name]
    assert not relay.row(event, name)
    assert (running.state, running.fence, running.attempts) == (State.RUNNING, 1, 1)
    assert running.claimed
    assert round((running.due - running.claimed).total_seconds()) == 90, "the lease"
    assert [moment.state for moment in running.history] == [State.READY, State.RUNNING]
    ended = relay.ended(event).steps[name]
    assert (ended.state, ended.fence, ended.attempts, ended.claimed) == (State.SUCCEEDED, 1, 1, running.claimed)
    assert ended.history[:2] == running.history


@pytest.mark.parametrize(
    ("step", "rest", "why"),
    [
        ("slack: {url_secret: mlops-slack, text: hello}", "require: {still: true}", "it asks its registry first"),
        ("registry_tag: {tags: {checked: by-relay}}", "rounds: 0", "it is about to cause an event"),
        ("slack: {url_secret: no-such-secret, text: hello}", "rounds: 0", "its credentials are not there"),
    ],
    ids=["asks", "causes", "lacks"],
)
def test_a_step_that_has_more_to_do_before_its_claim_is_not_claimed_with_its_event(
    own_system: System, model: str, tmp_path: Path, step: str, rest: str, why: str
) -> None:
    file = tmp_path / "routes.yaml"
    source = "wine-dev: {kind: databricks, secret: wine-dev-webhook, workspace: WORKSPACE}"
    source = source.replace("WORKSPACE", f'"{own_system.databricks.url}"')
    when = "when: {event: comment.created}"
    file.write_text(f"sources:\n  {source}\nroutes:\n  - {{name: careful, {when}, steps: [{step}], {rest}}}\n")
    own_system.databricks.add_version(model)
    relay = Relay(own_system, own_system.worker({**IMPATIENT, "ROUTES": str(file)}))
    event = relay.comment(model, "hello")
    until(lambda: relay.row(event, f"careful.{step.partition(':')[0]}"))
    assert not next(row for row in rows(relay, event) if row["RowKey"] == "event").get("leased"), why
