"""One act is one event, whether a webhook or the reconciler is first, or both are at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import msgspec
import pytest

from local.system import System
from shared import acts
from shared.messages import Event

REGISTRY = "https://registry.example.com"
NOW = datetime.now(UTC)
SINCE, SEEN = NOW - timedelta(minutes=30), NOW - timedelta(minutes=15)
BETWEEN = NOW - timedelta(minutes=20)

pytestmark = pytest.mark.usefixtures("system")


def event(model: str, happened: datetime, id: str = "webhook", source: str = "dev") -> Event:
    return Event(
        id=id,
        source=source,
        type="model_version.stage_changed",
        delivery="d",
        timestamp=int(happened.timestamp() * 1000),
        received=NOW.timestamp(),
        model=model,
        version="1",
        to_stage="Production",
    )


def found(model: str, since: datetime = SINCE, seen: datetime = SEEN, id: str = "found", now: datetime = NOW) -> bool:
    return acts.reserve(REGISTRY, event(model, seen, id), since, seen, now)


def test_a_webhook_that_was_first_is_what_tells(model: str) -> None:
    told = event(model, BETWEEN)
    assert acts.settle(REGISTRY, told, NOW) is None
    assert acts.was_told(REGISTRY, told, SINCE)
    assert not found(model)
    assert acts.settle(REGISTRY, told, NOW) is None, "its message may come again"


def test_what_was_found_first_is_the_event_of_a_later_webhook(model: str) -> None:
    assert found(model)
    window = acts.Window("found", SINCE, SEEN, NOW)
    for happened in (SINCE, BETWEEN, SEEN, SEEN + timedelta(minutes=5)):  # the last as MLflow names the time
        assert acts.settle(REGISTRY, event(model, happened), NOW) == window
    assert acts.settle(REGISTRY, event(model, SEEN, "found"), NOW) == window
    later = NOW + timedelta(minutes=15)
    assert found(model, now=later), "asked again after a crash, the answer is the same"
    assert acts.settle(REGISTRY, event(model, SEEN), later) == window


@pytest.mark.parametrize("happened", [SINCE - timedelta(minutes=5), NOW + timedelta(minutes=5)])
def test_a_webhook_of_another_time_tells_of_another_act(model: str, happened: datetime) -> None:
    assert found(model)
    assert acts.settle(REGISTRY, event(model, happened), NOW) is None


def test_an_act_that_was_told_before_does_not_tell_of_one_that_was_missed_since(model: str) -> None:
    acts.settle(REGISTRY, event(model, SINCE - timedelta(hours=1)), NOW)
    assert not acts.was_told(REGISTRY, event(model, NOW), SINCE)
    assert found(model)


def test_each_of_several_acts_that_were_found_knows_its_own_late_webhook(model: str) -> None:
    ago = timedelta(hours=2)
    assert found(model, SINCE - ago, SEEN - ago, "first", NOW - ago)
    assert found(model, id="second")
    acts.settle(REGISTRY, event(model, NOW + ago), NOW + ago)
    windows = [acts.settle(REGISTRY, event(model, each), NOW) for each in (SEEN - ago, SEEN)]
    assert [window.event for window in windows if window] == ["first", "second"]


def test_one_act_is_not_found_as_two_events(model: str) -> None:
    assert found(model, id="first")
    assert not found(model, SINCE + timedelta(minutes=1), SEEN + timedelta(minutes=1), id="second")


def test_a_source_of_the_same_registry_has_acts_of_its_own(model: str) -> None:
    acts.settle(REGISTRY, event(model, BETWEEN, source="other"), NOW)
    assert found(model)
    assert acts.settle(REGISTRY, event(model, BETWEEN, source="other"), NOW) is None


@pytest.mark.parametrize("field", ["model", "version", "to_stage", "type"])
def test_another_act_is_another_row(model: str, field: str) -> None:
    assert found(model)
    other = msgspec.structs.replace(event(model, BETWEEN), **{field: f"other-{model}"})
    assert acts.settle(REGISTRY, other, NOW) is None


def test_of_a_webhook_and_the_reconciler_at_once_one_is_first_and_the_other_knows(model: str) -> None:
    """All of them start together, on one row: whatever the order, nobody believes to be first beside another."""
    seen = set()
    with ThreadPoolExecutor(3) as pool:
        for round in range(25):
            name, gate = f"{model}-{round}", Barrier(3)

            def webhook(name: str = name, gate: Barrier = gate) -> str:
                gate.wait()
                window = acts.settle(REGISTRY, event(name, BETWEEN), NOW)
                return window.event if window else "webhook"

            def reconciler(id: str, name: str = name, gate: Barrier = gate) -> str:
                gate.wait()
                return id if found(name, id=id) else ""

            told = [pool.submit(webhook), pool.submit(reconciler, "one"), pool.submit(reconciler, "two")]
            answers = {each.result() for each in told} - {""}
            assert len(answers) == 1, "everybody names the same event"
            seen |= answers
    assert len(seen) > 1, "sometimes the one was first, sometimes the other"


def test_what_was_told_long_ago_is_forgotten(system: System, model: str) -> None:
    long_ago = NOW - timedelta(days=400)
    acts.settle(REGISTRY, event(model, long_ago), long_ago)
    acts.settle(REGISTRY, event(f"{model}-young", BETWEEN), NOW)
    assert acts.forget(NOW - timedelta(days=300), 100) == 1
    assert not acts.was_told(REGISTRY, event(model, NOW), long_ago)
    assert acts.was_told(REGISTRY, event(f"{model}-young", NOW), SINCE)
