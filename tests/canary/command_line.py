"""What the command line prints, of an app that answers and of some that do not, or answer with what they were sent."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from local.ports import free_port
from local.worker import ROOT
from tests.canary.echoing import SENT
from tests.canary.planting import Planting, canary

ANSWERS: dict[str, dict[str, Any]] = {
    "json-400": {"status": 400, "body": {"error": f"You sent: {SENT}"}},
    "json-500": {"status": 500, "body": {"error": f"You sent: {SENT}"}},
    "page-200": {"status": 200, "body": f"<html>You sent: {SENT}</html>"},
}


class Call(NamedTuple):
    """One call of the command line: where to, with which key, and what for."""

    url: str
    key: str
    words: tuple[str, ...]


def calls(planting: Planting, url: str, event: str, other: str) -> dict[str, Call]:
    """Return calls of the app at `url` that are to go well: all that can be asked, and the stories of two events."""
    key = planting.system.function_key
    asked: dict[str, tuple[str, ...]] = {
        "list": ("events", "list", "--limit", "500"),
        "routes": ("routes", "list"),
        "story": ("events", "show", event),
        "story as JSON": ("events", "show", other, "--json"),
    }
    return {name: Call(url, key, words) for name, words in asked.items()}


def failing_calls(planting: Planting, url: str) -> dict[str, Call]:
    """Return calls that are to fail: with a wrong key, or one that can't be sent; of nobody, of what answers badly."""
    key, words = planting.system.function_key, ("events", "list")
    planting.canaries["wrong-key"] = canary()
    failing = {
        "wrong key": Call(url, planting.canaries["wrong-key"], words),
        "key with newline": Call(url, f"{key}\n", words),
        "key beyond latin": Call(url, f"{key}\u2026", words),
        "nobody": Call(f"http://127.0.0.1:{free_port()}", key, words),
        "no event": Call(url, key, ("events", "show", "no-such-event")),
    }
    receiver = planting.system.receiver
    for trouble, fault in ANSWERS.items():
        receiver.faults.add("*", f"^/cli-{trouble}/", times=None, **fault)
        failing[trouble] = Call(f"{receiver.url}/cli-{trouble}", key, ("routes", "list"))
    return failing


def made(asked: dict[str, Call]) -> dict[str, tuple[int, str]]:
    """Make the calls; return the exit status of each, and all that it printed."""
    with ThreadPoolExecutor(3) as pool:
        return dict(zip(asked, pool.map(_made, asked.values()), strict=True))


def _made(call: Call) -> tuple[int, str]:
    environment = {**os.environ, "RELAY_URL": call.url, "RELAY_KEY": call.key}
    done = subprocess.run(
        [sys.executable, "-m", "cli", *call.words],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout
