"""What is written when a turn has come to something, and what follows from it.

Each function returns the pointers to the steps that may run now.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from handlers.turn import Turn, point_later, point_to
from shared import ledger
from shared.attempts import Answer, Succeeded
from shared.errors import Failure, PermanentFailure
from shared.messages import StepMessage
from shared.routes import StepPlan
from shared.settings import settings
from shared.steps import ENDED, State, Step, new_step, status_step

MAX_CHECK_SECONDS = 60.0


def note(turn: Turn, answer: Answer) -> list[StepMessage]:
    """Write the target's answer: it has succeeded, or a long operation is under way."""
    if isinstance(answer, Succeeded):
        return _succeed(turn, answer)
    progress = {**turn.step.progress, **answer.progress}
    link = answer.link or turn.step.link
    due = turn.later(max(check_delay(turn), answer.check_in))
    turn.move(State.WAITING, progress=progress, due=due, outcome=answer.outcome, link=link)
    return point_later(turn)


def check_delay(turn: Turn) -> float:
    """Return the seconds to the next check, a quarter of the time it has taken so far: short operations are noticed
    soon, long ones cost few calls."""
    return min(max(turn.age / 4, 1.0), MAX_CHECK_SECONDS)


def retry(turn: Turn, failure: Failure) -> list[StepMessage]:
    """Put the step off for another attempt, or end it if it has had enough."""
    step = turn.step
    # before its claim nothing was attempted; it counts all the same, or it would go on for ever
    attempts = step.attempts if step.state in (State.RUNNING, State.IN_DOUBT) else step.attempts + 1
    if is_exhausted(attempts):
        return give_up(turn, failure, attempts)
    due = turn.later(back_off(settings().retry_delays, attempts, failure.retry_after))
    turn.move(State.RETRY, attempts=attempts, due=due, reason=failure.reason, link=failure.link)
    return point_later(turn)


def back_off(delays: Sequence[float], attempts: int, advised: float) -> float:
    """Return the seconds from attempt number `attempts` to the next: its delay, up to a fifth more so that steps that
    failed together come back apart, but no more than the next delay; and what the service advised if that is more."""
    delay = delays[attempts - 1]
    most = min([delay * 1.2, *delays[attempts : attempts + 1]])
    return max(random.uniform(delay, most), advised)  # noqa: S311  # jitter, not a secret


def is_exhausted(attempts: int) -> bool:
    """Tell whether so many attempts are all that a step gets."""
    return attempts > len(settings().retry_delays)


def give_up(turn: Turn, failure: Failure, attempts: int) -> list[StepMessage]:
    """End a step that has had all its attempts."""
    return end(turn, State.DEAD, PermanentFailure(f"gave up after {attempts} attempts: {failure.reason}", failure.link))


def end(turn: Turn, state: State, failure: Failure) -> list[StepMessage]:
    """End a step that did not succeed, DEAD or PARKED; its route's `on_failure` steps become ready."""
    step, route = turn.step, turn.story.routes[turn.step.route]
    following: list[Step] = []
    if not step.tells_of:
        following = [new_step(step.event_id, route, plan, turn.clock(), step) for plan in route.on_failure]
    return _end_route(turn, state, following, reason=failure.reason, link=failure.link or step.link)


def hold(turn: Turn, reason: str) -> list[StepMessage]:
    """Park a step that may not act now; nobody is told, since whoever stopped it knows."""
    return _end_route(turn, State.PARKED, [], reason=reason)


def supersede(turn: Turn, reason: str) -> list[StepMessage]:
    """End a step, and its route, since the registry has moved on."""
    return _end_route(turn, State.SUPERSEDED, [], reason=reason)


def follow_up(turn: Turn) -> list[StepMessage]:
    """Point again to what the end of this step has made ready, and to nothing else.

    Its message came twice; the pointers that its first turn returned may have been lost with its worker.
    """
    step, story = turn.step, turn.story
    following = [] if step.tells_of else [plan.id for plan in _next_plans(turn)]
    return [
        point_to(other)
        for other in story.steps.values()
        if other.state is State.READY
        and other.route == step.route
        and (other.tells_of == step.id or (other.name in following and not other.tells_of))
    ]


def _end_route(turn: Turn, state: State, following: list[Step], **changes: Any) -> list[StepMessage]:
    """Take the step to a state from which its route does not go on; write that to the registry where asked for."""
    route = turn.story.routes[turn.step.route]
    if route.write_status and not turn.step.tells_of:
        following = [*following, status_step(route, turn.step, turn.clock(), ended=True)]
    following = [step for step in following if step.id not in turn.story.steps]
    turn.move(state, then=following, **changes)
    return _ended(turn, following)


def _succeed(turn: Turn, answer: Succeeded) -> list[StepMessage]:
    told: dict[str, Any] = {"outcome": answer.outcome, "ref": answer.ref, "link": answer.link}
    plans = () if turn.step.tells_of else _next_plans(turn)
    if not plans:
        return _end_route(turn, State.SUCCEEDED, [], **told)
    route = turn.story.routes[turn.step.route]
    steps = [new_step(turn.step.event_id, route, plan, turn.clock()) for plan in plans]
    following = [step for step in steps if step.id not in turn.story.steps]
    turn.move(State.SUCCEEDED, then=following, **told)
    return _ended(turn, following)


def _next_plans(turn: Turn) -> tuple[StepPlan, ...]:
    """The plan of the step after this one in its route, if there is one."""
    plans = turn.story.routes[turn.step.route].steps
    return plans[[plan.id for plan in plans].index(turn.step.name) + 1 :][:1]


def _ended(turn: Turn, following: list[Step]) -> list[StepMessage]:
    others = [step for step in turn.story.steps.values() if step.id != turn.step.id]
    if not following and all(step.state in ENDED for step in others):
        ledger.close(turn.story)  # two that end at once may both miss it: then the sweeper closes
    return [point_to(step) for step in following]
