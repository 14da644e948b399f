"""Contestants as child processes. Before any load is sent, the process has to own the port that it is asked at."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import psutil

from local.worker import ROOT

START_SECONDS = 120.0
LOOK_SECONDS, IDLE_SHARE = 0.2, 0.15  # the kernel counts in hundredths of a second: less than three of them in 0.2 s


class NotItsPortError(Exception):
    """Another process than the one that was started listens where the load would go, or nobody."""


def told(
    module: str, *arguments: str, given: Any, env: Mapping[str, str], timeout: float, python: str = sys.executable
) -> Any:
    """Run a module of ours as a child that reads JSON from its input and tells JSON in the last line of its output.

    `env` comes on top of this process's; `timeout` in seconds. Raises RuntimeError with what it complained of.
    """
    done = subprocess.run(
        [python, "-m", module, *arguments],
        input=json.dumps(given),
        cwd=ROOT,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join([module, *arguments])} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def check_owner(pid: int, port: int) -> None:
    """Raise NotItsPortError unless the process, and no other, listens on the port."""
    listening = {pid for pid, found in _listeners() if found == port}
    if listening != {pid}:
        raise NotItsPortError(f"port {port} is owned by {sorted(listening) or 'nobody'}, not by process {pid}")


def _listeners() -> list[tuple[int, int]]:
    found = psutil.net_connections(kind="tcp")
    return [(each.pid or 0, each.laddr[1]) for each in found if each.status == psutil.CONN_LISTEN and each.laddr]


def wait_until_idle(pid: int, seconds: float = 10.0) -> bool:
    """Wait until a process, with those that it has started, computes no more, for so many seconds at most.

    What a contestant still does after its answers would else slow whoever comes next. Returns whether it rests.
    """
    before, deadline = _computed(pid), time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
        now = _computed(pid)
        if now - before < IDLE_SHARE * LOOK_SECONDS:
            return True
        before = now
    return False


def _computed(pid: int) -> float:
    """Seconds of a processor that a process has used, its children too, those that have ended included."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    seconds = 0.0
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = member.cpu_times()
            seconds += times.user + times.system + times.children_user + times.children_system
    return seconds


class Child:
    """One process that listens on a port. Its output is kept; it stops at the end of a `with` block."""

    def __init__(self, command: Sequence[str], port: int, env: Mapping[str, str], cwd: Path) -> None:
        self._command, self.port, self._env, self._cwd = list(command), port, dict(env), cwd
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it and wait until it owns its port. Raises RuntimeError with its output if it does not."""
        if any(port == self.port for _, port in _listeners()):
            raise NotItsPortError(f"port {self.port} is taken before its contestant starts")
        self._process = subprocess.Popen(
            self._command, cwd=self._cwd, env=self._env, stdout=self._log, stderr=subprocess.STDOUT
        )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(NotItsPortError):
                check_owner(self.pid, self.port)
                return self
            time.sleep(0.05)
        self.kill()
        raise RuntimeError(f"{self._command[0]} did not listen on {self.port}:\n{self.log()}")

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None
        return self._process.pid

    def log(self) -> str:
        """Return the last of its output."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-4000:]

    def kill(self) -> None:
        """Stop it like a crash, what it has started with it."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop it gently; killed if it does not within 10 seconds."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            family = [*psutil.Process(self.pid).children(recursive=True), psutil.Process(self.pid)]
            for member in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.send_signal(number)
            _, alive = psutil.wait_procs(family, timeout=10)
            for member in alive:
                member.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self.start() if self._process is None else self

    def __exit__(self, *_: object) -> None:
        self.stop()
