"""Work beside other work: it is waited for, and no error of it is lost, nor hides that of the block."""

from __future__ import annotations

import threading

import pytest

from shared.beside import beside


def test_what_is_done_beside_is_over_at_the_end_of_the_block_and_runs_at_the_same_time() -> None:
    there, done = threading.Barrier(2, timeout=10), list[str]()

    def work() -> None:
        there.wait()  # comes back only if the block is there, too
        done.append("beside")

    with beside(work):
        there.wait()
    assert done == ["beside"]


def test_what_fails_beside_fails_the_block() -> None:
    def fail() -> None:
        raise ValueError("storage")

    with pytest.raises(ValueError, match="storage"), beside(fail):
        pass


def test_the_error_of_the_block_is_told_once_what_was_beside_it_is_over() -> None:
    goes_on, over = threading.Event(), list[bool]()

    def fail_beside() -> None:
        goes_on.wait(10)
        over.append(True)
        raise ValueError("beside")

    def fail() -> None:
        goes_on.set()
        raise KeyError("block")

    with pytest.raises(KeyError, match="block"), beside(fail_beside):
        fail()
    assert over
