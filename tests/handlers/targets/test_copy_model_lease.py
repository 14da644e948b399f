"""A copy that takes longer than a lease: one worker has it all the time, whatever points to its step meanwhile."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local.system import LIVE_WORKSPACE, WORKSPACE, System
from shared.messages import StepMessage, encode
from shared.registries_storage import BLOCK
from tests.conftest import IMPATIENT, Relay, until

LEASE_SECONDS, SETTLE_SECONDS = 4, 4
CREATE, SEARCH = "/mlflow/model-versions/create$", "/mlflow/model-versions/search$"
STEP = "copy.copy_model"
ROUTES = f"""
sources:
  wine-dev: {{kind: databricks, secret: wine-dev-webhook, workspace: "{WORKSPACE}"}}
  live: {{kind: databricks, secret: wine-dev-webhook, workspace: "{LIVE_WORKSPACE}"}}
routes:
  - name: copy
    when: {{source: wine-dev, event: comment.created}}
    steps: [{{copy_model: {{to: live}}}}]
"""


def settings(folder: Path) -> dict[str, str]:
    routes = folder / "routes.yaml"
    routes.write_text(ROUTES)
    times = {"STEP_LEASE_SECONDS": str(LEASE_SECONDS), "SETTLE_SECONDS": str(SETTLE_SECONDS)}
    return {**IMPATIENT, **times, "ROUTES": str(routes)}


@pytest.fixture
def relay(own_system: System, tmp_path: Path) -> Relay:
    return Relay(own_system, own_system.worker(settings(tmp_path)))


def has_ended(row: dict[str, Any]) -> bool:
    return row["state"] in ("succeeded", "dead", "parked")


def pestered(relay: Relay, event: str, look: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """Point to the step again and again, as lost and repeated messages do, until its row is as wished; return that."""
    queue = relay.queue("steps")

    def row() -> dict[str, Any] | None:
        queue.send_message(encode(StepMessage(event_key=event, step=STEP)))
        time.sleep(0.3)
        found = relay.row(event, STEP)
        return found if found and look(found) else None

    return until(row, 120)


def test_files_that_take_longer_than_a_lease_are_copied_once_and_registered_once(relay: Relay, model: str) -> None:
    team, live = relay.system.databricks, relay.system.databricks_live
    files = {**dict.fromkeys("abcdefg", b"small"), "large": bytes(range(250)) * (3 * BLOCK // 250)}
    team.add_version(model)
    team.add_files(model, "1", files)
    live.storage.faults.add("PUT", "/[a-g]$", slow=0.3, times=None)
    live.storage.faults.add("PUT", "/large$", slow=1.2, times=None)
    live.faults.add("POST", CREATE, before=False, drop=True)
    hidden = live.faults.add("GET", SEARCH, status=200, body={}, times=None)

    def look(row: dict[str, Any]) -> bool:
        created = live.faults.calls("POST", CREATE)
        if created and time.time() - created[0].time > SETTLE_SECONDS / 2:  # the registry shows the version late
            hidden.times = 0
        return has_ended(row)

    began = time.monotonic()
    row = pestered(relay, relay.comment(model, "please"), look)
    assert time.monotonic() - began > 2 * LEASE_SECONDS
    assert (row["state"], row["attempts"], "in_doubt" in str(row["history"])) == ("succeeded", 1, False), row
    assert live.files_of(model, "1") == files
    assert list(live.models[model].versions) == ["1"]
    puts = Counter(
        (call.path.rpartition("/")[2], call.query.get("blockid", "the list"))
        for call in live.storage.faults.calls("PUT")
    )
    assert set(puts.values()) == {1}
    assert len(puts) == 7 * 2 + 3 + 1
    assert len(live.faults.calls("POST", CREATE)) == 1


def test_a_worker_that_is_killed_while_it_copies_is_waited_for_as_long_as_its_lease(
    relay: Relay, model: str, tmp_path: Path
) -> None:
    team, live = relay.system.databricks, relay.system.databricks_live
    files = {"large": bytes(3 * BLOCK)}
    team.add_version(model)
    team.add_files(model, "1", files)
    live.storage.faults.add("PUT", "/large$", hang=60)
    live.faults.add("POST", CREATE, status=500)
    event = relay.comment(model, "please")
    until(lambda: live.storage.faults.calls("PUT", "/large$"))
    relay.worker.kill()
    relay.worker = relay.system.worker(settings(tmp_path))
    row = pestered(relay, event, has_ended)
    assert (row["state"], row["attempts"]) == ("succeeded", 1), row
    assert live.files_of(model, "1") == files
    assert list(live.models[model].versions) == ["1"]
    assert [call.committed for call in live.faults.calls("POST", CREATE)] == [False, True]
