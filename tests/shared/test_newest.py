"""The high-water mark of a place: in whatever order events come there, and however many at once, the newest has it."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import newest
from shared.newest import Mark

pytestmark = pytest.mark.usefixtures("system")
EVENTS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abc")), min_size=1, max_size=6)


def place() -> str:
    return f"endpoint-{uuid.uuid4().hex}"


@settings(max_examples=25, deadline=None)
@given(EVENTS)
def test_the_newest_of_all_that_came_has_the_mark_and_is_told_to_each_that_is_older(
    events: list[tuple[int, str]],
) -> None:
    where, seen = place(), []
    for time, name in events:
        event = f"{time}{name}"
        seen.append((time, event))
        mark = newest.take(where, time, f"{event}/deploy", decides=False)
        assert (mark.time, mark.event) == max(seen)
        assert mark.is_of(f"{event}/deploy") == (max(seen) == (time, event))
    assert newest.find(where) == Mark(*max(seen), steps=("deploy",))


def test_events_that_come_at_once_agree_on_the_newest() -> None:
    where = place()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda time: newest.take(where, time, f"event-{time}/deploy", decides=False), range(24)))
    assert newest.find(where) == Mark(23, "event-23", ("deploy",))


def test_the_steps_of_the_newest_event_are_kept_in_their_order_and_the_last_that_decides_has_the_last_word() -> None:
    where = place()
    for name, decides in (("deploy", False), ("tenth", True), ("score", False), ("whole", True), ("tenth", True)):
        newest.take(where, 1, f"event/{name}", decides=decides)
    assert newest.find(where) == Mark(1, "event", ("deploy", "tenth", "score", "whole"), "whole")
    assert newest.take(where, 2, "later/deploy", decides=False) == Mark(2, "later", ("deploy",), "")


def test_where_nobody_has_been_there_is_no_mark_and_an_event_that_is_forgotten_is_not_under_way() -> None:
    assert newest.find(place()) == Mark()
    assert not newest.is_under_way(Mark(1, "forgotten", ("deploy",)))
