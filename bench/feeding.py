"""Keeps a backlog on the queue `events`: messages as `receive_delivery` writes them, put in as others are worked off.

`python -m bench.feeding < DELIVERIES` makes the messages, in a process of its own that has the app's settings.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from bench import deliveries
from bench.contestants import ours
from bench.processes import told
from local.system import System

AT_ONCE = 50
THREADS = 4


class Feeder:
    """Puts `events` messages in, as long as fewer than `backlog` of them wait for their release; `with` ends it.

    The first `backlog` of them lie in the queue when the block begins.
    """

    def __init__(self, system: System, settings: Mapping[str, str], events: int, backlog: int) -> None:
        self._system, self._backlog = system, backlog
        self._messages = _made(system, settings, events)
        self._put, self._ended, self._before = 0, threading.Event(), len(system.devops.starts)
        self._thread = threading.Thread(target=self._feed)

    def __enter__(self) -> Self:
        ours.empty(self._system, "events")
        while self._put < min(self._backlog, len(self._messages)):
            self._put_some()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _feed(self) -> None:
        while self._put < len(self._messages) and not self._ended.is_set():
            if self._put - (len(self._system.devops.starts) - self._before) + AT_ONCE > self._backlog:
                time.sleep(0.02)
            else:
                self._put_some()

    def _put_some(self) -> None:
        queue = ours.events_queue(self._system)
        some = self._messages[self._put : self._put + AT_ONCE]
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(queue.send_message, some))
        self._put += len(some)


def _made(system: System, settings: Mapping[str, str], events: int) -> list[str]:
    """The messages of as many deliveries, in the order of their models' numbers."""
    signed = deliveries.signed(system.secret(ours.SECRET), "one", events)
    given = [[{name.lower(): value for name, value in each.headers.items()}, each.body.decode()] for each in signed]
    env = {**settings, "TELEMETRY": "host"}
    messages: list[str] = told("bench.feeding", given=given, env=env, timeout=120 + events / 100)
    return messages


def main() -> None:
    """Read deliveries, print the messages."""
    from handlers.receive import receive

    messages = []
    for headers, body in json.load(sys.stdin):
        answer = asyncio.run(receive(ours.SOURCE, headers, body.encode(), time.time()))
        if answer.status != 202:
            raise RuntimeError(f"answered {answer.status}: {answer.body}")
        messages.append(answer.message)
    print(json.dumps(messages))


if __name__ == "__main__":
    main()
