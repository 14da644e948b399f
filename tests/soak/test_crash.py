"""A short soak at each test run, and the checker on findings of its own."""

from __future__ import annotations

from local.system import System
from soak.crash import Soak
from soak.history import check
from soak.injections import KILLS


def test_workers_that_are_killed_and_frozen_lose_nothing_and_start_nothing_twice() -> None:
    soak = Soak(events=30, workers=3, seed=7, pace=0.3, calm=0.3, patience=70)
    history = soak.run()
    assert soak.sender is not None
    assert len(soak.sender.accepted) == 30
    assert not soak.sender.other
    assert not history.violations
    assert soak.plan.count(*KILLS) >= 3
    assert len({each.window for each in soak.plan.done}) >= 5


def test_the_checker_finds_an_accepted_event_that_the_ledger_does_not_know() -> None:
    with System() as system:
        history = check(system, {"0" * 64: "release-lost"})
    assert history.violations == {"lost": ["release-lost"]}
