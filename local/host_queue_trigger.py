"""The queue trigger: polls, leases, runs, deletes, retries and buries messages as the Functions host does."""

import asyncio
import contextlib
import logging
from typing import Any

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure_functions_runtime.bindings.datumdef import Datum

from local.host_functions import Function
from local.host_messages import decoded, metadata
from local.host_queues import Queues
from local.host_run import InvocationFailedError, Runner
from local.host_settings import Settings

log = logging.getLogger("local.host")

SHORTEST_POLL = 0.1
POISON = "-poison"


class QueueTrigger:
    """Feeds one function from its queue until cancelled."""

    def __init__(self, function: Function, settings: Settings, queues: Queues, runner: Runner) -> None:
        self._function = function
        self._settings = settings
        self._queues = queues
        self._runner = runner
        self._queue = queues.client(function.trigger)
        self._sent = queues.sent(self._queue.queue_name)
        # A poison queue has no poison queue of its own.
        buried = not self._queue.queue_name.endswith(POISON)
        self._poison = queues.client(function.trigger, POISON) if buried else None
        self._running: set[asyncio.Task[None]] = set()
        self._outage = False

    async def listen(self) -> None:
        """Poll and run messages for ever."""
        delay = SHORTEST_POLL
        while True:
            while len(self._running) > self._settings.new_batch_threshold:
                await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
            self._sent.clear()
            if await self._fetch() or await self._woken(delay):
                delay = SHORTEST_POLL
            else:
                delay = min(delay * 2, max(self._settings.max_polling_interval, SHORTEST_POLL))

    async def drain(self) -> None:
        """Wait for the messages in hand."""
        if self._running:
            await asyncio.wait(self._running)

    async def admin(self, text: str) -> None:
        """Run the function on a text that comes from no queue."""
        await self._run(text, metadata(None, text))

    async def _woken(self, delay: float) -> bool:
        try:
            await asyncio.wait_for(self._sent.wait(), delay)
        except TimeoutError:
            return False
        log.debug("%s: woken by a message that this worker sent", self._function.name)
        return True

    async def _fetch(self) -> bool:
        try:
            messages = await self._receive()
        except ResourceNotFoundError:  # the trigger never creates its queue
            return False
        except Exception as error:
            level = logging.DEBUG if self._outage else logging.WARNING  # one line per outage
            log.log(level, "%s: cannot read queue %s: %s", self._function.name, self._queue.queue_name, error)
            self._outage = True
            return False
        self._outage = False
        for message in messages:
            task = asyncio.create_task(self._process(message))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return bool(messages)

    async def _receive(self) -> list[Any]:
        pages = self._queue.receive_messages(
            messages_per_page=self._settings.batch_size, visibility_timeout=self._settings.lease
        ).by_page()
        async for page in pages:
            return [message async for message in page]
        return []

    async def _process(self, message: Any) -> None:
        try:
            await self._handle(message)
        except ResourceNotFoundError:
            log.debug("message %s is gone", message.id)
        except HttpResponseError as error:
            if getattr(error, "error_code", "") != "PopReceiptMismatch":  # else someone else holds it by now
                log.warning("%s: message %s comes back later: %s", self._function.name, message.id, error)
        except Exception:
            log.exception("%s: message %s comes back later", self._function.name, message.id)

    async def _handle(self, message: Any) -> None:
        last_try = message.dequeue_count >= self._settings.max_dequeue_count
        try:
            body = decoded(message.content, self._settings.message_encoding)
        except ValueError:
            log.error("%s: message %s is not base64", self._function.name, message.id)
            return await self._bury(message)
        if message.dequeue_count > self._settings.max_dequeue_count:
            return await self._bury(message)
        if await self._succeeds(message, body):
            await self._queue.delete_message(message.id, message.pop_receipt)
        elif last_try:
            await self._bury(message)
        elif self._poison:  # else it stays unseen until its lease ends, so that it cannot spin
            await self._lease(message, self._settings.visibility_timeout)
        return None

    async def _succeeds(self, message: Any, body: bytes) -> bool:
        renewal = asyncio.create_task(self._renew(message))
        try:
            text = body.decode()
            await self._run(text, metadata(message, text))
        except (InvocationFailedError, UnicodeDecodeError) as error:
            what = (self._function.name, message.id, message.dequeue_count, error)
            log.warning("%s: failed on message %s, time %d: %s", *what)
            return False
        finally:
            renewal.cancel()
            await asyncio.gather(renewal, return_exceptions=True)
        return True

    async def _run(self, text: str, found: dict[str, Any]) -> None:
        inputs = [(self._function.trigger["name"], Datum(text, "string"))]
        await self._runner.run(self._function, inputs, found)

    async def _renew(self, message: Any) -> None:
        while True:
            await asyncio.sleep(self._settings.renewal)
            with contextlib.suppress(Exception):  # the next renewal or the end of the run will tell
                await self._lease(message, self._settings.lease)

    async def _lease(self, message: Any, seconds: float) -> None:
        # By id and receipt, without content: given the message, the SDK would write its text again.
        renewed = await self._queue.update_message(message.id, message.pop_receipt, visibility_timeout=round(seconds))
        message.pop_receipt = renewed.pop_receipt

    async def _bury(self, message: Any) -> None:
        if self._poison is None:
            log.error("%s: message %s stays where it is, unread", self._function.name, message.id)
            return
        log.warning("%s: message %s moves to %s", self._function.name, message.id, self._poison.queue_name)
        await self._queues.put(self._poison, message.content)
        await self._queue.delete_message(message.id, message.pop_receipt)
