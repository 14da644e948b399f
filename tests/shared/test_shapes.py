"""Shapes that many threads ask for at once, before any of them has been worked out."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from local.worker import ROOT
from shared.shapes import converted, decoded

CROWD = """
import sys, threading
sys.setswitchinterval(1e-6)
from handlers.targets import target_module
from shared.routes import Route
from shared.shapes import converted, decoded

ROUTE = b'{"name": "a", "when": {"event": "x"}, "steps": [{"id": "a", "target": "b", "options": {}}]}'
OPTIONS = {"url_secret": "a", "text": "b"}
crowd, gate, found = 16, threading.Barrier(16), []

def work():
    shape = target_module("slack").Options
    gate.wait()
    found.append((decoded(ROUTE, Route).when.event, converted(OPTIONS, shape).text))

threads = [threading.Thread(target=work) for _ in range(crowd)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert found == [("x", "b")] * crowd
"""


@pytest.mark.parametrize("turn", range(3))
def test_a_crowd_of_threads_may_ask_for_a_shape_at_once(turn: int) -> None:
    done = subprocess.run([sys.executable, "-c", CROWD], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"round {turn}: {done.stderr}"


class Wine(msgspec.Struct, forbid_unknown_fields=True):
    """A shape of this test."""

    name: str


def test_what_does_not_fit_a_shape_is_named() -> None:
    assert decoded('{"name": "a"}', Wine) == converted({"name": "a"}, Wine) == Wine("a")
    with pytest.raises(msgspec.ValidationError, match=r"Expected `str`, got `int` - at `\$\.name`"):
        decoded(b'{"name": 1}', Wine)
    with pytest.raises(msgspec.ValidationError, match="unknown field `age`"):
        converted({"name": "a", "age": 1}, Wine)
