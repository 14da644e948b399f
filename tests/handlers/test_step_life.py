"""A step's life in every order that Hypothesis thinks of: real tables, a real stand-in, and a clock that it advances.

The rules are what the outside and bad luck can do: pointers come late, twice or never, workers crash and stand still
between any two of their calls, replies are lost. The checks are what the README promises.
"""

from __future__ import annotations

import gc
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from typing import Any, TypeVar

import pytest
from azure.core.exceptions import ServiceResponseError
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import shared.settings
from handlers.replay import replay_step, resolve_step
from handlers.route import route_event
from handlers.run import run_step
from handlers.sweep import sweep
from local.azure_devops_wire import Start
from local.serving import certificate
from local.system import System
from shared import ledger, open_events, storage
from shared.errors import UnknownStep
from shared.markers import marker
from shared.messages import Event, EventMessage, StepMessage, encode, identify
from shared.steps import ARROWS, ENDED, State, Step
from shared.stories import Story
from tests.handlers.step_life import Doors, Fate, Worker

START = datetime(2099, 1, 1, tzinfo=UTC)  # no other test's clock comes here
NUMBERS = count(1)
KINDS = ("marked", "release", "wait")  # of routes in tests/routes.yaml: with markers, with drafts, with two steps
MOST_EVENTS = 2
ROUNDS = 15
EXAMPLES, STEPS = 15, 20
ACTS = "(?i)/_apis/(release/releases|pipelines/6/runs)"
RUNS = re.compile("^POST .*/runs")
MARK = re.compile(r"\[relay (\w+)\]")
T = TypeVar("T")
OFF = "AzureWebJobs.run_step.Disabled"
BROKEN = "twice|has ended|was taken"
TROUBLES: dict[str, dict[str, Any]] = {
    "commits, then drops the reply": {"before": False, "drop": True},
    "commits, then answers 500": {"before": False, "status": 500},
    "commits, then answers with a page": {"before": False, "status": 200, "body": "<html>"},
    "answers 503 and commits nothing": {"status": 503, "headers": {"Retry-After": "7"}},
    "answers 429": {"status": 429},
    "refuses": {"status": 403},
}
WHICH = st.sampled_from([0, 0, 0, 1, 2, 3])  # the newest rather than another one: what is under way goes on
CALLS = st.sampled_from([1, 1, 2, 2, 2, 3, 3, 4, 5, 6])  # before the claim, before the act, after it, and later
FATES = st.one_of(st.just(Fate()), st.builds(Fate, st.sampled_from(["crashes", "stands"]), CALLS))
METHODS = st.sampled_from(["POST", "POST", "POST", "PATCH", "GET"])


@dataclass
class Standing:
    """A worker that stands still with a step, whose row it has `claimed` until its lease is over."""

    worker: Worker
    claimed: Step | None
    until: datetime


class StepLife(RuleBasedStateMachine):
    """One or two events and their steps; `list_lag` is how late Azure DevOps lists what it has, if it always is."""

    def __init__(self, system: System, list_lag: float = 0.0) -> None:
        super().__init__()
        self.app = shared.settings.settings()
        self.devops = system.devops
        self.devops.runs, self.devops.releases, self.devops.starts = {}, {}, []
        self.devops.list_lag_seconds = list_lag
        self.devops.clock = lambda: self.now.timestamp()
        self.now = START + timedelta(days=next(NUMBERS))
        self.events: list[Event] = []  # at least one, from `begin`
        self.unrouted: list[Event] = []
        self.pointers: list[tuple[datetime, StepMessage]] = []
        self.standing: list[Standing] = []
        self.overtaken: set[str] = set()
        self.idle = False  # since the last look nobody has done anything
        self.seen: dict[tuple[str, str], Step] = {}
        self.late_runs: Counter[str] = Counter()

    # What senders, queues and time do

    @initialize(kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=2), lags=st.booleans(), alone=st.booleans())
    def begin(self, kinds: list[str], lags: bool, alone: bool = False) -> None:
        self._run_steps_at_once(not alone)
        if lags and not self.devops.list_lag_seconds:
            self.devops.list_lag_seconds = self.app.settle_seconds * 0.9
        for kind in kinds:
            self.deliver(kind, Fate())

    def _run_steps_at_once(self, at_once: bool) -> None:
        """Let whoever routes an event go on with its step, or leave that to a pointer, as where run_step is off."""
        os.environ[OFF] = str(not at_once)
        shared.settings.settings.cache_clear()

    @precondition(lambda self: len(self.events) < MOST_EVENTS)
    @rule(kind=st.sampled_from(KINDS), fate=FATES, method=METHODS, trouble=st.sampled_from(["", "", "", *TROUBLES]))
    def deliver(self, kind: str, fate: Fate, method: str = "POST", trouble: str = "") -> None:
        self._trouble(method, trouble)
        model, now = f"{kind}-life-{next(NUMBERS)}", int(self.now.timestamp() * 1000)
        act: dict[str, Any] = {"type": "model_version.stage_changed", "timestamp": now, "model": model, "version": "1"}
        act |= {"source": "wine-dev", "to_stage": "Production"}
        self.events.append(Event(id=identify(**act), delivery=model, received=now / 1000, **act))
        self.unrouted.append(self.events[-1])
        self._route(self.events[-1], fate)

    @rule(which=WHICH, fate=FATES)
    def deliver_again(self, which: int, fate: Fate) -> None:
        self._route(_chosen(self.events, which), fate)

    @precondition(lambda self: self.pointers)
    @rule(which=WHICH)
    def lose_a_pointer(self, which: int) -> None:
        self.pointers.remove(_chosen(self.pointers, which))

    @rule(share=st.sampled_from([0.1, 0.5, 1.01]))
    def time_passes(self, share: float) -> None:
        self.now += timedelta(seconds=share * self.app.step_lease_seconds)

    # What workers do. A pointer comes as soon as it may; if its worker crashes or stands still, it comes again.

    @precondition(lambda self: self.pointers)
    @rule(which=WHICH)
    def take(self, which: int) -> None:
        self._take(self._arrived(which), Fate())

    @precondition(lambda self: self.pointers)
    @rule(which=WHICH, calls=CALLS)
    def take_and_crash(self, which: int, calls: int) -> None:
        self._take(self._arrived(which), Fate("crashes", calls))

    @precondition(lambda self: self.pointers)
    @rule(which=WHICH, calls=CALLS)
    def take_and_stand_still(self, which: int, calls: int) -> None:
        self._take(self._arrived(which), Fate("stands", calls))

    @precondition(lambda self: self.pointers)
    @rule(which=WHICH, method=METHODS, trouble=st.sampled_from([*TROUBLES]), fate=FATES)
    def take_while_the_target_is_in_trouble(self, which: int, method: str, trouble: str, fate: Fate) -> None:
        self._trouble(method, trouble)
        self._take(self._arrived(which), fate)

    def _trouble(self, method: str, trouble: str) -> None:
        self.devops.faults.clear()
        if trouble:
            self.devops.faults.add(method, ACTS, **TROUBLES[trouble])

    @precondition(lambda self: self.pointers)
    @rule(which=WHICH, calls=CALLS, late=st.booleans())
    def take_what_came_twice(self, which: int, calls: int, late: bool) -> None:
        """One worker stands still in the middle, and goes on when others are done with the same step."""
        pointer, stood = self._arrived(which), len(self.standing)
        self._take(pointer, Fate("stands", calls))
        self.promises_are_kept()
        if late:
            self.time_passes(1.01)
        for _ in range(3 if late else 1):
            self._take(pointer, Fate())
            self.promises_are_kept()
            self.now += timedelta(seconds=self.app.settle_seconds)
        if len(self.standing) > stood:
            self._wake(self.standing.pop())

    @precondition(lambda self: self.standing)
    @rule(which=WHICH)
    def one_that_stood_goes_on(self, which: int) -> None:
        stood = _chosen(self.standing, which)
        self.standing.remove(stood)
        self._wake(stood)

    def _arrived(self, which: int) -> StepMessage:
        arrival = _chosen(self.pointers, which)
        self.pointers.remove(arrival)
        self.now = max(self.now, arrival[0])
        return arrival[1]

    def _wake(self, stood: Standing) -> None:
        claimed = stood.claimed
        if claimed and self.now >= stood.until:
            self.overtaken.add(claimed.event_id)
            if RUNS.search(stood.worker.asks_for):
                self.late_runs[claimed.event_id] += 1  # only the pipeline's own first step keeps this one back
        self._go(stood.worker)
        self._collect(stood.worker)

    @rule(fate=FATES)
    def sweep(self, fate: Fate) -> None:
        worker = Worker(self._swept, fate)
        self._go(worker)
        if worker.stands:
            self.standing.append(Standing(worker, None, self.now))
        self._collect(worker)

    def _go(self, worker: Worker) -> None:
        self.idle = False
        worker.go()

    def _route(self, event: Event, fate: Fate) -> None:
        worker = Worker(lambda: route_event(encode(EventMessage(event=event)).encode(), self._clock), fate)
        self._go(worker)
        if worker.stands:
            self.standing.append(self._standing(worker, event.id))
        elif not worker.crashed and event in self.unrouted:
            self.unrouted.remove(event)
        self._collect(worker)

    def _clock(self) -> datetime:
        return self.now

    def _standing(self, worker: Worker, event_id: str) -> Standing:
        """A worker stands still; the row that is newly running, if there is one, it has claimed."""
        story = self._story(event_id)
        running = [step for step in story.steps.values() if step.state is State.RUNNING] if story else []
        claimed = [step for step in running if step != self.seen.get((event_id, step.id))]
        until = self.now + timedelta(seconds=self.app.step_lease_seconds)
        return Standing(worker, claimed[0] if claimed else None, until)

    def _take(self, pointer: StepMessage, fate: Fate) -> None:
        worker = Worker(lambda: run_step(encode(pointer).encode(), self._clock), fate)
        self._go(worker)
        if worker.stands:
            self.standing.append(self._standing(worker, pointer.event_key))
        if worker.stands or worker.crashed:
            self._point((self.now, pointer))
        self._collect(worker)

    def _collect(self, worker: Worker) -> None:
        sent, worker.queued = worker.queued, []
        self._point(*((self.now + timedelta(seconds=delay), pointer) for pointer, delay in sent))
        if not worker.stands and not worker.crashed:
            self._point(*((self.now, pointer) for pointer in worker.pointers))

    def _point(self, *arrivals: tuple[datetime, StepMessage]) -> None:
        for due, pointer in arrivals:
            if [known for _, known in self.pointers].count(pointer) < 2:
                self.pointers.append((due, pointer))

    def _swept(self) -> list[StepMessage]:
        ours = [event.id for event in self.events]
        found = [pointer for pointer in sweep(self.now) if pointer.event_key in ours]
        return sorted(found, key=lambda pointer: (ours.index(pointer.event_key), pointer.step))

    # What operators do

    @precondition(lambda self: self._ended(*ENDED))
    @rule(which=WHICH)
    def replay_by_force(self, which: int) -> None:
        step = _chosen(self._ended(*ENDED), which)
        self._operate(step, replay_step(step.event_id, step.id, True, self._clock))

    @precondition(lambda self: self._ended(State.DEAD, State.PARKED))
    @rule(which=WHICH)
    def replay(self, which: int) -> None:
        step = _chosen(self._ended(State.DEAD, State.PARKED), which)
        self._operate(step, replay_step(step.event_id, step.id, False, self._clock))

    @precondition(lambda self: self._ended(State.DEAD, State.PARKED))
    @rule(which=WHICH)
    def resolve(self, which: int) -> None:
        step = _chosen(self._ended(State.DEAD, State.PARKED), which)
        self._operate(step, *resolve_step(step.event_id, step.id, "seen", self._clock))

    def _operate(self, step: Step, *pointers: StepMessage) -> None:
        del self.seen[step.event_id, step.id]
        self.idle = False
        self._point(*((self.now, pointer) for pointer in pointers))

    def _ended(self, *states: State) -> list[Step]:
        return [step for step in self.seen.values() if step.state in states]

    @rule(which=WHICH, state=st.sampled_from(State))
    def take_no_other_arrow(self, which: int, state: State) -> None:
        step = _chosen(list(self.seen.values()), which)
        if state not in ARROWS[step.state]:
            with pytest.raises(ValueError, match="no arrow"):
                ledger.change(step, state, self.now)

    # What has to hold

    @invariant()
    def promises_are_kept(self) -> None:
        if self.idle:
            return
        self.nothing_is_done_twice()
        self.steps_go_forward_only()
        self.claims_are_kept_as_long_as_they_last()
        self.idle = True

    def nothing_is_done_twice(self) -> None:
        for event in self.events:
            effects, keys = self._effects(event), 1 + self._replays(event)
            for mark, times in Counter(effects).items():
                most = 1 if mark != event.model else keys
                assert times <= most + self.late_runs[event.id], f"{event.model} was done twice: {effects}"

    def steps_go_forward_only(self) -> None:
        for event in self.events:
            story = self._story(event.id)
            if story is None:
                continue
            for step in story.steps.values():
                self._look(step)
                missing = _following(story, step) - set(story.steps)
                assert not missing, f"after {step} there is no {missing}"

    def claims_are_kept_as_long_as_they_last(self) -> None:
        for stood in self.standing:
            claimed = stood.claimed
            if claimed is None:
                continue
            row = self.seen[claimed.event_id, claimed.id]
            assert row == claimed or self.now >= stood.until, f"{row} was taken from its worker, whose lease lasts"
            assert row == claimed or row.fence > claimed.fence, f"{row} was taken over under the same fence"

    def _look(self, step: Step) -> None:
        before = self.seen.get((step.event_id, step.id), step)
        assert before.state not in ENDED or step == before, f"{before} has ended, and is now {step}"
        assert step.fence >= before.fence, f"{before} has an older fence now: {step}"
        states = [moment.state for moment in step.history]
        assert states.count(State.RUNNING) <= step.fence, f"two claims share a fence: {step}"
        for old, new in pairwise(states):
            assert new is old or new in ARROWS[old], states
        self.seen[step.event_id, step.id] = step

    def _effects(self, event: Event) -> list[str]:
        """The marks of what was started for an event: its step's marker or, where that is not sent, its model."""
        return [_mark(start) for start in self.devops.starts if event.model in str((start.parameters, start.variables))]

    def _replays(self, event: Event) -> int:
        return sum(step.replays for step in self.seen.values() if step.event_id == event.id)

    def _story(self, event_id: str) -> Story | None:
        try:
            return ledger.read(event_id)
        except UnknownStep:
            return None

    # What has to come of it, with nothing but the sweeper to bring it about

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self._settle()
                self._judge()
        finally:
            for stood in self.standing:
                stood.worker.kill()
            for event in self.events:
                ledger.close_all(event.id)

    def _settle(self) -> None:
        self.devops.faults.clear()
        while self.standing:
            self._wake(self.standing.pop())
        for event in list(self.unrouted):
            self._route(event, Fate())
        for _ in range(ROUNDS):
            self.now += timedelta(minutes=10)
            for pointer in self._swept():
                self._take(pointer, Fate())
            if all(ledger.read(event.id).has_ended for event in self.events):
                break

    def _judge(self) -> None:
        self.nothing_is_done_twice()
        self.steps_go_forward_only()
        for event in self.events:
            story = ledger.read(event.id)
            assert story.has_ended, f"stranded: {story.steps}"
            assert story.steps
            for step in story.steps.values():
                self._judge_step(event, step)

    def _judge_step(self, event: Event, step: Step) -> None:
        if step.state is not State.SUCCEEDED or step.outcome.startswith("resolved by hand") or step.target == "slack":
            return
        assert set(self._effects(event)) & {marker(step), event.model}, f"not done at all: {step}"
        if step.target == "azure_devops_release":
            self._judge_release(step)

    def _judge_release(self, step: Step) -> None:
        assert self.devops.releases[int(step.ref)].status == "active", f"taken back: {step}"
        ours = [each for each in self.devops.releases.values() if marker(step) in each.description]
        if step.event_id not in self.overtaken:  # else a draft may be left behind, and does nothing
            assert "draft" not in {each.status for each in ours}, f"not adopted: {step}"


def _chosen(some: list[T], which: int) -> T:
    return some[-1 - which % len(some)]


def _mark(start: Start) -> str:
    found = MARK.search(start.description)
    if found:
        return found[1]
    return start.parameters.get("relay_marker") or str(start.parameters["model_name"])


def _following(story: Story, step: Step) -> set[str]:
    """The steps that the end of this one makes ready."""
    route = story.routes[step.route]
    if step.tells_of or step.state not in ENDED:
        return set()
    if step.state is State.SUCCEEDED:
        names = [plan.id for plan in route.steps]
        return {f"{route.name}.{name}" for name in names[names.index(step.name) + 1 :][:1]}
    again = f".{step.reopened}" if step.reopened else ""
    return {f"{route.name}.on_failure.{plan.id}{again}" for plan in route.on_failure}


@pytest.fixture
def doors(system: System, monkeypatch: pytest.MonkeyPatch) -> Iterator[Doors]:
    """The app's doors in this process; the stand-in's own state is as it was before when the test has ended."""
    monkeypatch.setenv(OFF, "")
    for name in ("runs", "releases", "starts", "clock", "list_lag_seconds", "run_seconds"):
        monkeypatch.setattr(system.devops, name, getattr(system.devops, name))
    system.devops.run_seconds = 1.0
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate().ca_file)
    left_behind = list(storage.rows(open_events.TABLE, "PartitionKey ge @first", {"first": ""}))
    for row in left_behind:
        storage.table(open_events.TABLE).delete_entity(row["PartitionKey"], row["RowKey"])
    made = Doors(monkeypatch)
    play_in_peace(system)
    yield made
    system.devops.faults.clear()
    shared.settings.settings.cache_clear()


def play_in_peace(system: System) -> None:
    """Play a game in which nothing goes wrong: after it tables, keys and tokens are there, in every order of tests."""
    life = StepLife(system)
    life.begin(kinds=list(KINDS), lags=False)
    life.teardown()


def live(system: System, list_lag: float = 0.0) -> None:
    """Let Hypothesis play; the same games each time, and the game that is lost is shown as it was played."""
    run_state_machine_as_test(
        lambda: StepLife(system, list_lag),  # type: ignore[arg-type]  # it takes any factory
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            derandomize=True,
            database=None,
            deadline=None,
            phases=(Phase.generate,),  # to make a lost game shorter takes minutes
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_whatever_goes_wrong_nothing_is_done_twice_and_every_step_ends(system: System, doors: Doors) -> None:
    live(system)


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_may_crash_between_any_two_of_its_calls(kind: str, system: System, doors: Doors) -> None:
    for calls in range(1, 8):
        for turns_before, trouble in ((0, ""), (1, ""), (0, "refuses")):
            life = StepLife(system)
            life.begin(kinds=[kind], lags=False, alone=True)
            for _ in range(turns_before):
                life.take(0)
            if not life.pointers:
                continue
            life.promises_are_kept()
            if trouble:
                life.take_while_the_target_is_in_trouble(0, "POST", trouble, Fate("crashes", calls))
            else:
                life.take_and_crash(0, calls)
            life.promises_are_kept()
            life.teardown()


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_may_be_overtaken_between_any_two_of_its_calls(kind: str, system: System, doors: Doors) -> None:
    for calls in range(1, 7):
        for late in (False, True):
            life = StepLife(system)
            life.begin(kinds=[kind], lags=late, alone=True)
            life.take_what_came_twice(0, calls, late)
            life.promises_are_kept()
            life.teardown()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("trouble", ["", "commits, then drops the reply", "refuses"])
def test_a_worker_may_crash_anywhere_between_its_event_and_the_end_of_its_step(
    kind: str, trouble: str, system: System, doors: Doors
) -> None:
    for calls in range(1, 11):
        life = StepLife(system)
        life.begin(kinds=[], lags=False)
        life.deliver(kind, Fate("crashes", calls), trouble=trouble)
        life.promises_are_kept()
        life.teardown()


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_may_be_overtaken_anywhere_between_its_event_and_the_end_of_its_step(
    kind: str, system: System, doors: Doors
) -> None:
    for calls in range(1, 10):
        for share in (0.1, 1.01):
            life = StepLife(system)
            life.begin(kinds=[], lags=False)
            life.deliver(kind, Fate("stands", calls))
            life.promises_are_kept()
            life.time_passes(share)
            life.deliver_again(0, Fate())
            life.sweep(Fate())
            while life.pointers and share > 1:
                life.take(0)
                life.promises_are_kept()
            if life.standing:
                life.one_that_stood_goes_on(0)
            life.promises_are_kept()
            life.teardown()


@pytest.mark.parametrize("kind", ["marked", "release"])
def test_a_replay_may_come_while_a_worker_is_about_to_close_its_event(kind: str, system: System, doors: Doors) -> None:
    replayed = 0
    for calls in range(3, 10):
        life = StepLife(system)
        life.begin(kinds=[kind], lags=False, alone=True)
        life.take_and_stand_still(0, calls)
        life.promises_are_kept()
        if life.standing and life._ended(*ENDED):
            life.replay_by_force(0)
            replayed += 1
            life.one_that_stood_goes_on(0)
            life.pointers.clear()  # lost: the sweeper has to find the step
        life.teardown()
    assert replayed, "at no moment had a worker written the end and not closed the event"


@pytest.mark.parametrize("kind", KINDS)
def test_a_reply_may_be_lost_while_lists_are_late(kind: str, system: System, doors: Doors) -> None:
    for trouble in (name for name in TROUBLES if name.startswith("commits")):
        life = StepLife(system)
        life.begin(kinds=[kind], lags=True, alone=True)
        for method in ("POST", "PATCH"):
            if life.pointers:
                life.take_while_the_target_is_in_trouble(0, method, trouble, Fate())
                life.promises_are_kept()
        life.teardown()


def test_a_worker_does_not_take_its_own_claim_for_another_ones_when_the_reply_to_it_was_lost(
    system: System, doors: Doors
) -> None:
    life = StepLife(system)
    life.begin(kinds=["release"], lags=False, alone=True)
    [(_, pointer)] = life.pointers
    doors.loses_a_reply = True
    with pytest.raises(ServiceResponseError):  # so the host keeps the message, and gives it to another turn
        life.take(0)
    assert ledger.read(pointer.event_key).steps[pointer.step].state is State.RUNNING
    life._point((life.now, pointer))
    life.promises_are_kept()
    life.teardown()


@pytest.mark.parametrize(("seconds", "left"), [(0, []), (8, ["release.on_failure.slack"])])
def test_what_follows_is_done_in_the_same_hand_unless_that_has_taken_long(
    seconds: float, left: list[str], system: System, doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = StepLife(system)
    life.begin(kinds=[], lags=False)

    def clock() -> datetime:
        life.now += timedelta(seconds=seconds)
        return life.now

    monkeypatch.setattr(life, "_clock", clock)
    life.deliver("release", Fate(), trouble="refuses")
    assert [pointer.step for _, pointer in life.pointers] == left
    ended = {step.id: step.state in ENDED for step in ledger.read(life.events[0].id).steps.values()}
    assert ended == {"release.azure_devops_release": True, "release.on_failure.slack": not left}
    life.teardown()


def test_what_is_loaded_when_the_first_step_is_done_is_out_of_the_garbage_collectors_sight_once(
    system: System, doors: Doors
) -> None:
    spared = gc.get_freeze_count()  # steps were done before: `doors` has played
    assert spared > 10_000
    play_in_peace(system)
    assert gc.get_freeze_count() <= spared


def test_without_conditional_writes_something_would_be_done_twice(system: System, doors: Doors) -> None:
    doors.forgets_conditions = True
    with pytest.raises(AssertionError, match=BROKEN):
        live(system)


def test_if_no_list_ever_showed_what_was_done_something_would_be_done_twice(system: System, doors: Doors) -> None:
    with pytest.raises(AssertionError, match=BROKEN):
        live(system, list_lag=1e9)
