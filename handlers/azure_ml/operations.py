"""One operation after the other on an Azure ML online endpoint, and what a rollout has to remember between them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from handlers.azure_ml import bodies
from handlers.azure_ml.options import Options
from shared import azure_ml, newest, rest
from shared import azure_resource_manager as arm
from shared.attempts import Attempt, Waiting
from shared.errors import PermanentFailure, Superseded
from shared.settings import settings


def fresh_progress() -> dict[str, Any]:
    """Return what a rollout keeps that can't be seen at the service.

    `since` and `begun_at`, in epoch seconds; `operation`, its URL; `begun` and `accepted`, the parts that this attempt
    has put and those that the service has taken; `deployment`, its name; `previous`, who had the traffic before.
    """
    parts: dict[str, list[str]] = {"begun": [], "accepted": [], "previous": []}
    return {"since": time.time(), "begun_at": 0.0, "operation": "", "deployment": "", **parts}


@dataclass(frozen=True)
class Operations:
    """What is asked and begun in one turn. `model` is the ARM id of the model version, empty where only traffic is
    shifted; `looked` is when the turn began, in epoch seconds: what is found was asked for after it."""

    attempt: Attempt
    progress: dict[str, Any]
    model: str
    looked: float = field(default_factory=time.time)

    def give_way(self) -> Waiting | None:
        """Return None if no newer event has come to the endpoint. Else wait until nothing of this one's is to come.

        Raises Superseded then. Whatever has come late, the newer event's steps put right when they look again: they
        have ended before, so that none has looked for the last time before it came.
        """
        mark = newest.take(
            self._place, int(self._options.event_time), self.attempt.step, decides=self._options.traffic is not None
        )
        if mark.is_of(self.attempt.step):
            return None
        why = f"endpoint {self._options.endpoint} has taken a newer event, {mark.event} of {_told(mark.time)}"
        if not self.progress["begun"]:
            raise Superseded(why)
        if len(self.progress["begun"]) > len(self.progress["accepted"]) and self._is_unsettled():
            return self.waiting(f"{why}; what was begun before may still come")
        if newest.is_under_way(mark):
            return self.waiting(f"{why}, which is under way")
        raise Superseded(why, [f"{mark.event}/{name}" for name in mark.steps])

    def waiting(self, outcome: str, check_in: float = 0.0) -> Waiting:
        """Return that it goes on. Raises PermanentFailure when it has taken too long."""
        if time.time() - self.progress["since"] > self._options.wait_minutes * 60:
            raise PermanentFailure(f"{outcome}, still after {self._options.wait_minutes:g} minutes")
        return Waiting(outcome=outcome, progress=self.progress, link=self.link, check_in=check_in)

    @property
    def link(self) -> str:
        """The endpoint's page."""
        return self._workspace.studio(self._options.endpoint)

    @property
    def _options(self) -> Options:
        options: Options = self.attempt.options
        return options

    def _has_last_word(self) -> bool:
        """Tell whether no later step of the event decides the endpoint's traffic."""
        return newest.find(self._place).last_word == self.attempt.step.partition("/")[2]

    @property
    def _place(self) -> str:
        return f"{self._workspace.id}/{self._path()}".lower()

    @property
    def _workspace(self) -> azure_ml.Workspace:
        workspace: azure_ml.Workspace = self.attempt.connection
        return workspace

    def _path(self, deployment: str = "") -> str:
        path = f"onlineEndpoints/{self._options.endpoint}"
        return f"{path}/deployments/{deployment}" if deployment else path

    def _get(self, deployment: str = "") -> dict[str, Any] | None:
        return self._workspace.get(self._path(deployment))

    def _is_ours(self, deployment: dict[str, Any]) -> bool:
        return azure_ml.tags(deployment).get(bodies.MARKER) == self.attempt.marker

    def _put(self, part: str, body: dict[str, Any], deployment: str = "") -> Waiting:
        return self._begin(part, lambda: self._workspace.put(self._path(deployment), body))

    def _is_unsettled(self) -> bool:
        """Tell whether what was begun, and whose reply nobody has read, may come to light after the look for it."""
        return self.looked - float(self.progress["begun_at"]) < settings().settle_seconds

    def _begin(self, part: str, send: Callable[[], rest.Reply]) -> Waiting:
        """Note what is about to be begun, so that of two workers one stops here; then begin it. Raises Superseded."""
        if overtaken := self.give_way():
            return overtaken
        before = self.progress["begun"]
        if before[-1:] == [part] and part not in self.progress["accepted"] and self._is_unsettled():
            return self.waiting(f"whether {part} of {self._options.endpoint} was begun is not known yet")
        self.progress["begun"], self.progress["begun_at"] = [*before, part], time.time()
        self.attempt.save(self.progress)
        reply = send()
        if reply.status == 409:
            self.progress["begun"] = before
            busy = f"endpoint {self._options.endpoint} is busy with another operation"
            return self.waiting(f"{busy} ({arm.error_of(reply.json())})", rest.retry_after(reply.headers))
        self.progress["accepted"] = [*self.progress["accepted"], part]
        self.progress["operation"] = azure_ml.operation(reply)
        if overtaken := self.give_way():  # asked by whoever has sent it: who stood still meanwhile has lost its claim
            return overtaken
        return self.waiting(f"{part} of {self._options.endpoint} is under way", rest.retry_after(reply.headers))


def _told(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")
