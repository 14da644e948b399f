"""Judge deliveries on a loop, in a process that knows neither secrets nor routes yet; print the statuses, and what was
opened, connected to or told of the vault by the loop's own thread and by others:
`python -m tests.handlers.receive_child < DELIVERIES`."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
import time
from typing import Any

from handlers.receive import receive

ASKING = ("socket.connect", "open")


def main() -> None:
    """Read `[seconds to wait before, source, headers, body]` of each delivery; print `statuses`, and what the `loop`
    and other `threads` have done."""
    given: list[tuple[float, str, dict[str, str], str]] = json.load(sys.stdin)
    done: dict[str, list[str]] = {"loop": [], "threads": []}

    def note(what: str) -> None:
        done["loop" if threading.current_thread() is threading.main_thread() else "threads"].append(what)

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ASKING and not str(arguments[0]).endswith((".py", ".pyc")):
            note(f"{event} {arguments[0 if event == 'open' else 1]}")

    class Telling(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.name == "relay.vault":
                note(record.getMessage())

    async def judge() -> list[int]:
        statuses = []
        for pause, source, headers, body in given:
            await asyncio.sleep(pause)
            statuses.append((await receive(source, headers, body.encode(), time.time())).status)
        return statuses

    logging.basicConfig(level=logging.INFO, handlers=[Telling()])
    sys.addaudithook(hear)
    sys.stdout.write(json.dumps({"statuses": asyncio.run(judge()), **done}))


if __name__ == "__main__":
    main()
