"""One operation after the other on an Azure ML online endpoint, and what a rollout has to remember between them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from handlers.azure_ml import bodies
from handlers.azure_ml.options import Options
from shared import azure_ml, rest
from shared import azure_resource_manager as arm
from shared.attempts import Attempt, Waiting
from shared.errors import PermanentFailure
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
    """What is asked and begun. `model` is the ARM id of the model version, empty where only traffic is shifted."""

    attempt: Attempt
    progress: dict[str, Any]
    model: str

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
        """Tell whether what was begun, and whose reply nobody has read, may still come to light."""
        return time.time() - float(self.progress["begun_at"]) < settings().settle_seconds

    def _begin(self, part: str, send: Callable[[], rest.Reply]) -> Waiting:
        """Note what is about to be begun, so that of two workers one stops here; then begin it."""
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
        return self.waiting(f"{part} of {self._options.endpoint} is under way", rest.retry_after(reply.headers))
