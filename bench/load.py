"""The load generator, a process of its own: `python -m bench.load < JOB`, where JOB is one line of JSON.

It sends prepared requests over kept connections, either as fast as they are answered (closed loop) or at a given rate
(open loop). Bounded in count and in time. At a rate, a latency counts from when the request was due, so that a
contestant that stands still is not spared the requests that queue up meanwhile.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from urllib.parse import urlsplit

from bench.processes import told

PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Request:
    """One request: its headers and its body as it goes over the wire."""

    headers: dict[str, str]
    body: bytes


@dataclass
class Measured:
    """What came of a load: seconds of each answer by its status, when each request was sent (since 1970), and errors.

    `latencies`, `sent` and `statuses` are in the order of the requests; a request without an answer has status 0.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)

    @property
    def counts(self) -> dict[int, int]:
        """How many answers each status got."""
        return dict(Counter(self.statuses))

    @property
    def per_second(self) -> float:
        """Answers per second, whatever their status."""
        return sum(status > 0 for status in self.statuses) / self.seconds if self.seconds else 0.0


def run(
    url: str, requests: Sequence[Request], *, concurrency: int, count: int, seconds: float, rate: float = 0.0
) -> Measured:
    """Send `count` of the requests, over and over in their order, for `seconds` at most, and return what came of it.

    `rate` in requests per second; 0 sends as fast as they are answered. Raises RuntimeError if the generator fails.
    """
    job = {
        "url": url,
        "requests": [[each.headers, base64.b64encode(each.body).decode()] for each in requests],
        "concurrency": concurrency,
        "count": count,
        "seconds": seconds,
        "rate": rate,
    }
    return Measured(**told("bench.load", given=job, env={}, timeout=seconds + 2 * PATIENCE_SECONDS))


class _Load:
    def __init__(self, url: str, requests: list[Request], count: int, seconds: float, rate: float) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._wire = [_on_the_wire(f"{self._host}:{self._port}", parts.path, each) for each in requests]
        self._count, self._seconds, self._rate = count, seconds, rate
        self._next = 0
        self._began = 0.0
        size = count
        self.measured = Measured(latencies=[0.0] * size, statuses=[-1] * size, sent=[0.0] * size)

    async def run(self, concurrency: int) -> Measured:
        self._began = time.perf_counter()
        await asyncio.gather(*(self._send_in_turn() for _ in range(concurrency)))
        measured, sent = self.measured, self._next
        measured.seconds = time.perf_counter() - self._began
        kept = [i for i in range(sent) if measured.statuses[i] >= 0]
        measured.latencies = [measured.latencies[i] for i in kept]
        measured.sent = [measured.sent[i] for i in kept]
        measured.statuses = [measured.statuses[i] for i in kept]
        return measured

    async def _send_in_turn(self) -> None:
        connection = _Connection(self._host, self._port)
        while self._next < self._count and time.perf_counter() - self._began < self._seconds:
            index, self._next = self._next, self._next + 1
            due = time.perf_counter()
            if self._rate:
                due = self._began + index / self._rate
                await asyncio.sleep(max(due - time.perf_counter(), 0.0))
            await self._send(connection, index, due)
        connection.close()

    async def _send(self, connection: _Connection, index: int, due: float) -> None:
        self.measured.sent[index] = time.time() - (time.perf_counter() - due)
        try:
            wire = self._wire[index % len(self._wire)]
            status = await asyncio.wait_for(connection.ask(wire), PATIENCE_SECONDS)
        except (OSError, EOFError, TimeoutError, ValueError, asyncio.LimitOverrunError):
            connection.close()
            status = 0
        self.measured.statuses[index] = status
        self.measured.latencies[index] = time.perf_counter() - due


class _Connection:
    """One kept connection; opened anew when the other side has closed it."""

    def __init__(self, host: str, port: int) -> None:
        self._place = (host, port)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, wire: bytes) -> int:
        """Send a request, read the whole answer, return its status."""
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(*self._place)
        self._writer.write(wire)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        status, headers = int(head.split(" ", 2)[1]), _headers(head)
        if headers.get("transfer-encoding") == "chunked":
            await _skip_chunks(self._reader)
        else:
            await self._reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection") == "close":
            self.close()
        return status

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


async def _skip_chunks(reader: asyncio.StreamReader) -> None:
    while size := int((await reader.readline()).split(b";")[0], 16):
        await reader.readexactly(size + 2)
    while (await reader.readline()).strip():
        pass  # trailers


def _headers(head: str) -> dict[str, str]:
    lines = (line.partition(":") for line in head.split("\r\n")[1:] if ":" in line)
    return {name.strip(): value.strip() for name, _, value in lines}


def _on_the_wire(host: str, path: str, request: Request) -> bytes:
    headers = {"Host": host, **request.headers, "Content-Length": str(len(request.body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + request.body


def main() -> None:
    """Read the job, do it, print what was measured."""
    job = json.load(sys.stdin)
    requests = [Request(headers, base64.b64decode(body)) for headers, body in job["requests"]]
    load = _Load(job["url"], requests, job["count"], job["seconds"], job["rate"])
    print(json.dumps(asdict(asyncio.run(load.run(job["concurrency"])))))


if __name__ == "__main__":
    main()
