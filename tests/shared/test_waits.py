"""Work on the event loop: done there unless it waits, else done anew in a thread."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar

import pytest

from shared.waits import about_to_wait, soon

given: ContextVar[str] = ContextVar("given", default="")


def test_work_that_does_not_wait_is_done_where_it_is_asked_for() -> None:
    assert asyncio.run(soon(threading.get_ident)) == threading.get_ident()


def test_work_that_is_about_to_wait_is_begun_anew_in_a_thread_in_the_context_of_the_caller() -> None:
    begun = list[int]()

    def work() -> str:
        begun.append(threading.get_ident())
        about_to_wait()
        return given.get()

    async def ask() -> str:
        given.set("what the caller knows")
        return await soon(work)

    assert asyncio.run(ask()) == "what the caller knows"
    on_loop, in_thread = begun
    assert on_loop == threading.get_ident() != in_thread


def test_the_loop_goes_on_while_work_waits() -> None:
    released = threading.Event()

    def wait() -> bool:
        about_to_wait()
        return released.wait(30)

    async def ask() -> bool:
        waiting = asyncio.create_task(soon(wait))
        await asyncio.sleep(0.01)
        released.set()
        return await waiting

    assert asyncio.run(ask())


@pytest.mark.parametrize("waits", [False, True])
def test_what_work_raises_is_raised(waits: bool) -> None:
    def fail() -> None:
        if waits:
            about_to_wait()
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        asyncio.run(soon(fail))


def test_outside_the_loop_everything_may_wait() -> None:
    assert asyncio.run(soon(lambda: True))
    about_to_wait()
