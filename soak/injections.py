"""What is to be done to workers, and when: one injection at a time, each waiting for its window to come."""

from __future__ import annotations

import random
import threading
from collections import Counter
from dataclasses import dataclass

from soak.windows import ASKED, STORAGE, TARGETS

KILLS = ("kill before", "kill after")
QUEUES = ("event queued", "pointer queued")
PUTS = ("endpoint put", "deployment put")
PUT_SECONDS = 1.8
"""By how much a PUT comes late at most: nothing but SETTLE_SECONDS tells for how long one whose sender has died may."""


@dataclass(frozen=True)
class Injection:
    """Hit the next request of this window: `action` is one of those of `Proxy`, `seconds` how long it holds on."""

    window: str
    action: str
    seconds: float = 0.0


def every_injection(chance: random.Random) -> list[Injection]:
    """Return all kinds of injections in an order of chance, those that hurt most more than once."""
    kinds = [(window, action) for window in (*STORAGE, *TARGETS) for action in KILLS]
    kinds += [(window, action) for window in STORAGE for action in ("freeze", "late", "drop")]
    kinds += [(window, action) for window in TARGETS for action in ("freeze", "late", "drop", "hang", "error")]
    kinds += [(window, action) for window in ASKED for action in ("kill after", "freeze", "drop", "error")]
    kinds += [("deployment asked", "stale")] * 2
    kinds += [(window, "double") for window in QUEUES] * 4
    kinds += [(window, action) for window in ("claim", "draft recorded") for action in ("freeze", *KILLS)]
    kinds += [(window, "kill after") for window in TARGETS]
    chance.shuffle(kinds)
    return [Injection(window, action, _seconds(window, action, chance)) for window, action in kinds]


def _seconds(window: str, action: str, chance: random.Random) -> float:
    if action == "late" and window in PUTS:
        return round(chance.uniform(0.1, PUT_SECONDS), 1)
    return round(chance.uniform(2, 12), 1)


class Plan:
    """The injections that wait for their window. Asked from the proxies' loop, filled from any thread."""

    def __init__(self) -> None:
        self.done: Counter[Injection] = Counter()
        self._armed: list[Injection] = []
        self._lock = threading.Lock()

    def arm(self, injection: Injection) -> None:
        """Hit the next request of the window."""
        with self._lock:
            self._armed.append(injection)

    def disarm(self) -> None:
        """Forget what has not come to its window."""
        with self._lock:
            self._armed.clear()

    @property
    def waiting(self) -> int:
        """How many injections have not come to their window yet."""
        return len(self._armed)

    def take(self, window: str) -> Injection | None:
        """Return what is to be done at this window, once."""
        with self._lock:
            found = next((each for each in self._armed if each.window == window), None)
            if found is not None:
                self._armed.remove(found)
                self.done[Injection(found.window, found.action)] += 1
            return found

    def count(self, *actions: str) -> int:
        """Return how many injections of these actions were done."""
        return sum(times for each, times in self.done.items() if each.action in actions)
