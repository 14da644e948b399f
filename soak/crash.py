"""Crash injection: `python -m soak.crash --events 400 --workers 3 --seed 1 --strategy full no-draft`.

Workers are killed and frozen at named moments, targets commit and drop their replies, messages come twice, lists lag.
At the end everything is counted. Exit status 1 if the app as it is ("full") did not keep its promise.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from local.system import System
from soak import report, table
from soak.doors import Doors
from soak.history import History, check, rows_of, unfinished
from soak.injections import Plan, every_injection
from soak.outside import calm_down, upset
from soak.sender import Sender
from soak.strategies import STRATEGIES, copied
from soak.workers import Worker

ONLY_ROUTES = {"AzureWebJobs.run_step.Disabled": "1"}
AT_ONCE = 10  # injections that wait for their window


@dataclass
class Soak:
    """What is asked for, and in the end what was seen."""

    events: int = 400
    workers: int = 3
    seed: int = 1
    strategy: str = "full"
    pace: float = 0.5  # seconds between events
    calm: float = 0.6  # seconds between injections
    lag: float = 1.5  # seconds by which the target's lists are late at times; beyond SETTLE_SECONDS marked runs repeat
    limit: float = 600.0
    patience: float = 150.0  # seconds from the last event to the end of the last step
    plan: Plan = field(default_factory=Plan)
    history: History = field(default_factory=History)
    sender: Sender | None = None
    restarts: int = 0
    seconds: float = 0.0

    def run(self) -> History:
        """Start everything, send, hit, wait until it is quiet, and check."""
        began = time.monotonic()
        with System() as system, ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="relay-soak-app-")))
            app = copied(self.strategy, folder)
            doors = stack.enter_context(Doors(system))
            # one of several does not run the steps of the events that it routes: pointers go to the others
            settings = [ONLY_ROUTES if number == 1 else {} for number in range(self.workers)]
            crowd = [Worker(system, app, doors, self.plan, each) for each in settings]
            for worker in crowd:
                stack.enter_context(worker)
            self.sender = Sender(crowd, system.secret("wine-dev-webhook"), self.seed)
            self._hit_while_sending(system, began + self.limit)
            self._calm_down(system)
            self._wait(system, self.sender.accepted)
            self.restarts = sum(worker.starts for worker in crowd) - len(crowd)
            stack.close()  # workers that stop finish what they have in hand: what comes late counts too
            self.history = check(system, self.sender.accepted, self.sender.told)
        self.seconds = time.monotonic() - began
        return self.history

    @property
    def is_broken(self) -> bool:
        """Whether anything was seen that may not be."""
        return bool(self.history.violations or (self.sender and self.sender.other))

    def _hit_while_sending(self, system: System, deadline: float) -> None:
        assert self.sender is not None
        sending = threading.Thread(target=self.sender.send, args=(self.events, self.pace, deadline - self.patience))
        sending.start()
        chance = random.Random(self.seed)
        for injection in itertools.chain.from_iterable(every_injection(chance) for _ in itertools.count()):
            sending.join(chance.uniform(0, 2 * self.calm))
            while sending.is_alive() and self.plan.waiting >= AT_ONCE:
                sending.join(0.1)
            if not sending.is_alive():
                return
            self.plan.arm(injection)
            upset(system, chance, self.lag)

    def _calm_down(self, system: System) -> None:
        self.plan.disarm()
        calm_down(system)

    def _wait(self, system: System, accepted: dict[str, str]) -> None:
        deadline = time.monotonic() + self.patience
        while unfinished(rows_of(system), accepted) and time.monotonic() < deadline:
            time.sleep(0.5)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one soak for each strategy that is asked for."""
    parser = argparse.ArgumentParser(prog="python -m soak.crash", description=__doc__)
    parser.add_argument("--events", type=int, default=400)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--strategy", nargs="+", choices=STRATEGIES, default=["full"])
    parser.add_argument("--pace", type=float, default=0.5, help="seconds between events, on average")
    parser.add_argument("--calm", type=float, default=0.6, help="seconds between injections, on average")
    parser.add_argument("--lag", type=float, default=1.5, help="seconds by which lists at the target are late at times")
    parser.add_argument("--limit", type=float, default=600.0, help="seconds after which it ends, done or not")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = vars(parser.parse_args(arguments))
    file, soaks = options.pop("json"), []
    for strategy in options.pop("strategy"):
        soak = Soak(strategy=strategy, **options)
        soak.run()
        report.tell(soak)
        soaks.append(soak)
    print(table.of(soaks))
    if file:
        table.write(soaks, file)
    return int(any(soak.strategy == "full" and soak.is_broken for soak in soaks))


if __name__ == "__main__":
    sys.exit(main())
