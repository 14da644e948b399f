"""A turn: one step in one worker's hands, with all that its target needs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
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
    TransientFailure,
    VaultUnavailable,
)
from shared.ledger import Story
from shared.markers import marker
from shared.messages import STEPS_QUEUE, StepMessage, encode
from shared.steps import State, Step

log = logging.getLogger("relay.run")
Clock = Callable[[], datetime]


@dataclass
class Turn:
    """The step as this worker last read or wrote it, its event's story, and what `prepare` has made ready."""

    story: Story
    step: Step
    clock: Clock
    module: Any = None
    options: Any = None
    connection: Any = None

    @property
    def age(self) -> float:
        """Seconds since the step was first claimed."""
        return (self.clock() - (self.step.claimed or self.step.created)).total_seconds()

    def move(self, state: State, **changes: Any) -> None:
        """Take the step along an arrow, in the ledger and here. Raises ClaimLost."""
        self.step = ledger.change(self.step, state, self.clock(), **changes)

    def later(self, seconds: float) -> datetime:
        """Return the moment that many seconds from now."""
        return self.clock() + timedelta(seconds=seconds)

    def prepare(self) -> None:
        """Render the options and fetch the credentials: all that can fail without any doubt about the effect.

        Raises TransientFailure or PermanentFailure.
        """
        try:
            self.module = target_module(self.step.target)
        except KeyError:
            raise PermanentFailure(f"this app knows no target {self.step.target!r} any more") from None
        try:
            self.options = render(self.story, self.step, self.module)
            self.connection = self.module.connect(self.options, access_for(self.story.event.source))
        except (SecretUnusable, SettingError, msgspec.ValidationError) as error:
            raise PermanentFailure(str(error)) from None
        except (VaultUnavailable, RoutesError, RoutesUnavailable) as error:
            raise TransientFailure(str(error)) from None

    def ask(self, call: Callable[[Attempt], Any]) -> Any:
        """Let the target's function do its work. Raises a Failure, or ClaimLost.

        What a target or its SDK raises unforeseen is a fault of ours: nobody knows what was done.
        """
        try:
            return call(self._attempt())
        except (Failure, ClaimLost):
            raise
        except Exception as error:
            log.exception("step %s of event %s failed unforeseen", self.step.id, self.step.event_id)
            raise AmbiguousFailure(f"unforeseen {type(error).__name__}: {error}") from error

    def _attempt(self) -> Attempt:
        def save(progress: dict[str, Any]) -> None:
            try:
                self.move(self.step.state, progress={**self.step.progress, **progress})
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


def point_later(turn: Turn) -> list[StepMessage]:
    """Send a pointer to the step that arrives when it is due; return no pointer for now."""
    delay = max((turn.step.due - turn.clock()).total_seconds(), 0.0)
    storage.send(STEPS_QUEUE, encode(point_to(turn.step)), delay)
    return []


def point_to(step: Step) -> StepMessage:
    """Return a pointer to the step."""
    return StepMessage(event_key=step.event_id, step=step.id)
