"""The quick forms of end to end and of scale: each event becomes one release, also when its worker is killed."""

from __future__ import annotations

import gc

import pytest

from bench import end_to_end, scale
from bench.end_to_end import Pace
from bench.report import figures
from local.system import System


@pytest.mark.long
def test_every_event_is_one_release_and_a_killed_worker_loses_none() -> None:
    with System() as system:
        entered = [each for each in end_to_end.contestants(system) if "telemetry" not in each.name]
        killed = end_to_end.hasty(system)[:1]
        report = end_to_end.run(system, entered, rounds=1, paces=[Pace("at 5/s", 5, 5.0)], killed=killed)
    assert [name for name, _ in report.rows] == ["registry relay", "bare queue pump"]
    for _, cells in report.rows:
        assert figures(cells)["releases"].values == [5.0]
    relay = figures(dict(report.rows)["registry relay"])
    assert [relay[name].values for name in ("killed with", "kept", "started twice")] == [[5.0], [5.0], [0.0]]


@pytest.mark.long
def test_two_workers_drain_a_queue_and_start_nothing_twice() -> None:
    report = scale.drain(12, [2])  # raises unless there are as many releases as events
    assert [name for name, _ in report.rows] == ["2 workers"]


@pytest.mark.long
def test_healthy_events_arrive_beside_a_target_that_throttles() -> None:
    report = scale.neighbours(4, 5.0, ["throttled"])
    assert [figures(cells)["healthy"].values for _, cells in report.rows] == [[4.0]]


def test_the_stand_ins_process_collects_no_garbage_while_it_is_measured_and_does_so_afterwards() -> None:
    with end_to_end.uncollected():
        assert not gc.isenabled()
    assert gc.isenabled()
