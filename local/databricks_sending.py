"""What a workspace sends by itself: in the background, each delivery tried once. Assumed: that nothing is retried."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Self

import requests

from local.faults import Faults
from local.serving import StandIn

TIMEOUT_SECONDS = 10
SENDERS = 4


@dataclass(frozen=True)
class Sent:
    """One delivery and what became of it: `status` is 0 if the receiver could not be reached."""

    event: str
    body: dict[str, Any]
    status: int
    reply: str


class Sending(StandIn):
    """`deliveries` is all that was sent, webhooks and notifications alike, in the order of the answers."""

    def __init__(self, faults: Faults | None = None) -> None:
        super().__init__(faults)
        self.deliveries: list[Sent] = []
        self._senders = ThreadPoolExecutor(SENDERS)
        self._under_way: list[Future[Sent]] = []

    def start(self) -> Self:
        """Begin to serve and to send."""
        self._senders = ThreadPoolExecutor(SENDERS, "databricks")
        return super().start()

    def stop(self) -> None:
        """Stop serving and sending."""
        super().stop()
        self._senders.shutdown(cancel_futures=True)

    def settle(self, seconds: float = 30) -> None:
        """Wait until every delivery that is under way has been answered."""
        late = wait(self._under_way, seconds).not_done
        if late:
            raise TimeoutError(f"{len(late)} deliveries were not answered in time")

    def send_later(
        self, url: str, event: str, body: dict[str, Any], raw: bytes, headers: Mapping[str, str], verify: bool = True
    ) -> Future[Sent]:
        """Send in the background. What comes of it is in the future, and in `deliveries`."""
        future = self._senders.submit(self._send, url, event, body, raw, headers, verify)
        self._under_way.append(future)
        return future

    def _send(
        self, url: str, event: str, body: dict[str, Any], raw: bytes, headers: Mapping[str, str], verify: bool
    ) -> Sent:
        headers = {"Content-Type": "application/json", **headers}
        try:
            reply = requests.post(
                url, data=raw, headers=headers, timeout=TIMEOUT_SECONDS, verify=verify, allow_redirects=False
            )
            sent = Sent(event, body, reply.status_code, reply.text)
        except requests.RequestException as error:
            sent = Sent(event, body, 0, type(error).__name__)
        self.deliveries.append(sent)
        return sent
