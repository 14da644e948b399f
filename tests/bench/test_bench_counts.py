"""What an event costs is counted, and the count is exact: a transaction more is a change to be explained."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench import cost
from bench.cost import REASONS, Spent
from local.system import System

SHARED = {
    "put message events": 1,
    "get messages events": 1,
    "delete message events": 1,
    "recent merge": 1,
    "open merge": 1,
    "budget merge": 1,
    "budget query": 1,
    "open delete": 1,
}


@pytest.fixture(scope="module")
def spent() -> Iterator[dict[str, list[Spent]]]:
    with System() as system:
        yield cost.count(system, 2)


def steps(count: int, writes: int) -> dict[str, int]:
    """What steps cost beside what each event does: a message is none of it, since one hand does them all.

    The record, which claims the first step, and the first that is written of that are inserts; an end with which the
    next step begins is a transaction; the other `writes` are of one row.
    """
    counts = {"steps insert": 2, "steps transaction": count - 1, "steps replace": writes - count - 1}
    return {name: number for name, number in counts.items() if number}


@pytest.mark.parametrize(
    ("route", "count", "writes"),
    [
        ("one-call", 1, 2),  # recorded as claimed, ended
        ("one-step", 1, 3),  # and the draft's number before it is set active
        ("three-steps", 3, 7),  # a claim and an end more for each further step
    ],
)
def test_the_storage_transactions_of_an_event_are_these(
    spent: dict[str, list[Spent]], route: str, count: int, writes: int
) -> None:
    for event in spent[route]:
        assert event.storage == {**SHARED, **steps(count, writes)}


def test_a_warm_worker_asks_neither_vault_nor_identity_and_each_target_as_often_as_it_must(
    spent: dict[str, list[Spent]],
) -> None:
    calls = {route: [event.calls for event in events] for route, events in spent.items()}
    quiet = {"vault": 0, "identity": 0}
    assert calls["one-call"] == [{**quiet, "devops": 0, "chat": 1}] * 2
    assert calls["one-step"] == [{**quiet, "devops": 2, "chat": 0}] * 2  # a draft, and its activation
    assert calls["three-steps"] == [{**quiet, "devops": 2, "chat": 2}] * 2


def test_the_functions_run_once_per_delivery_and_event_however_many_steps_a_route_has(
    spent: dict[str, list[Spent]],
) -> None:
    for events in spent.values():
        for event in events:
            assert event.executions == {"receive_delivery": 1, "route_event": 1, "run_step": 0}
            assert event.milliseconds.keys() == {"receive_delivery", "route_event", "run_step"}, "the steps were run"


def test_the_report_has_every_route_and_a_reason_for_every_operation(spent: dict[str, list[Spent]]) -> None:
    total, detail = cost.report_of(spent)
    assert [name for name, _ in total.rows] == [*cost.TITLES.values()]
    assert {name for name, _ in detail.rows} <= REASONS.keys()
    assert all(goal.is_met for goal in total.goals)
