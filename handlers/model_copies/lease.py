"""How long one turn of a copy may take, and how a turn that takes long keeps its step to itself.

The lease of a running step can't be renewed. So `start` copies only what surely fits into it; the rest is copied while
the step waits, turn by turn, each under a lease of its own: `until` in the step's progress, written conditionally
before the first file and again while files go through. Who finds it held leaves; a worker that is gone is waited for so
long.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from shared.attempts import Attempt
from shared.errors import ClaimLost
from shared.settings import settings

AT_ONCE = 8_000_000  # bytes: what a worker surely copies within half a lease


class Lease:
    """A turn within the lease of the running step."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._deadline = time.monotonic() + settings().step_lease_seconds / 2

    def has_time(self, size: int) -> bool:
        """Tell whether to begin with a file of so many bytes."""
        return size <= AT_ONCE and time.monotonic() < self._deadline

    def renew(self) -> None:
        """Say that the worker is still at it. Here there is nothing to renew."""

    def save(self, progress: Mapping[str, Any]) -> None:
        """Write progress before what may be done only while the step is held. Raises ClaimLost."""
        self._attempt.save(dict(progress))


class OwnLease(Lease):
    """A turn under a lease of its own. A file of any size may be begun before half of it is over."""

    def __init__(self, attempt: Attempt) -> None:
        super().__init__(attempt)
        self.save({})

    def has_time(self, size: int) -> bool:
        """Tell whether to begin with a file."""
        return time.monotonic() < self._deadline

    def renew(self) -> None:
        """Write a new end, once a quarter of the time is over. Raises ClaimLost."""
        if time.monotonic() - self._written > settings().step_lease_seconds / 4:
            self.save({})

    def save(self, progress: Mapping[str, Any]) -> None:
        """Write progress, and a new end. Raises ClaimLost."""
        super().save({**progress, "until": time.time() + settings().step_lease_seconds})
        self._written = time.monotonic()


@contextmanager
def own_lease(attempt: Attempt) -> Iterator[Lease]:
    """Hold a lease, and give it back. Raises ClaimLost if another worker holds it."""
    if attempt.progress.get("until", 0.0) > time.time():
        raise ClaimLost(f"another worker copies for step {attempt.step}")
    lease = OwnLease(attempt)
    try:
        yield lease
    except ClaimLost:
        raise  # it is another's now
    except Exception:
        attempt.save({"until": 0.0})
        raise
    attempt.save({"until": 0.0})
