"""What a contestant is: a process that takes deliveries on a port of its own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol


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
