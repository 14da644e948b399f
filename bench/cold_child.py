"""One cold start in a process of its own: `python -m bench.cold_child WHAT < INPUT`, told as one line of JSON.

WHAT is `library` (import azure.functions alone), `app` (import and index function_app, then judge the first delivery)
or `target` (then route it, and run the step: once, and once more for another event). Standard library only up here:
what is imported is what is measured.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

_SECONDS = 1000.0  # milliseconds in one


def _megabytes() -> float:
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


class _Watch:
    """Laps in milliseconds, and the memory at the end of each."""

    def __init__(self) -> None:
        self.told: dict[str, float] = {"memory bare": _megabytes()}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.told[name] = (now - self._last) * _SECONDS
        self.told[f"memory {name}"] = _megabytes()
        self._last = time.perf_counter()


def _library(watch: _Watch) -> None:
    import azure.functions  # noqa: F401

    watch.lap("import")


def _app(watch: _Watch, deliveries: list[dict[str, Any]]) -> list[str]:
    import function_app

    watch.lap("import")
    function_app.app.get_functions()
    watch.lap("index")
    import asyncio  # there by now, as it is in a worker

    from handlers.receive import receive

    messages = []
    for number, given in enumerate(deliveries):
        answer = asyncio.run(receive(given["source"], given["headers"], given["body"].encode(), time.time()))
        if answer.status != 202:
            from handlers.health import health

            raise RuntimeError(f"the delivery was answered {answer.status}: {answer.body}; {health()[1]}")
        messages.append(answer.message)
        watch.lap("first 202" if not number else "next 202")
    _exporters(watch)
    return messages


def _exporters(watch: _Watch) -> None:
    """Wait until telemetry is set up, which the app does in a thread after its first answer; tell what it computes."""
    from bench.exporters import wait_for_exporters

    began = time.process_time()
    if wait_for_exporters():
        watch.told["exporters"] = (time.process_time() - began) * _SECONDS


def _target(watch: _Watch, deliveries: list[dict[str, Any]]) -> None:
    from datetime import UTC, datetime

    messages = _app(watch, deliveries)
    from handlers.route import route_event
    from handlers.run import run_step
    from shared.messages import encode

    routed = [route_event(message.encode(), lambda: datetime.now(UTC)) for message in messages]
    watch.lap("route")
    for number, [pointer] in enumerate(routed):
        run_step(encode(pointer).encode(), lambda: datetime.now(UTC))
        watch.lap("first use" if not number else "next use")


def main() -> None:
    """Measure and print."""
    given = json.load(sys.stdin)
    watch = _Watch()
    what = sys.argv[1]
    if what == "library":
        _library(watch)
    elif what == "app":
        _app(watch, given)
    else:
        _target(watch, given)
    print(json.dumps(watch.told))


if __name__ == "__main__":
    main()
