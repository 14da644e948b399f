"""Ports of 127.0.0.1 for child processes that have to be told theirs, or that come back at the same place.

A port that is only looked for may be given to another process before the child has it, which may take seconds.
"""

from __future__ import annotations

import socket
import sys


class Port:
    """A free port, kept from everybody else until `release`; `number` is what the child is told.

    It is bound, so that the system gives it to nobody, but not listened on: calls are refused until the child is there.
    Linux lets a second process bind it if both allow the reuse of addresses, as the servers of Node, Python and Go do;
    where the system does not, the port is free from the start.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.number = int(self._socket.getsockname()[1])
        if sys.platform != "linux":
            self.release()

    def release(self) -> None:
        """Let others have it; nothing if it was released before."""
        self._socket.close()


_KEPT: list[Port] = []


def free_port() -> int:
    """Return a port that is kept as long as this process lives."""
    _KEPT.append(Port())
    return _KEPT[-1].number
