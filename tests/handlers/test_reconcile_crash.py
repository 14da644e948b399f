"""A reconciler that dies between two of its writes, or meets a webhook there, makes one event all the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers.reconcile_rows import RECONCILED
from local.system import System
from tests.conftest import until
from tests.handlers.reconciling import LATER, Reconciling, settings

UNROUTED = {"AzureWebJobs.route_event.Disabled": "1"}


@pytest.fixture(scope="module")
def unrouted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reconciling]:
    """What is enqueued stays in its queue."""
    with System() as system:
        given = {**settings(system, tmp_path_factory.mktemp("reconcile")), **UNROUTED}
        relay = Reconciling(system, system.worker(given))
        relay.look()
        yield relay


@pytest.fixture
def crashed(unrouted: Reconciling, model: str) -> str:
    """A model whose new version was found; the message that tells of it is lost, and that it was settled as well."""
    name = f"told-{model}"
    unrouted.registries["kept"].add_version(name)
    unrouted.look()
    unrouted.pass_time(name)
    (before,) = unrouted.rows(name)
    unrouted.look()
    assert unrouted.queued("events") == 1
    unrouted.queue("events").clear_messages()
    unrouted.table(RECONCILED).update_entity(before)
    assert unrouted.pending(name)
    return name


def test_what_a_crash_has_lost_is_sent_again_as_the_same_event(
    unrouted: Reconciling, crashed: str, tmp_path: Path
) -> None:
    rows = unrouted.all("acts", "RowKey eq @value", "act")
    unrouted.look()
    assert not unrouted.pending(crashed)
    assert unrouted.queued("events") == 1
    assert unrouted.all("acts", "RowKey eq @value", "act") == rows, "the act was reserved, and is so once"
    with unrouted.system.worker(settings(unrouted.system, tmp_path)) as routing:
        (event,) = unrouted.settled(crashed, 1)
        assert any(event["PartitionKey"] in each["act"] for each in rows)
        until(lambda: len(unrouted.messages(crashed)) == 1)
        routing.stop()


@pytest.mark.parametrize("size", [10, 40_000])
@pytest.mark.parametrize("apart", [0, 5000])
def test_a_webhook_that_comes_after_the_crash_is_the_event_that_was_lost(
    unrouted: Reconciling, crashed: str, tmp_path: Path, size: int, apart: int
) -> None:
    body = {
        "event": "MODEL_VERSION_CREATED",
        "event_timestamp": unrouted.registries["kept"].version(crashed, "1").created + apart,
        "model_name": crashed,
        "version": "1",
        "text": "x" * size,
    }
    answered = unrouted.tell("kept", body, LATER)
    with unrouted.system.worker(settings(unrouted.system, tmp_path)) as routing:
        (event,) = unrouted.settled(crashed, 1)
        unrouted.look()
        unrouted.settled(crashed, 1)
        assert not unrouted.pending(crashed)
        key = event["PartitionKey"]
        assert (event["blob"] == f"{key}.json") == (size > 10_000)
        assert size > 10_000 or '"text":"xxx' in event["event"], "the webhook knows more of it"
        (message,) = unrouted.messages(crashed)
        assert key in message
        routing.stop()
    assert (key == answered) == (apart == 0), "where the registry's own time is told, the ids are the same anyway"


def test_what_was_routed_before_the_source_was_reconciled_is_not_found(
    unrouted: Reconciling, model: str, tmp_path: Path
) -> None:
    name = f"told-{model}"
    unrouted.registries["kept"].add_version(name, stage="Staging")
    with unrouted.system.worker(settings(unrouted.system, tmp_path)) as routing:
        unrouted.told("kept", name, stage="Staging")
        unrouted.settled(name, 1)
        routing.stop()
    for act in unrouted.all(
        "acts", "RowKey eq @value", "act"
    ):  # as if a worker with the routes of before had routed it
        unrouted.table("acts").delete_entity(act["PartitionKey"], act["RowKey"])
    unrouted.find(name)
    assert unrouted.queued("events") == 1, "the new version, and not its stage"
    unrouted.queue("events").clear_messages()
