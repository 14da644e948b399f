"""The container of a deployment: a process of the Python that has MLflow, in which the model is loaded and answers.

Source: "Troubleshoot online endpoints" (a deployment whose container crashes fails with the end of its log).
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".venv-mlflow" / "bin" / "python"
SCORER = ROOT / "local" / "mlflow_scorer.py"
_SHOWN = 500


class Container:
    """An MLflow model that is served, once `ready` has ended. `problem` is why it is not, empty while nothing is wrong.

    `folder` holds the model's files: MLmodel and what belongs to it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.problem, self._port = folder, "", 0
        self._log = tempfile.TemporaryFile(prefix="azure-ml-container-")  # noqa: SIM115
        self._process: subprocess.Popen[bytes] | None = None

    async def ready(self) -> None:
        """Start, and wait until the model is loaded or has failed to be."""
        if not PYTHON.exists():
            self.problem = "there is no Python with MLflow here: `make .venv-mlflow/.installed` makes one"
            return
        # the app's own settings must not reach the model
        environment = {"PATH": os.environ.get("PATH", ""), "MLFLOW_DISABLE_TELEMETRY": "true"}
        self._process = subprocess.Popen(
            [PYTHON, "-I", SCORER, self.folder],  # -I: the modules beside it must not stand before MLflow's
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            cwd=tempfile.gettempdir(),
            env=environment,
        )
        assert self._process.stdout is not None
        line = await asyncio.to_thread(self._process.stdout.readline)
        if line:
            self._port = json.loads(line)["port"]
        else:
            self.problem = f"User container has crashed: {self._end_of_log()}"

    async def score(self, body: Any) -> tuple[int, Any]:
        """Pass a request on to the model; return the status, 200 or 424, and the answer."""
        url = f"http://127.0.0.1:{self._port}/score"
        async with ClientSession() as session, session.post(url, json=body) as reply:
            return reply.status, await reply.json()

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _end_of_log(self) -> str:
        self._log.seek(0)
        lines = [line.strip() for line in self._log.read().decode(errors="replace").splitlines() if line.strip()]
        return lines[-1][:_SHOWN] if lines else "it has written no log"
