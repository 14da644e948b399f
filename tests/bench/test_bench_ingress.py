"""The quick forms of ingress and of our own CPU time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench import deliveries, ingress, load, own_cpu
from bench.contestants import ours
from bench.report import Report, figures
from local.system import System


@pytest.fixture(scope="module")
def outside() -> Iterator[System]:
    with System() as running:
        yield running


@pytest.fixture(scope="module")
def report(outside: System) -> Report:
    return ingress.run(outside, ingress.contestants(outside), rounds=1, count=20, seconds=10, concurrencies=(1, 4))


def test_the_table_has_all_contestants_with_what_they_store(report: Report) -> None:
    names = ["registry relay", "relay, telemetry", "bare function", "Starlette and SDK"]
    assert [name for name, _ in report.rows] == names
    for _, cells in report.rows:
        assert set(figures(cells)) >= {"per s at 1", "p50 at 1", "p99 at 1", "per s at 4", "p50 at 4", "p99 at 4"}
        assert "queue" in str(cells["stored before the answer"])


def test_a_refused_signature_is_always_401_and_never_a_queue_write(report: Report) -> None:
    for name in ("registry relay", "relay, telemetry", "Starlette and SDK"):
        cells = figures(dict(report.rows)[name])
        assert cells["refused with 401"].values == [20.0]
        assert cells["answered otherwise"].values == [0.0]
        assert cells["queued of them"].values == [0.0]


def test_a_contestant_that_refuses_good_deliveries_is_no_contestant(outside: System) -> None:
    stranger = ours.relay(outside, KEY_VAULT_URL="https://127.0.0.1:1", **ours.HTTP_ONLY)
    with pytest.raises(RuntimeError, match=r"answered \{503: 3\} to good deliveries"):
        ingress.run(outside, [stranger], rounds=1, count=3, seconds=5, concurrencies=(1,))


def test_the_relay_answers_both_kinds_of_delivery_as_they_deserve(outside: System) -> None:
    requests = deliveries.signed(outside.secret(ours.SECRET), "one", 2)
    with ours.relay(outside, **ours.HTTP_ONLY).start() as running:
        mixed = [*requests, *deliveries.wrongly_signed(requests)]
        assert load.run(running.url, mixed, concurrency=1, count=4, seconds=20).statuses == [202, 202, 401, 401]


def test_our_own_cpu_time_is_told_beside_the_least_there_is(outside: System) -> None:
    report = own_cpu.run(outside, 100)
    names = [own_cpu.BARE, own_cpu.FLOOR, own_cpu.ACCEPTED, own_cpu.REFUSED]
    assert [name for name, _ in report.rows] == names + [f"{name}, telemetry by OTLP" for name in names[2:]]
    assert all(len(figures(cells)["µs"].values) == 2 for _, cells in report.rows)
