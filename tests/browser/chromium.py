"""Chromium from npm, unpacked: `python -m tests.browser.chromium` installs it; the tests then need no other browser.

The package holds the executable and what a bare machine lacks, each compressed; its own script, which unpacks them to
/tmp and switches web security off, is not used.
"""

from __future__ import annotations

import hashlib
import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import brotli  # type: ignore[import-untyped]

from local import node

HERE = Path(__file__).parent
PACKED = HERE / "node_modules" / "@sparticuz" / "chromium" / "bin"
PLACE = HERE / "node_modules" / ".chromium"
EXECUTABLE = PLACE / "chromium"
UNPACKED = PLACE / "unpacked"  # holds the digest of the lock file it came from
ARCHIVES = ("al2023", "fonts", "swiftshader")
FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{place}/fonts</dir><dir>/usr/share/fonts</dir><cachedir>{place}/cache</cachedir></fontconfig>
"""
# each its own browser in one test run, at peace with containers, and silent on the network
ARGUMENTS = [
    "--no-sandbox",
    "--no-zygote",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]


def environment() -> dict[str, str]:
    """Return the environment in which the executable finds its libraries and fonts."""
    libraries = os.pathsep.join([str(PLACE / "lib"), os.environ.get("LD_LIBRARY_PATH", "")]).rstrip(os.pathsep)
    return {**os.environ, "LD_LIBRARY_PATH": libraries, "FONTCONFIG_FILE": str(PLACE / "fonts.xml")}


def runs_here() -> bool:
    """Tell whether the package has an executable for this machine: it is for Linux on x86-64 alone."""
    return sys.platform == "linux" and platform.machine() in ("x86_64", "AMD64")


def install() -> None:
    """Fetch the package as the lock file has it and unpack it, unless that was done before."""
    digest = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    if not runs_here() or (UNPACKED.is_file() and UNPACKED.read_text() == digest):
        return
    node.install()
    command = node.node()
    path = os.pathsep.join([str(command.parent) if command else "", os.environ.get("PATH", "")])
    arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]
    subprocess.run([*node.npm(), *arguments], cwd=HERE, env={**os.environ, "PATH": path}, check=True)
    _unpack()
    UNPACKED.write_text(digest)


def _unpack() -> None:
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir()
    EXECUTABLE.write_bytes(brotli.decompress((PACKED / "chromium.br").read_bytes()))
    EXECUTABLE.chmod(0o755)
    for archive in ARCHIVES:
        content = io.BytesIO(brotli.decompress((PACKED / f"{archive}.tar.br").read_bytes()))
        with tarfile.open(fileobj=content) as files:
            files.extractall(PLACE, filter="data")
    (PLACE / "fonts.xml").write_text(FONTS.format(place=PLACE))


if __name__ == "__main__":
    install()
