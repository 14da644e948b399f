"""The reconciler: what a registry holds and no webhook reported is told or enqueued, once, whoever comes late."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from handlers.reconcile_rows import RECONCILED
from local.system import System
from tests.conftest import until
from tests.handlers.reconciling import LATER, Reconciling, settings

OLD = "wine-that-was-there-before"
HOURS = [timedelta(hours=count) for count in (4, 3, 2, 1)]  # acts of the same kind, each an hour after the other
STAGED, CREATED, ALIASED = "model_version.stage_changed", "model_version.created", "model_version_alias.created"


@pytest.fixture(scope="module")
def reconciled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reconciling]:
    """Both registries have been looked at once, with a model in them."""
    with System() as system:
        system.devops.release_seconds = 0.2
        worker = system.worker(settings(system, tmp_path_factory.mktemp("reconcile")), log_level="INFO")
        relay = Reconciling(system, worker)
        for registry in relay.registries.values():
            registry.add_version(OLD, stage="Production")
        relay.look()
        yield relay


@pytest.fixture
def relay(reconciled: Reconciling) -> Iterator[Reconciling]:
    yield reconciled
    for registry in reconciled.registries.values():
        registry.faults.clear()


def test_what_was_there_at_the_first_look_is_taken_as_told(relay: Reconciling) -> None:
    relay.look()
    assert len(relay.rows(OLD)) == 2
    assert relay.pending(OLD) == []
    assert relay.events_of(OLD) == []
    assert relay.lines(OLD) == []


def test_a_missed_stage_change_is_enqueued_after_its_grace_and_released_once(relay: Reconciling, model: str) -> None:
    name = f"wine-{model}"
    relay.registries["kept"].add_version(name)
    relay.find(name)  # the new version
    relay.registries["kept"].transition(name, "1", "Production")
    relay.look()
    relay.look()
    assert [each.fact.type for each in relay.pending(name)] == [STAGED]
    assert len(relay.settled(name, 1)) == 1, "it waits for its webhook"
    relay.pass_time(name)
    relay.look()
    events = relay.settled(name, 2)
    assert sorted(event["type"] for event in events) == [CREATED, STAGED]
    until(lambda: relay.releases(name) == 1)
    told = '"text":"found in the registry, reported by no webhook"'
    assert all(told in event["event"] for event in events)
    until(lambda: sorted(relay.lines(name)) == [("enqueued", CREATED, "kept"), ("enqueued", STAGED, "kept")])
    relay.look()
    assert len(relay.settled(name, 2)) == 2


def test_a_webhook_that_comes_late_releases_nothing_again(relay: Reconciling, model: str) -> None:
    name = f"wine-{model}"
    relay.registries["kept"].add_version(name, stage="Production")
    relay.find(name)
    (event,) = [each for each in relay.settled(name, 2) if each["type"] == STAGED]
    until(lambda: relay.releases(name) == 1)
    late = relay.told("kept", name, ago=LATER)
    assert late != event["PartitionKey"]
    relay.settled(name, 2)
    assert (relay.releases(name), len(relay.messages(name))) == (1, 2)
    index = relay.table("recent").query_entities("model eq @model", parameters={"model": name})
    assert sorted(row["event"] for row in index) == sorted(each["PartitionKey"] for each in relay.events_of(name))


def test_a_webhook_that_comes_while_the_event_lies_in_the_queue_is_that_event(relay: Reconciling, model: str) -> None:
    name = f"told-{model}"
    relay.registries["kept"].add_version(name, stage="Staging")
    relay.find(name)
    relay.told("kept", name, ago=LATER, stage="Staging")
    relay.told("kept", name, ago=LATER, stage="Staging")
    relay.settled(name, 2)
    until(lambda: len(relay.messages(name)) == 2)


def test_what_a_webhook_has_told_is_not_told_again(relay: Reconciling, model: str) -> None:
    name = f"wine-{model}"
    relay.registries["kept"].add_version(name)
    relay.find(name)
    relay.registries["kept"].transition(name, "1", "Production")
    event = relay.told("kept", name)
    relay.settled(name, 2)
    relay.find(name)
    assert event in [each["PartitionKey"] for each in relay.settled(name, 2)]
    assert (relay.releases(name), len(relay.messages(name))) == (1, 2)
    assert relay.lines(name) == [("enqueued", CREATED, "kept")]


def test_a_stage_that_is_set_again_and_told_again_is_two_events(relay: Reconciling, model: str) -> None:
    name = f"wine-{model}"
    relay.registries["kept"].add_version(name, stage="Production")
    relay.find(name)
    until(lambda: relay.releases(name) == 1)
    for stage in ("Archived", "Production"):
        relay.registries["kept"].transition(name, "1", stage)
        relay.told("kept", name, stage=stage)
        relay.settled(name, 3 if stage == "Archived" else 4)
        relay.find(name)
    relay.settled(name, 4)
    until(lambda: relay.releases(name) == 2)
    assert len(relay.lines(name)) == 2, "only what was missed at first was told of"


def test_a_stage_that_is_set_again_and_missed_again_is_found_again(relay: Reconciling, model: str) -> None:
    name = f"wine-{model}"
    relay.registries["kept"].add_version(name)
    relay.find(name, HOURS[0])
    for count, stage in enumerate(("Production", "Archived", "Production"), 1):
        relay.registries["kept"].transition(name, "1", stage)
        relay.find(name, HOURS[count])
        relay.settled(name, count + 1)
    until(lambda: relay.releases(name) == 2)
    stages = [(each["type"], each["event"].count('"from_stage":"Archived"')) for each in relay.events_of(name)]
    assert sorted(stages) == [(CREATED, 0), (STAGED, 0), (STAGED, 0), (STAGED, 1)]


def test_an_alias_that_moves_unheard_is_found_each_time(relay: Reconciling, model: str) -> None:
    name = f"told-{model}"
    registry = relay.registries["kept"]
    for _ in range(2):
        registry.add_version(name)
    for version, ago in zip(("1", "2", "1"), HOURS, strict=False):
        registry.models[name].aliases["champion"] = version
        relay.find(name, ago)
    events = [each for each in relay.settled(name, 5) if each["type"] == ALIASED]
    assert sorted(event["version"] for event in events) == ["1", "1", "2"]


def test_an_alert_tells_and_leaves_the_act_to_its_webhook(relay: Reconciling, model: str) -> None:
    name = f"wine-{model}"
    relay.registries["watched"].add_version(name, stage="Production")
    relay.find(name)
    wanted = [("unreported", CREATED, "watched"), ("unreported", STAGED, "watched")]
    until(lambda: sorted(relay.lines(name)) == wanted)
    relay.look()
    assert (sorted(relay.lines(name)), relay.events_of(name)) == (wanted, [])
    event = relay.told("watched", name, ago=LATER)
    assert [each["PartitionKey"] for each in relay.settled(name, 1)] == [event]
    until(lambda: relay.releases(name) == 1)


def test_what_no_route_waits_for_is_not_told_of(relay: Reconciling, model: str) -> None:
    name = f"caused-{model}"
    relay.registries["watched"].add_version(f"beer-{model}", stage="Production")
    relay.registries["watched"].add_version(name)
    relay.find(name)
    until(lambda: relay.lines(name) == [("unreported", CREATED, "watched")])
    assert relay.rows(f"beer-{model}") == []


def test_what_is_gone_before_its_time_is_not_told_of(relay: Reconciling, model: str) -> None:
    name = f"wine-{model}"
    relay.registries["kept"].add_version(name)
    relay.find(name)
    relay.registries["kept"].transition(name, "1", "Production")
    relay.look()
    relay.pass_time(name)
    relay.registries["kept"].transition(name, "1", "None")
    relay.look()
    assert relay.pending(name) == []
    assert len(relay.settled(name, 1)) == 1


def test_a_model_that_could_not_be_seen_before_is_taken_as_it_is(relay: Reconciling, model: str) -> None:
    name = f"wine-{model}"
    registry = relay.registries["kept"]
    registry.add_version(name, stage="Production")
    registry.models[name].created -= 3_600_000
    relay.look()
    assert len(relay.rows(name)) == 1
    assert relay.pending(name) == []


def test_a_model_that_is_gone_is_forgotten(relay: Reconciling, model: str) -> None:
    name = f"wine-{model}"
    registry = relay.registries["kept"]
    registry.add_version(name)
    relay.look()
    assert len(relay.rows(name)) == 1
    del registry.models[name]
    relay.look()
    assert relay.rows(name) == []


def test_a_registry_that_is_down_is_told_of_and_harms_no_other(relay: Reconciling, model: str) -> None:
    name = f"wine-{model}"
    relay.registries["kept"].faults.add("GET", "registered-models/search", status=503, body="down for maintenance")
    relay.registries["watched"].add_version(name, stage="Production")
    relay.look(sources=1)
    until(lambda: ("failed", "", "kept") in relay.lines_without_model())
    relay.pass_time(name)
    relay.look()
    until(lambda: ("unreported", STAGED, "watched") in relay.lines(name))


def test_a_model_that_can_not_be_read_is_told_of_and_found_later(relay: Reconciling, model: str) -> None:
    registry = relay.registries["kept"]
    registry.models.clear()
    odd, sound = f"caused-{model}-a", f"caused-{model}-b"
    for name in (odd, sound):
        registry.add_version(name)
        relay.find(name)
        registry.transition(name, "1", "Production")
    registry.faults.add("GET", "model-versions/search", status=403, body="not yours")
    relay.look()
    until(lambda: relay.lines(odd)[-1:] == [("failed", "", "kept")])
    relay.find(odd)
    relay.settled(odd, 2)
    relay.pass_time(sound)
    relay.look()
    relay.settled(sound, 2)


def test_a_registry_that_fails_in_between_is_looked_at_from_there_on(relay: Reconciling, model: str) -> None:
    registry = relay.registries["kept"]
    registry.models.clear()
    names = [f"caused-{model}-{letter}" for letter in "abcd"]
    for name in names:
        registry.add_version(name)
    relay.look()
    registry.faults.add("GET", "model-versions/search", times=3, status=503, body="down")
    for name in names:
        relay.pass_time(name)
    relay.look()
    until(lambda: all(("failed", "", "kept") in relay.lines(name) for name in names[:3]))
    assert all(relay.pending(name) for name in names), "one failure may be the model's, three are the registry's"
    relay.look()
    assert [len(relay.pending(name)) for name in names] == [1, 1, 1, 0]
    relay.look()
    assert not any(relay.pending(name) for name in names)
    for name in names:
        relay.settled(name, 1)


def test_two_workers_at_once_make_one_event(relay: Reconciling, model: str, tmp_path: Path) -> None:
    other = relay.system.worker(settings(relay.system, tmp_path))
    try:
        name = f"told-{model}"
        relay.registries["kept"].add_version(name, stage="Staging")
        relay.start()
        relay.start(other)
        until(lambda: relay.pending(name))
        relay.pass_time(name)
        relay.start()
        relay.start(other)
        until(lambda: not relay.pending(name))
        relay.settled(name, 2)
        relay.look()
        assert len(relay.settled(name, 2)) == len(relay.messages(name)) == 2
    finally:
        other.stop()


@pytest.mark.parametrize("passed", [LATER, timedelta(hours=5)])
def test_what_a_step_of_ours_has_caused_is_known_for_that_however_late_it_is_found(
    relay: Reconciling, model: str, passed: timedelta
) -> None:
    name = f"caused-{model}"
    relay.registries["kept"].add_version(name)
    relay.find(name)
    comment = {
        "event": "COMMENT_CREATED",
        "event_timestamp": int(datetime.now(UTC).timestamp() * 1000),
        "model_name": name,
        "version": "1",
        "comment": "promote it",
        "text": "",
    }
    event = relay.tell("kept", comment)
    until(lambda: relay.row(event, "promote.registry_transition").get("state") == "succeeded")
    for row in list(relay.table("echoes").query_entities("event eq ''")):
        relay.table("echoes").update_entity({**row, "at": row["at"] - passed})
    relay.look()
    relay.pass_time(name, passed)
    relay.look()
    (found,) = [each for each in relay.settled(name, 3) if each["type"] == STAGED]
    assert f'"event_id":"{event}"' in found["cause"]


def test_a_source_that_is_not_reconciled_any_more_begins_anew(relay: Reconciling, model: str) -> None:
    stale = {"PartitionKey": "a-source-that-was", "RowKey": "a-model", "model": model, "at": datetime.now(UTC)}
    kept = relay.rows(OLD)[0]
    relay.table(RECONCILED).upsert_entity({**kept, **stale})
    look = relay.table(RECONCILED).query_entities("PartitionKey eq 'look'")
    relay.table(RECONCILED).upsert_entity({**next(iter(look)), "RowKey": "a-source-that-was"})
    relay.look()
    until(lambda: "a-source-that-was" not in relay.looked())
    assert relay.rows(model) == []
