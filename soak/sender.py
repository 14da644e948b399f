"""Registries that never give up: each event is sent until a worker has answered 202, and often once more after that."""

from __future__ import annotations

import json
import random
import threading
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from local import sender
from soak.kinds import SHARES
from soak.workers import Worker

PATIENCE_SECONDS = 4.0
OTHER_NAME = {"event": "MODEL_VERSION_TRANSITIONED_TO_PRODUCTION", "webhook_id": "another-webhook"}


class Sender:
    """Sends `count` events side by side, one each `pace` seconds.

    `accepted` has the model of each event id, `told` the time (in milliseconds) that each model's event tells.
    """

    def __init__(self, workers: Sequence[Worker], secret: str, seed: int) -> None:
        self._workers, self._secret = workers, secret
        self._chance = random.Random(seed)
        self._stopped = threading.Event()
        self.accepted: dict[str, str] = {}
        self.told: dict[str, int] = {}
        self.sent = self.copies = self.refused = 0
        self.other: list[str] = []

    def send(self, count: int, pace: float, deadline: float) -> None:
        """Send the events; ends when all were accepted or the time (monotonic) is over."""
        with ThreadPoolExecutor(12) as pool:
            for number in range(count):
                if time.monotonic() > deadline:
                    break
                model = f"{self._chance.choice(SHARES)}-{number}-{uuid.uuid4().hex[:6]}"
                body = sender.databricks_stage_change(model, "1", "Production")
                self.told[model] = body["event_timestamp"]
                pool.submit(self._noted, model, body, deadline)
                self.sent += 1
                self._stopped.wait(self._chance.uniform(0, 2 * pace))

    def _noted(self, model: str, body: dict[str, Any], deadline: float) -> None:
        try:
            self._event(model, body, deadline)
        except Exception as error:  # a thread's error would be lost
            self.other.append(f"{type(error).__name__}: {error}")

    def _event(self, model: str, body: dict[str, Any], deadline: float) -> None:
        event = self._deliver(body, deadline)
        if event is None:
            return
        self.accepted[event] = model
        if self._chance.random() < 0.2:
            again = self._deliver({**body, **OTHER_NAME}, deadline)
            self.copies += 1
            if again is not None and again != event:
                self.other.append(f"{model}: its copy was taken for another event")

    def _deliver(self, body: Any, deadline: float) -> str | None:
        while time.monotonic() < deadline:
            up = [worker for worker in self._workers if worker.is_up]
            if up:
                reply = self._post(self._chance.choice(up), body)
                if reply is not None and reply.status_code == 202:
                    return str(reply.json()["event"])
                self.refused += 1
            time.sleep(0.2)
        return None

    def _post(self, worker: Worker, body: Any) -> requests.Response | None:
        raw = json.dumps(body).encode()
        headers = sender.databricks_headers(self._secret, raw)
        url = f"{worker.host.url}/api/webhooks/wine-dev"
        try:
            return requests.post(url, data=raw, headers=headers, timeout=PATIENCE_SECONDS)
        except requests.RequestException:
            return None
