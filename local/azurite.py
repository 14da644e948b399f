"""Azurite, Microsoft's emulator of Azure Storage: `python -m local.azurite install|run`, and a class."""

import contextlib
import json
import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import Self

from local import node
from local.child_process import ChildProcess
from local.ports import Port

HERE = Path(__file__).resolve().parent
PACKAGE = HERE / "node_modules" / "azurite"
QUICK = HERE / "azurite_quick.js"
ACCOUNT = "devstoreaccount1"
# Not a secret: Azurite's documented key, the same everywhere.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
SERVICES = ("Blob", "Queue", "Table")
LISTENING = re.compile(r"Azurite (Blob|Queue|Table) service is successfully listening at http://127\.0\.0\.1:(\d+)")


def installed() -> bool:
    """Whether local/node_modules holds the Azurite that package.json asks for."""
    wanted = json.loads((HERE / "package.json").read_text())["dependencies"]["azurite"]
    manifest = PACKAGE / "package.json"
    return manifest.is_file() and json.loads(manifest.read_text())["version"] == wanted


def install() -> None:
    """Install Azurite, and before it Node from PyPI where the machine's is missing or old."""
    node.install()
    if not installed():
        npm, command = node.npm(), node.node()
        # Packages' own scripts look for `node` on the path.
        path = os.pathsep.join([str(command.parent) if command else "", os.environ.get("PATH", "")])
        arguments = ["ci", "--omit=dev", "--no-audit", "--no-fund"]
        subprocess.run([*npm, *arguments], cwd=HERE, env={**os.environ, "PATH": path}, check=True)


class Azurite(ChildProcess):
    """One storage account on 127.0.0.1: in memory, or in the folder `location` to outlive a restart.

    It comes back at the same ports when it is started again; at the end of its `with` block they are let go.
    """

    def __init__(self, location: Path | None = None) -> None:
        super().__init__()
        self._location = location
        self._said: deque[str] = deque(maxlen=50)
        self._ports = {service: Port() for service in SERVICES}

    @property
    def ports(self) -> dict[str, int]:
        """The ports of the services `Blob`, `Queue` and `Table`."""
        return {service: port.number for service, port in self._ports.items()}

    @property
    def connection_string(self) -> str:
        """What AzureWebJobsStorage has to be."""
        places = [f"{kind}Endpoint=http://127.0.0.1:{port}/{ACCOUNT};" for kind, port in self.ports.items()]
        return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};" + "".join(places)

    def start(self, timeout: float = 60) -> Self:
        """Start it, and wait until it listens; RuntimeError with its output."""
        self._process = subprocess.Popen(self._command(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        listening: queue.Queue[bool] = queue.Queue()
        threading.Thread(target=self._read, args=(self._process, listening), daemon=True).start()
        with contextlib.suppress(queue.Empty):
            if listening.get(timeout=timeout):
                return self
        self.stop()
        raise RuntimeError("Azurite did not start:\n" + "".join(self._said))

    def _command(self) -> list[str]:
        found = node.node()
        if found is None or not PACKAGE.is_dir():
            raise RuntimeError("Azurite is not installed: python -m local.azurite install")
        command = [str(found), "--require", str(QUICK), str(PACKAGE / "dist" / "src" / "azurite.js")]
        command += ["--disableTelemetry", "--skipApiVersionCheck"]
        for service, port in self.ports.items():
            command += [f"--{service.lower()}Host", "127.0.0.1", f"--{service.lower()}Port", str(port)]
        kept = ["--location", str(self._location)] if self._location else ["--inMemoryPersistence"]
        return command + kept

    def _read(self, process: subprocess.Popen[str], listening: queue.Queue[bool]) -> None:
        # To the end: Azurite writes a line per request, and would stand still on a full pipe.
        assert process.stdout is not None
        found = {}
        for line in process.stdout:
            self._said.append(line)
            if match := LISTENING.search(line):
                found[match[1]] = int(match[2])
                if found == self.ports:
                    listening.put(True)
        process.stdout.close()
        listening.put(False)

    def stop(self, timeout: float = 10) -> None:
        """Stop it; what was in memory is gone."""
        self._end(timeout)

    def __exit__(self, *_: object) -> None:
        self.stop()
        for port in self._ports.values():
            port.release()


def main() -> None:
    """Install, or run until interrupted and print the connection string."""
    if sys.argv[1:] == ["install"]:
        install()
    elif sys.argv[1:] == ["run"]:
        with Azurite() as azurite, contextlib.suppress(KeyboardInterrupt):
            print(azurite.connection_string, flush=True)
            while azurite.process.poll() is None:
                time.sleep(1)
    else:
        sys.exit("usage: python -m local.azurite install | run")


if __name__ == "__main__":
    main()
