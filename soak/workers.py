"""Workers that are hit and come back: each behind its own proxies, started again when it was killed."""

from __future__ import annotations

import signal
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

import psutil

from local.azurite import ACCOUNT, KEY
from local.system import System
from local.worker import Host
from soak.doors import Doors
from soak.injections import Injection, Plan
from soak.storage_proxy import Proxy
from soak.windows import storage_window, target_window

SETTINGS = {
    "RETRY_DELAYS": "0.5,1,1,2,2,2,3,3,3,3,3,3",
    "STEP_LEASE_SECONDS": "3",
    "SETTLE_SECONDS": "2",
    "SWEEP_SCHEDULE": "*/3 * * * * *",
    "LOCAL_QUEUE_LEASE_SECONDS": "5",
}
FREEZING_SECONDS = 2.0
SIGNALS = {"kill": signal.SIGKILL, "freeze": signal.SIGSTOP, "resume": signal.SIGCONT}


class Worker:
    """One worker of a system, and the proxies between it and what it calls. `plan` says when it is hit."""

    def __init__(self, system: System, app: Path, doors: Doors, plan: Plan, settings: Mapping[str, str]) -> None:
        self._system, self._app, self._doors, self._plan = system, app, doors, plan
        self._settings = settings
        self._stack = ExitStack()
        self._stopping = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self.starts = 0
        self.is_up = False

    def __enter__(self) -> Self:
        with self._stack as stack:
            environment = self._environment(stack)
            self.host = stack.enter_context(Host(self._app, environment))
            self._stack = stack.pop_all()
        self.starts, self.is_up = 1, True
        self._keeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._keeper.join(70)
        self._stack.close()

    def _environment(self, stack: ExitStack) -> dict[str, str]:
        places = ""
        for kind, port in self._system.azurite.ports.items():
            proxy = Proxy(f"http://127.0.0.1:{port}", storage_window, lambda _: self)
            places += f"{kind}Endpoint={stack.enter_context(proxy).url}/{ACCOUNT};"
        devops = stack.enter_context(Proxy(self._system.devops.url, target_window, lambda _: self))
        return {
            **self._system.environment(self._doors.routes),
            **self._doors.admit(self),
            **SETTINGS,
            **self._settings,
            "AzureWebJobsStorage": f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};{places}",
            "AZURE_DEVOPS_URL": devops.url,
            # the SDK keeps there where the service is: each worker has its own proxy
            "AZURE_DEVOPS_CACHE_DIR": stack.enter_context(tempfile.TemporaryDirectory(prefix="relay-soak-")),
        }

    def take(self, window: str) -> Injection | None:
        """Return what is to be done to this worker at a window."""
        return None if self._stopping.is_set() else self._plan.take(window)

    def signal(self, name: str) -> None:
        """Kill, freeze or resume the worker's process. One that is to freeze does so before this returns: one of its
        threads hears of the signal, and tells the others when its turn comes."""
        self.is_up = name == "resume"
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            self.host.process.send_signal(SIGNALS[name])
            deadline = time.monotonic() + FREEZING_SECONDS
            while name == "freeze" and time.monotonic() < deadline and not self._is_frozen():
                time.sleep(0.001)

    def _is_frozen(self) -> bool:
        return psutil.Process(self.host.process.pid).status() == psutil.STATUS_STOPPED

    def _keep(self) -> None:
        while not self._stopping.wait(0.1):
            if self.host.process.poll() is None:
                continue
            self.is_up = False
            with suppress(RuntimeError):  # killed while it started: once more
                self.host.start()
                self.starts, self.is_up = self.starts + 1, True
            time.sleep(0.1)
