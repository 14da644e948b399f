"""The back-off: never shorter than before, never longer than what was set or advised."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from handlers.outcomes import back_off

SECONDS = st.floats(min_value=0.001, max_value=1e6)


@given(st.lists(SECONDS, min_size=1, max_size=10).map(sorted), SECONDS | st.just(0.0))
def test_a_back_off_never_gets_shorter_and_stays_within_what_was_set_or_advised(
    delays: list[float], advised: float
) -> None:
    waits = [back_off(delays, attempts, advised) for attempts in range(1, len(delays) + 1)]
    assert waits == sorted(waits)
    for delay, wait in zip(delays, waits, strict=True):
        assert max(delay, advised) <= wait <= max(delay * 1.2, advised)


@given(st.lists(SECONDS, min_size=2, max_size=10).map(sorted))
def test_steps_that_failed_together_come_back_apart(delays: list[float]) -> None:
    waits = {back_off(delays, len(delays), 0.0) for _ in range(20)}
    assert len(waits) > 1
