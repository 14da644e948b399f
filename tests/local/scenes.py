"""What the tests of the local host tell it, and what they see of it: queues, and scenes of workers on them."""

import base64
import json
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue import QueueClient

from local.azurite import Azurite
from local.worker import Host

APPS = Path(__file__).parent / "apps"
KEY = "the key of this test run"
NEVER = "0 0 0 1 1 *"
T = TypeVar("T")


def until(look: Callable[[], T], seconds: float = 30) -> T:
    """Look again and again until there is something; fail when there is nothing for so long."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return seen


class Queue:
    """One storage queue, seen from outside the host."""

    def __init__(self, azurite: Azurite, name: str) -> None:
        self.name = name
        self.client = QueueClient.from_connection_string(azurite.connection_string, name, retry_total=0)
        self._seen: list[dict[str, Any]] = []

    def put(self, *texts: str) -> None:
        """Send messages as the app would."""
        for text in texts:
            self.put_raw(base64.b64encode(text.encode()).decode())

    def put_raw(self, content: str) -> None:
        """Send content that nothing encodes."""
        self.client.send_message(content)

    def take(self) -> list[str]:
        """Take what lies in the queue; nothing when there is no queue."""
        try:
            found = list(self.client.receive_messages(messages_per_page=32))
        except ResourceNotFoundError:
            return []
        for message in found:
            self.client.delete_message(message)
        return [message.content for message in found]

    def told(self, *texts: str) -> list[dict[str, Any]]:
        """Wait until the app has told about each of these texts, and return all that it told about them."""

        def look() -> bool:
            self._seen += [json.loads(base64.b64decode(content)) for content in self.take()]
            return set(texts) <= {seen["text"] for seen in self._seen}

        until(look)
        return [seen for seen in self._seen if seen["text"] in texts]


class Scene:
    """Queues of its own and any number of workers on them."""

    def __init__(self, azurite: Azurite, stack: ExitStack) -> None:
        self._azurite = azurite
        self._stack = stack
        name = f"q{uuid.uuid4().hex[:12]}"
        self.work, self.late = Queue(azurite, name), Queue(azurite, f"{name}-late")
        self.poison, self.done = Queue(azurite, f"{name}-poison"), Queue(azurite, f"{name}-done")

    def env(self) -> dict[str, str]:
        """The settings of a worker in this scene."""
        return {
            "AzureWebJobsStorage": self._azurite.connection_string,
            "LOCAL_FUNCTION_KEY": KEY,
            "TICK_SCHEDULE": NEVER,
            "AzureFunctionsWebHost__hostid": self.work.name,
            "WORK_QUEUE": self.work.name,
            "DONE_QUEUE": self.done.name,
        }

    def host(self, app: str = "sample", log_level: str = "WARNING", **env: str) -> Host:
        """Start a worker, to be stopped when the scene ends."""
        host = Host(APPS / app, {**self.env(), **env}, log_level=log_level)
        return self._stack.enter_context(host)
