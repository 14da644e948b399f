"""One invocation from end to end: the function, then its output bindings."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from local.host_functions import Binding, Function, HostError, Inputs, invoke
from local.host_messages import texts
from local.host_queues import Queues

log = logging.getLogger("local.host")


class InvocationFailedError(Exception):
    """The function raised, or one of its outputs could not be written."""


class Runner:
    """Runs functions. An invocation counts as successful only once its outputs are written."""

    def __init__(self, queues: Queues) -> None:
        self._queues = queues

    async def run(self, function: Function, inputs: Inputs, metadata: Mapping[str, Any]) -> Any:
        """Run a function once and return its HTTP reply, if it has one, or raise InvocationFailedError."""
        returned = await invoke(function, inputs, metadata)
        if returned is None:
            raise InvocationFailedError(function.name)
        await self._write(function, returned.values)
        replies = (returned.values.get(o["name"]) for o in function.outputs if o["type"] == "http")
        return next(replies, None)

    async def _write(self, function: Function, values: Mapping[str, Any]) -> None:
        writes = [
            self._send(output, values[output["name"]])
            for output in function.outputs
            if output["type"] == "queue" and output["name"] in values
        ]
        # Side by side and not as one: some messages may be out when another fails, as in Azure.
        failures = [r for r in await asyncio.gather(*writes, return_exceptions=True) if r is not None]
        if failures:
            log.error("%s: an output was not written: %s", function.name, failures[0])
            raise InvocationFailedError(function.name) from failures[0]

    async def _send(self, output: Binding, datum: Any) -> None:
        if datum is None or datum.type is None:
            return
        queue = self._queues.client(output)
        for message in texts(datum):
            await self._queues.send(queue, message)


def check_outputs(function: Function, queues: Queues) -> None:
    """Raise HostError when a queue output has no storage account, before anything calls the function."""
    for output in function.outputs:
        if output["type"] == "queue":
            try:
                queues.client(output)
            except ValueError as error:
                raise HostError(f"{function.name}: {error}") from error
