"""One step's life: only along the arrows, with a history that is told and does not grow for ever."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import product

import msgspec
import pytest

from shared.routes import Route, StepPlan, When
from shared.steps import ARROWS, ENDED, HISTORY_LENGTH, MAX_TEXT, State, Step, moved, new_step

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
PLAN = StepPlan(id="tell", target="slack", options={})
ROUTE = Route(name="wine", when=When(event="comment.created"), steps=(PLAN,))
EVENT = "e" * 64


def step(state: State = State.READY) -> Step:
    return msgspec.structs.replace(new_step(EVENT, ROUTE, PLAN, NOW), state=state)


NO_ARROWS = [(a, b) for a, b in product(State, State) if b not in ARROWS[a]]
THE_ARROWS = [(a, b) for a, b in product(State, State) if b in ARROWS[a]]


@pytest.mark.parametrize(("state", "to"), NO_ARROWS, ids=[f"{a}-{b}" for a, b in NO_ARROWS])
def test_there_is_no_way_but_along_an_arrow(state: State, to: State) -> None:
    with pytest.raises(ValueError, match=f"no arrow leads from {state} to {to}"):
        moved(step(state), NOW, to)


@pytest.mark.parametrize(("state", "to"), THE_ARROWS, ids=[f"{a}-{b}" for a, b in THE_ARROWS])
def test_an_arrow_leads_to_its_state_and_is_told_in_the_history(state: State, to: State) -> None:
    later = NOW + timedelta(minutes=1)
    after = moved(step(state), later, to, reason="because")
    assert after.state is to
    assert (after.history[-1].at, after.history[-1].state, after.history[-1].note) == (later, to, "because")
    assert after.ended == (later if to in ENDED else None)


@pytest.mark.parametrize("target", [State.RUNNING, State.RETRY, State.WAITING])
def test_what_has_ended_is_never_acted_on_again_without_an_operator(target: State) -> None:
    assert all(target not in ARROWS[state] for state in ENDED)


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.SUPERSEDED])
def test_what_stands_is_only_begun_anew(state: State) -> None:
    assert ARROWS[state] == {State.READY}, "by an operator's force, under a new key"


@pytest.mark.parametrize("state", [state for state in State if state not in ENDED])
def test_every_state_that_has_not_ended_can_reach_an_end(state: State) -> None:
    reached = {state}
    while more := {to for each in reached for to in ARROWS[each]} - reached:
        reached |= more
    assert State.DEAD in reached
    assert State.SUCCEEDED in reached


def test_only_a_claim_leads_from_ready_to_an_effect() -> None:
    assert ARROWS[State.READY].isdisjoint({State.SUCCEEDED, State.WAITING, State.IN_DOUBT})
    assert ARROWS[State.RETRY].isdisjoint({State.SUCCEEDED, State.WAITING, State.IN_DOUBT})


def test_a_move_to_the_same_state_is_told_only_when_its_reason_is_news() -> None:
    before = moved(step(State.RUNNING), NOW, State.IN_DOUBT, reason="no reply")
    same = moved(before, NOW, State.IN_DOUBT, progress={"release": 7})
    assert same.history == moved(before, NOW, State.IN_DOUBT, reason="no reply").history == before.history
    assert (same.progress, same.reason) == ({"release": 7}, "no reply")
    news = moved(before, NOW, State.IN_DOUBT, reason="not found")
    assert [moment.note for moment in news.history[len(before.history) :]] == ["not found"]


def test_an_old_outcome_and_reason_are_gone_in_another_state() -> None:
    failed = moved(step(State.RUNNING), NOW, State.RETRY, reason="no", outcome="nothing")
    again = moved(failed, NOW, State.RUNNING)
    assert (again.reason, again.outcome) == ("", "")


def test_the_history_keeps_the_newest_lines_only() -> None:
    one = step()
    for number in range(200):
        state = State.RUNNING if number % 2 == 0 else State.RETRY
        one = moved(one, NOW + timedelta(seconds=number), state, reason=f"{number}")
    assert len(one.history) == HISTORY_LENGTH
    assert [moment.note for moment in one.history] == [str(number) for number in range(200 - HISTORY_LENGTH, 200)]


def test_long_texts_are_cut_so_that_the_row_always_fits() -> None:
    one = step()
    for number in range(100):
        state = State.RUNNING if number % 2 == 0 else State.RETRY
        one = moved(one, NOW, state, reason="x" * 100_000, outcome="y" * 100_000)
    assert len(one.reason) == len(one.outcome) == MAX_TEXT
    assert len(msgspec.json.encode(one.history)) < 32_000


def test_a_new_step_begins_where_the_route_says() -> None:
    one = new_step(EVENT, ROUTE, PLAN, NOW)
    assert (one.id, one.route, one.name, one.target) == ("wine.tell", "wine", "tell", "slack")
    assert (one.state, one.due, one.ended, one.attempts) == (State.READY, NOW, None, 0)
    told = new_step(EVENT, ROUTE, PLAN, NOW, one)
    assert (told.id, told.tells_of) == ("wine.on_failure.tell", "wine.tell")
    again = new_step(EVENT, ROUTE, PLAN, NOW, msgspec.structs.replace(one, reopened=2))
    assert again.id == "wine.on_failure.tell.2", "what fails again after a replay is told again"


def test_the_key_is_64_hex_and_its_own_for_each_event_route_step_and_replay() -> None:
    other_plan = msgspec.structs.replace(PLAN, id="tell-again")
    other_route = msgspec.structs.replace(ROUTE, name="beer")
    one = new_step(EVENT, ROUTE, PLAN, NOW)
    steps = [
        one,
        new_step("f" * 64, ROUTE, PLAN, NOW),
        new_step(EVENT, other_route, PLAN, NOW),
        new_step(EVENT, ROUTE, other_plan, NOW),
        new_step(EVENT, ROUTE, PLAN, NOW, one),
        msgspec.structs.replace(one, replays=1),
        msgspec.structs.replace(one, replays=11),
    ]
    keys = {each.key for each in steps}
    assert len(keys) == len(steps)
    assert all(re.fullmatch("[0-9a-f]{64}", key) for key in keys)


def test_the_key_stays_the_same_through_all_attempts() -> None:
    one = step()
    again = moved(moved(one, NOW, State.RUNNING, fence=1, attempts=1), NOW, State.RETRY, reason="busy", etag="x")
    assert again.key == one.key
