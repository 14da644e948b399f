"""What a contestant is: a process that takes deliveries on a port of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from bench.processes import check_owner


class Running(Protocol):
    """A contestant's process; `with` stops it."""

    @property
    def pid(self) -> int:
        """The process that has to own the port."""

    @property
    def url(self) -> str:
        """Where deliveries go."""

    def kill(self) -> None:
        """Stop it like a crash."""


@dataclass(frozen=True)
class Contestant:
    """`start` starts it anew; `stores` says what it has stored before it answers, `verifies` whether it checks the
    signature. `queued` counts the messages that its deliveries left in storage, None if it has no queue there.
    """

    name: str
    version: str
    start: Callable[[], AbstractContextManager[Running]]
    stores: str
    verifies: bool
    queued: Callable[[], int] | None = None
    empty: Callable[[], None] | None = None

    @contextmanager
    def running(self) -> Iterator[Running]:
        """Start it, and yield it once it owns its port; stop it. Raises NotItsPortError if another process does."""
        with self.start() as found:
            check_owner(found.pid, urlsplit(found.url).port or 0)
            yield found
