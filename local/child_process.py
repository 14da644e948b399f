"""A child process that can be frozen between its beginning and its end: what workers and Azurite have in common."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from abc import ABC, abstractmethod
from typing import Self


class ChildProcess(ABC):
    """A process that whoever derives from this starts and stops; as a context manager, both at the right time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    @abstractmethod
    def start(self) -> Self:
        """Start it, and wait until it is of use. Raises RuntimeError with what it said when it is not."""

    @abstractmethod
    def stop(self) -> None:
        """Stop it, also one that is frozen."""

    @property
    def process(self) -> subprocess.Popen[str]:
        """The child process. Raises RuntimeError before the start."""
        if self._process is None:
            raise RuntimeError(f"{type(self).__name__} was not started: call `start`, or use a `with` block")
        return self._process

    def pause(self) -> None:
        """Freeze it, like a machine without processor time: the kernel accepts connections, and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen one go on."""
        self._signal(signal.SIGCONT)

    def _end(self, timeout: float) -> None:
        """End it gently, also one that is frozen; kill it if that takes longer. Nothing if it was not started."""
        if self._process is None:
            return
        self.resume()
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def __enter__(self) -> Self:
        return self.start() if self._process is None else self

    def __exit__(self, *_: object) -> None:
        self.stop()
