"""The host's door to storage queues: connections, and sends that wake the triggers of this process."""

import asyncio
import os
from collections import defaultdict

from aiohttp import ClientSession, TCPConnector
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.core.pipeline.transport import AioHttpTransport
from azure.storage.queue.aio import QueueClient, QueueServiceClient

from local.host_functions import Binding, HostError
from local.host_messages import encoded

LARGEST = 64 * 1024  # of a message, as it lies in the queue


def connection_string(binding: Binding) -> str:
    """Return the connection string that a binding names, or raise HostError."""
    name = binding.get("connection") or "AzureWebJobsStorage"
    value = os.environ.get(name) or os.environ.get(f"AzureWebJobs{name}")
    if not value:
        raise HostError(f"setting {name} holds no connection string (this host knows no other form)")
    return value


class Queues:
    """All storage queues of one worker, over one pool of connections."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._services: dict[str, QueueServiceClient] = {}
        self._sent: dict[str, list[asyncio.Event]] = defaultdict(list)
        # Kept shorter than Azurite keeps idle connections (5 s): a request on one just closed would fail.
        self._session = ClientSession(connector=TCPConnector(limit=0, keepalive_timeout=3), trust_env=False)

    def client(self, binding: Binding, suffix: str = "") -> QueueClient:
        """Return the client for a binding's queue, or for that queue's neighbour with this suffix."""
        text = connection_string(binding)
        if text not in self._services:
            self._services[text] = self._service(text)
        return self._services[text].get_queue_client(binding["queueName"].lower() + suffix)

    def _service(self, text: str) -> QueueServiceClient:
        # Given to the transport: the client would set these times only on one of its own making.
        transport = AioHttpTransport(session=self._session, session_owner=False, connection_timeout=5, read_timeout=20)
        return QueueServiceClient.from_connection_string(
            text,
            transport=transport,
            retry_total=1,
            initial_backoff=0,
            increment_base=0,
            random_jitter_range=0,
        )

    def sent(self, queue: str) -> asyncio.Event:
        """Return an event that is set whenever this worker sends to the queue of this name."""
        event = asyncio.Event()
        self._sent[queue.lower()].append(event)
        return event

    async def send(self, queue: QueueClient, message: str | bytes) -> None:
        """Send one message in the app's encoding, creating the queue where it is missing."""
        await self.put(queue, encoded(message, self._encoding))

    async def put(self, queue: QueueClient, content: str) -> None:
        """Send content just as it is; ValueError when it is larger than storage takes."""
        if len(content.encode()) > LARGEST:
            raise ValueError(f"a message of {len(content)} bytes is too large for queue {queue.queue_name}")
        try:
            await queue.send_message(content)
        except ResourceNotFoundError:
            await create(queue)
            await queue.send_message(content)
        for event in self._sent[queue.queue_name]:
            event.set()

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()


async def create(queue: QueueClient) -> None:
    """Create a queue; another worker may be quicker."""
    try:
        await queue.create_queue()
    except ResourceExistsError:
        return
