"""A turn: one step in one worker's hands, with all that its target needs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from traceback import format_exc
from typing import Any

import msgspec

from handlers.current_registries import access_for
from handlers.targets import target_module
from handlers.values import render
from shared import ledger, storage
from shared.attempts import Attempt
from shared.errors import (
    AmbiguousFailure,
    ClaimLost,
    Failure,
    PermanentFailure,
    RoutesError,
    RoutesUnavailable,
    SecretUnusable,
    SettingError,
    Superseded,
    TransientFailure,
    VaultUnavailable,
)
from shared.markers import marker
from shared.messages import STEPS_QUEUE, StepMessage, encode
from shared.redaction import redacted
from shared.settings import settings
from shared.steps import State, Step
from shared.stories import Story
from shared.telemetry import dimensions_of, span, tell

log = logging.getLogger("relay.run")
Clock = Callable[[], datetime]
_LEVELS = {State.DEAD: logging.ERROR, State.PARKED: logging.WARNING}


@dataclass
class Turn:
    """The step as this worker last read or wrote it, its event's story, and what `prepare` has made ready.

    `unready` is why it could not. `following` are the steps that its last move has made ready.
    """

    story: Story
    step: Step
    clock: Clock
    module: Any = None
    options: Any = None
    connection: Any = None
    unready: Failure | None = None
    following: Sequence[Step] = ()

    @property
    def age(self) -> float:
        """Seconds since the step was first claimed."""
        return (self.clock() - (self.step.claimed or self.step.created)).total_seconds()

    def move(self, state: State, **changes: Any) -> None:
        """Take the step along an arrow, in the ledger and here. Raises ClaimLost."""
        before = self.step
        self.step, *following = ledger.change(before, state, self.clock(), **changes)
        self.following = following
        if state is not before.state or changes.get("reason"):
            tell_of_step(self.story, self.step, self.clock())

    def of_follower(self) -> Turn | None:
        """Return the turn of the step that the last move has made ready; None if that is none, or more than one."""
        if len(self.following) != 1:
            return None
        steps = {step.id: step for step in (self.step, *self.following)}
        story = msgspec.structs.replace(self.story, steps={**self.story.steps, **steps})
        return Turn(story, self.following[0], self.clock)

    @property
    def dimensions(self) -> dict[str, str]:
        """What telemetry tells of the step."""
        return dimensions_of_step(self.story, self.step)

    def later(self, seconds: float) -> datetime:
        """Return the moment that many seconds from now."""
        return self.clock() + timedelta(seconds=seconds)

    def load(self) -> None:
        """Import the step's target. Raises PermanentFailure if this app has none of that name."""
        try:
            self.module = target_module(self.step.target)
        except KeyError:
            raise PermanentFailure(f"this app knows no target {self.step.target!r} any more") from None

    def prepare(self) -> None:
        """Render the options and fetch the credentials: all that can fail without any doubt about the effect.

        Raises TransientFailure or PermanentFailure; in the same turn once more the same, without another try.
        """
        if self.unready:
            raise self.unready
        try:
            self._prepare()
        except Failure as failure:
            self.unready = failure
            raise

    def _prepare(self) -> None:
        self.load()
        try:
            self.options = render(self.story, self.step, self.module)
            self.connection = self.module.connect(self.options, access_for(self.story.event.source))
        except (SecretUnusable, SettingError, msgspec.ValidationError) as error:
            raise PermanentFailure(str(error)) from None
        except (VaultUnavailable, RoutesError, RoutesUnavailable) as error:
            raise TransientFailure(str(error)) from None

    def ask(self, call: Callable[[Attempt], Any]) -> Any:
        """Let the target's function do its work. Raises a Failure, Superseded or ClaimLost.

        What a target or its SDK raises unforeseen is a fault of ours: nobody knows what was done.
        """
        try:
            with span(f"{call.__name__} {self.step.target}"):
                return call(self._attempt())
        except (Failure, Superseded, ClaimLost):
            raise
        except Exception as error:
            # the error may quote what a service has echoed; indented, no line of it looks like one of the log's own
            trace = redacted(format_exc()).replace("\n", "\n    ")
            log.error("step %s of event %s failed unforeseen\n%s", self.step.id, self.step.event_id, trace)
            raise AmbiguousFailure(f"unforeseen {type(error).__name__}: {error}") from error

    def _saved_at_once(self, progress: dict[str, Any]) -> bool:
        """Save progress; tell whether that took so little time that the claim can be relied on."""
        begun = self.clock()
        self.move(self.step.state, progress={**self.step.progress, **progress})
        return self.clock() - begun < timedelta(seconds=settings().step_lease_seconds / 2)

    def _attempt(self) -> Attempt:
        def save(progress: dict[str, Any]) -> None:
            try:
                while not self._saved_at_once(progress):  # this process stood still: another may have taken over since
                    log.info("step %s of event %s: its row is written once more", self.step.id, self.step.event_id)
            except ClaimLost as lost:
                winner = ledger.read(self.step.event_id).steps[self.step.id]
                raise ClaimLost(str(lost), winner.progress) from None

        return Attempt(
            options=self.options,
            connection=self.connection,
            key=self.step.key,
            marker=marker(self.step),
            progress=dict(self.step.progress),
            started=self.step.claimed or self.step.created,
            step=f"{self.step.event_id}/{self.step.id}",
            save=save,
        )


def dimensions_of_step(story: Story, step: Step) -> dict[str, str]:
    """Return the dimensions under which telemetry tells of a step."""
    return {**dimensions_of(story.event), "route": step.route, "step": step.id, "target": step.target}


def tell_of_step(story: Story, step: Step, now: datetime) -> None:
    """Tell to which state a step has come. `duration_ms` counts from when its turn came."""
    why = f": {step.reason or step.outcome}" if step.reason or step.outcome else ""
    tell(
        "step",
        f"step {step.id} of event {step.event_id} is {step.state}{why}",
        dimensions_of_step(story, step),
        level=_LEVELS.get(step.state, logging.INFO),
        attempt=step.attempts,
        outcome=step.state.value,
        reason=step.reason,
        duration_ms=round((now - step.created).total_seconds() * 1000),
    )


def point_later(turn: Turn) -> list[StepMessage]:
    """Send a pointer to the step that arrives when it is due; return no pointer for now."""
    delay = max((turn.step.due - turn.clock()).total_seconds(), 0.0)
    storage.send(STEPS_QUEUE, encode(point_to(turn.step)), delay)
    return []


def point_to(step: Step) -> StepMessage:
    """Return a pointer to the step."""
    return StepMessage(event_key=step.event_id, step=step.id)
