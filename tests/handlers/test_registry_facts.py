"""What a look shows against the look before: each new fact is due once, if it stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.reconcile_rows import pack, unpack
from handlers.registry_facts import (
    ALIAS_CREATED,
    CREATED,
    GRACE,
    STAGE_CHANGED,
    Fact,
    Pending,
    Sight,
    Snapshot,
    baseline,
    compare,
    event_of,
    sight,
)
from shared.acts import SKEW
from shared.registries_listing import ListedModel, ListedVersion

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
FACTS = [
    Fact(CREATED, "1"),
    Fact(CREATED, "2"),
    Fact(STAGE_CHANGED, "1", "Staging"),
    Fact(STAGE_CHANGED, "1", "Production"),
    Fact(ALIAS_CREATED, "1", "champion"),
    Fact(ALIAS_CREATED, "2", "champion"),
]
sights = st.frozensets(st.sampled_from(FACTS)).map(Sight)
minutes = st.integers(min_value=1, max_value=15)
looks = st.lists(st.tuples(minutes, sights), min_size=1, max_size=12)


def milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


@given(sights, looks)
def test_a_fact_is_due_once_for_each_time_it_comes_and_stays_as_long_as_the_grace(
    first: Sight, following: list[tuple[int, Sight]]
) -> None:
    snapshot, before, now = baseline(first), START, START
    came: dict[Fact, datetime] = {}  # what is there, not settled, and since when: counted another way
    there = set(first.facts)
    for passed, seen in following:
        before, now = now, now + timedelta(minutes=passed)
        came = {fact: at for fact, at in came.items() if fact in seen.facts}
        came.update(dict.fromkeys(seen.facts - there, now))
        there = set(seen.facts)
        snapshot = compare(snapshot, seen, before, now)
        assert {each.fact: each.seen for each in snapshot.pending} == came
        assert snapshot.known | came.keys() == seen.facts
        assert not snapshot.known & came.keys()
        due = snapshot.due(now)
        assert {each.fact for each in due} == {fact for fact, at in came.items() if at + GRACE <= now}
        for each in due:
            snapshot = snapshot.settled(each)
            del came[each.fact]


@given(sights, sights)
def test_a_look_that_shows_the_same_changes_nothing_and_a_row_keeps_it_whole(first: Sight, second: Sight) -> None:
    snapshot = compare(baseline(first), second, START, START + GRACE)
    assert compare(snapshot, second, START + GRACE, START + 2 * GRACE) == snapshot
    assert unpack(pack(snapshot)) == snapshot


def test_a_model_of_very_many_versions_fits_its_row() -> None:
    numbers = [str(number * 7919) for number in range(40_000)]
    snapshot = Snapshot(frozenset(Fact(STAGE_CHANGED, number, "Archived") for number in numbers))
    columns = pack(snapshot)
    assert len(columns) > 1
    assert max(map(len, columns.values())) < 2**16
    assert sum(map(len, columns.values())) < 2**20
    assert unpack(columns) == snapshot


def test_a_model_shows_its_versions_their_stages_and_aliases() -> None:
    model = ListedModel(name="wine", aliases={"champion": "2"})
    versions = [ListedVersion(version="1", stage="Production", created=5, updated=7), ListedVersion(version="2")]
    seen = sight(model, versions)
    assert seen.facts == {
        Fact(CREATED, "1"),
        Fact(CREATED, "2"),
        Fact(STAGE_CHANGED, "1", "Production"),
        Fact(ALIAS_CREATED, "2", "champion"),
    }
    assert (seen.times[Fact(CREATED, "1")], seen.times[Fact(STAGE_CHANGED, "1", "Production")]) == (5, 7)


@pytest.mark.parametrize(
    ("said", "is_taken"),
    [
        (START, True),
        (START + GRACE, True),
        (START - SKEW, True),
        (START + GRACE + SKEW, True),
        (START - timedelta(hours=1), False),
        (START + timedelta(hours=1), False),
    ],
)
def test_the_registrys_own_time_is_taken_if_the_act_can_have_happened_then(said: datetime, is_taken: bool) -> None:
    seen = Sight(frozenset(FACTS[:1]), {FACTS[0]: milliseconds(said)})
    (pending,) = compare(Snapshot(), seen, START, START + GRACE).pending
    assert pending.happened == milliseconds(said if is_taken else START + GRACE)


def test_the_event_of_a_stage_knows_the_stage_before() -> None:
    before = baseline(Sight(frozenset({Fact(CREATED, "1"), Fact(STAGE_CHANGED, "1", "Staging")})))
    after = compare(before, Sight(frozenset({Fact(CREATED, "1"), FACTS[3]})), START, START + GRACE)
    event = event_of("wine-dev", "databricks", "wine", after.pending[0], START)
    assert (event.type, event.from_stage, event.to_stage) == (STAGE_CHANGED, "Staging", "Production")
    assert (event.source, event.model, event.version, event.alias) == ("wine-dev", "wine", "1", "")
    assert event == event_of("wine-dev", "databricks", "wine", after.pending[0], START)


@pytest.mark.parametrize(("kind", "tags"), [("mlflow", {"a": "b"}), ("databricks", {})])
def test_the_event_of_a_new_version_bears_tags_where_a_webhook_would(kind: str, tags: dict[str, str]) -> None:
    pending = Pending(FACTS[0], START, START, milliseconds(START), tags={"a": "b"})
    assert event_of("models", kind, "wine", pending, START).tags == tags
