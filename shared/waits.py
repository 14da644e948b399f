"""Work on the worker's event loop, which must not wait there: all other deliveries would wait, too.

Whoever is about to wait for another service, a file or a lock, or to compute for long, says so before. On the loop that
breaks the work off, and it is done again in a thread. What never waits is spared the way to a thread and back, which
takes longer than itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from functools import cache
from typing import TypeVar

Answer = TypeVar("Answer")

THREADS = 32
"""As many deliveries wait at once at most; more of them wait for one of these to be over."""


class WouldWait(Exception):
    """The work would have to wait where nothing may."""


def about_to_wait() -> None:
    """Say that what follows may wait, or take long. Raises WouldWait on the loop; in a thread it does nothing."""
    if _on_loop.get():
        raise WouldWait


async def soon(work: Callable[[], Answer]) -> Answer:
    """Return what the work returns: at once, or from a thread if it is about to wait. Raises what it raises.

    It is begun anew in the thread, so that nothing it does before its first wait may have an effect.
    """
    token = _on_loop.set(True)
    try:
        return work()
    except WouldWait:
        pass
    finally:
        _on_loop.reset(token)
    return await asyncio.get_running_loop().run_in_executor(_pool(), copy_context().run, work)


_on_loop: ContextVar[bool] = ContextVar("on_loop", default=False)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, "waits")
