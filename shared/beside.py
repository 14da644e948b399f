"""Two things at a time: calls to storage that do not need each other's answers wait side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import cache

THREADS = 24
"""As many as messages are in hand at most (host.json: batchSize, newBatchThreshold): none waits for another's."""


@contextmanager
def beside(work: Callable[[], object]) -> Iterator[None]:
    """Do the work in another thread while the block runs; wait for it at the block's end, and raise what it raised."""
    running = _pool().submit(copy_context().run, work)
    try:
        yield
    except BaseException:
        running.exception()  # it has to be over, whatever came of it: the block's own error is the one to tell
        raise
    running.result()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, "beside")
