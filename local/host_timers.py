"""The timer trigger: ticks by its NCRONTAB schedule in one worker at a time."""

import asyncio
import contextlib
import json
import logging
import uuid
from datetime import UTC, datetime

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.blob.aio import BlobClient, BlobLeaseClient, BlobServiceClient
from azure_functions_runtime.bindings.datumdef import Datum
from croniter import CroniterError, croniter

from local.host_functions import Function, HostError
from local.host_queues import connection_string
from local.host_run import InvocationFailedError, Runner

log = logging.getLogger("local.host")

LEASE_SECONDS = 15  # the shortest that storage grants; Azure's host takes a minute
RENEWAL_SECONDS = 5
CONTAINER = "azure-webjobs-hosts"


def schedule(function: Function) -> croniter:
    """Return the ticks of a timer from now on; HostError when its schedule is not NCRONTAB."""
    text = str(function.trigger["schedule"])
    try:
        # Unlike cron, NCRONTAB wants day of month and day of week to hold both.
        return croniter(text, datetime.now(UTC), second_at_beginning=True, day_or=False)
    except (CroniterError, ValueError) as error:
        raise HostError(f"{function.name}: schedule {text!r}: {error}") from error


class Lock:
    """A lease on a blob: among the workers on one storage account, one holds it."""

    def __init__(self, host_id: str, function: str) -> None:
        text = connection_string({})
        # No patience with storage here: whoever cannot renew in time must take the lock for lost.
        self._service = BlobServiceClient.from_connection_string(
            text, retry_total=0, connection_timeout=2, read_timeout=5
        )
        self._blob: BlobClient = self._service.get_blob_client(CONTAINER, f"locks/{host_id}/{function}.Listener")
        self._lease = BlobLeaseClient(self._blob, lease_id=str(uuid.uuid4()))

    async def acquire(self) -> None:
        """Wait until this worker holds the lock."""
        while not await self._acquired():
            await asyncio.sleep(RENEWAL_SECONDS)

    async def _acquired(self) -> bool:
        try:
            await self._lease.acquire(lease_duration=LEASE_SECONDS)
        except ResourceNotFoundError:
            return await self._created() and await self._acquired()
        except Exception as error:  # another worker has it, or storage is away
            log.debug("lock %s: %s", self._blob.blob_name, error)
            return False
        return True

    async def _created(self) -> bool:
        try:
            with contextlib.suppress(ResourceExistsError):
                await self._service.create_container(CONTAINER)
            with contextlib.suppress(ResourceExistsError):
                await self._blob.upload_blob(b"")
        except Exception as error:
            log.warning("lock %s: %s", self._blob.blob_name, error)
            return False
        return True

    async def renewed(self) -> bool:
        """Hold on to the lock; False when another worker has it or storage cannot be asked."""
        try:
            await self._lease.renew()
        except Exception as error:
            log.warning("lock %s is lost: %s", self._blob.blob_name, error)
            return False
        return True

    async def close(self) -> None:
        """Give the lock back, so that another worker need not wait for the lease to end."""
        with contextlib.suppress(Exception):
            await self._lease.release()
        await self._service.close()


class TimerTrigger:
    """Runs one function by its schedule, in UTC, until cancelled."""

    def __init__(self, function: Function, runner: Runner, lock: Lock) -> None:
        self._function = function
        self._runner = runner
        self._lock = lock
        self._on_startup = bool(function.trigger.get("runOnStartup"))
        self._running: set[asyncio.Task[None]] = set()
        schedule(function)

    async def listen(self) -> None:
        """Tick for ever, while this worker holds the lock."""
        while True:
            await self._lock.acquire()
            if self._on_startup:
                self._on_startup = False
                await self._tick()
            await self._hold()

    async def drain(self) -> None:
        """Wait for the tick in hand, then give the lock back."""
        if self._running:
            await asyncio.wait(self._running)
        await self._lock.close()

    async def admin(self, _text: str) -> None:
        """Run the function now; like in Azure the input is not looked at."""
        await self._run()

    async def _hold(self) -> None:
        due = self._next()
        while await self._lock.renewed():
            pause = (due - datetime.now(UTC)).total_seconds()
            if pause > 0:
                await asyncio.sleep(min(pause, RENEWAL_SECONDS))
            else:
                await self._tick()
                due = self._next()

    def _next(self) -> datetime:
        due: datetime = schedule(self._function).get_next(datetime)
        return due

    async def _tick(self) -> None:
        task = asyncio.create_task(self._logged())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        while (await asyncio.wait({task}, timeout=RENEWAL_SECONDS))[1]:
            await self._lock.renewed()

    async def _logged(self) -> None:
        try:
            await self._run()
        except InvocationFailedError:
            log.warning("%s: failed", self._function.name)

    async def _run(self) -> None:
        body = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": None, "IsPastDue": False}
        inputs = [(self._function.trigger["name"], Datum(json.dumps(body), "json"))]
        await self._runner.run(self._function, inputs, {})
