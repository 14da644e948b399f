"""A local host as a child process: for tests, and for whoever starts the whole system."""

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from local.child_process import ChildProcess

ROOT = Path(__file__).resolve().parent.parent


class Host(ChildProcess):
    """One worker, also as a context manager. `env` is added to the environment of this process."""

    def __init__(
        self,
        app_dir: Path,
        env: Mapping[str, str],
        python: str = sys.executable,
        port: int = 0,
        log_level: str = "WARNING",
    ) -> None:
        super().__init__()
        self._command = [python, "-m", "local.host", "--app", str(Path(app_dir).resolve())]
        self._command += ["--port", str(port), "--log-level", log_level]
        self._env = {**os.environ, **env}
        self._log = tempfile.NamedTemporaryFile(prefix="local-host-", suffix=".log")  # noqa: SIM115
        self._announced: dict[str, Any] = {}

    def start(self, timeout: float = 60) -> Self:
        """Start the worker and wait until its functions run; RuntimeError with its log when they do not."""
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, env=self._env, stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        line = self._first_line(timeout)
        if not line:
            self.kill()
            raise RuntimeError(f"the host did not start (exit {self.process.returncode}):\n{self.log()}")
        self._announced = json.loads(line)
        return self

    def _first_line(self, timeout: float) -> str:
        stdout = self.process.stdout
        assert stdout is not None
        lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=lambda: lines.put(stdout.readline()), daemon=True).start()
        try:
            return lines.get(timeout=timeout)
        except queue.Empty:
            return ""

    @property
    def url(self) -> str:
        """Where it listens, such as http://127.0.0.1:40001."""
        return str(self._announced["url"])

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def functions(self) -> list[str]:
        """The names of the functions that run."""
        return list(self._announced["functions"])

    def log(self) -> str:
        """Return what it has logged so far, over all its starts."""
        return Path(self._log.name).read_text(errors="replace")

    def stop(self, timeout: float = 40) -> None:
        """Stop gently: what is in hand is finished first. Killed when that takes longer than `timeout`."""
        if self._process is None:
            return
        self._end(timeout)
        self._close()

    def kill(self) -> None:
        """Stop like a crash."""
        self._signal(signal.SIGKILL)
        self.process.wait()
        self._close()

    def _close(self) -> None:
        if self.process.stdout:
            self.process.stdout.close()
