"""Our own CPU time per delivery, in a process of its own: `python -m bench.cpu_child COUNT < INPUT`.

The host's bindings are left out: `receive` is called as function_app.py calls it. Beside it stands the least that any
receiver has to do: HMAC over the same bytes, and a validated decode of the same body. And, as the floor below which no
code of ours can come, the library calls alone without which a delivery of ours is none. They take turns in batches, so
that a change of the processor's pace is shared.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import sys
import time
from collections.abc import Awaitable, Callable

import msgspec

from bench.exporters import wait_for_exporters
from handlers.receive import receive

BATCH = 50


class Tag(msgspec.Struct):
    """A tag, as a delivery bears it."""

    key: str
    value: str


class Body(msgspec.Struct):
    """The fields of a Databricks delivery, validated."""

    event: str
    event_timestamp: int | None = None
    webhook_id: str | None = None
    model_name: str | None = None
    version: str | None = None
    from_stage: str | None = None
    to_stage: str | None = None
    comment: str | None = None
    text: str | None = None
    tags: list[Tag] | None = None


def main() -> None:
    """Measure in turns, print the microseconds of each kind per delivery, one figure for each batch."""
    given, count = json.load(sys.stdin), int(sys.argv[1])
    body, good, wrong = given["body"].encode(), given["headers"], {**given["headers"], **given["wrong"]}

    async def ask(headers: dict[str, str], status: int) -> None:
        answer = await receive(given["source"], headers, body, time.time())
        if answer.status != status:
            raise RuntimeError(f"answered {answer.status}: {answer.body}")

    # as in the worker, which hears all from INFO on and hands it to the host: that is the host's, and left out
    logging.basicConfig(level=logging.INFO, handlers=[logging.NullHandler()])
    kinds: dict[str, Callable[[], Awaitable[None]]] = {
        "bare": _bare(given["secret"].encode(), body, good["x-databricks-signature"]),
        "floor": _floor(given["secret"].encode(), body, good["x-databricks-signature"]),
        "accepted": lambda: ask(good, 202),
        "refused": lambda: ask(wrong, 401),
    }
    print(json.dumps(asyncio.run(_in_turns(kinds, max(count // BATCH, 1)))))


def _bare(secret: bytes, body: bytes, signature: str) -> Callable[[], Awaitable[None]]:
    decoder = msgspec.json.Decoder(Body)

    async def bare() -> None:
        _verify(secret, body, signature)
        decoder.decode(body)

    return bare


def _floor(secret: bytes, body: bytes, signature: str) -> Callable[[], Awaitable[None]]:
    """HMAC; a reading that takes no key twice, as shared/strict_json.py has it; two ids; a message; a log's record."""
    logger = logging.getLogger("bench.floor")

    async def floor() -> None:
        _verify(secret, body, signature)
        value = msgspec.json.decode(body)
        if msgspec.json.encode(value) != msgspec.json.format(body, indent=-1):
            raise RuntimeError("the body is written in another way")
        found = msgspec.convert(value, Body)
        delivery = hashlib.sha256(body).hexdigest()
        meaning = [found.event, found.model_name, found.version, found.to_stage, found.event_timestamp]
        event = hashlib.sha256(msgspec.json.encode(meaning, order="sorted")).hexdigest()
        msgspec.json.encode({"id": event, "delivery": delivery, "payload": body.decode()})
        logger.handle(logger.makeRecord(logger.name, logging.INFO, __file__, 0, event, (), None))

    return floor


def _verify(secret: bytes, body: bytes, signature: str) -> None:
    if not hmac.compare_digest(hmac.digest(secret, body, hashlib.sha256).hex(), signature):
        raise RuntimeError("the signature does not hold")


async def _in_turns(kinds: dict[str, Callable[[], Awaitable[None]]], turns: int) -> dict[str, list[float]]:
    told: dict[str, list[float]] = {name: [] for name in kinds}
    for call in kinds.values():
        await call()  # what is asked for once is asked for before
    wait_for_exporters()
    for turn in range(turns):
        for name in list(kinds) if turn % 2 else list(kinds)[::-1]:
            told[name].append(await _microseconds(kinds[name]))
    return told


async def _microseconds(call: Callable[[], Awaitable[None]]) -> float:
    began = time.thread_time_ns()
    for _ in range(BATCH):
        await call()
    return (time.thread_time_ns() - began) / BATCH / 1000


if __name__ == "__main__":
    main()
