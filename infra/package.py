"""Packs what goes to Azure: python -m infra.package FILE.zip. All of the tree but what .funcignore leaves out, as
Core Tools and azd pack it; host.json and function_app.py stand at the top. The remote build installs requirements.txt.

Beside each module goes what Python makes of it, since an app whose folder can't be written compiles all it imports at
every cold start. It serves where the app runs the Python that packs, else nothing heeds it; a module that was changed
since is compiled anew, for its hash is looked at.
"""

from __future__ import annotations

import py_compile
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatch
from importlib.util import cache_from_source
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ALWAYS_OUT = ["__pycache__", "*.pyc", "node_modules", "*.zip"]
SAME_TIME = (2020, 1, 1, 0, 0, 0)  # so that the same tree gives the same file


def ignored() -> list[str]:
    """Return the patterns of .funcignore. Raises ValueError for one that says more than a name."""
    lines = [line.strip() for line in (ROOT / ".funcignore").read_text().splitlines()]
    patterns = [line.rstrip("/") for line in lines if line and not line.startswith("#")]
    for pattern in patterns:
        if "/" in pattern or pattern.startswith("!"):
            raise ValueError(f".funcignore: {pattern!r} is more than a name: teach infra/package.py to read it")
    return [*patterns, *ALWAYS_OUT]


def files(folder: Path, patterns: list[str]) -> Iterator[Path]:
    """Yield the files below the folder that no pattern leaves out."""
    for path in sorted(folder.iterdir()):
        if any(fnmatch(path.name, pattern) for pattern in patterns):
            continue
        if path.is_dir():
            yield from files(path, patterns)
        else:
            yield path


def compiled(path: Path) -> tuple[str, bytes]:
    """Return what Python makes of a module of the tree: where it goes in the package, and what it is."""
    name = str(path.relative_to(ROOT))
    with tempfile.TemporaryDirectory() as folder:
        file = py_compile.compile(
            str(path),
            f"{folder}/compiled.pyc",
            dfile=name,  # what tracebacks name: the same from every machine
            doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH,
        )
        return cache_from_source(name), Path(str(file)).read_bytes()


def main() -> int:
    """Write the package; return the exit status."""
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as package:
        for path in files(ROOT, ignored()):
            add(package, str(path.relative_to(ROOT)), path.read_bytes())
            if path.suffix == ".py":
                add(package, *compiled(path))
        count = len(package.namelist())
    size, version = target.stat().st_size // 1024, ".".join(map(str, sys.version_info[:2]))
    print(f"{target}: {count} files, {size} KiB, compiled for Python {version}")  # noqa: T201
    return 0


def add(package: zipfile.ZipFile, name: str, content: bytes) -> None:
    """Add a file to the package."""
    entry = zipfile.ZipInfo(name, SAME_TIME)
    entry.external_attr, entry.compress_type = 0o100644 << 16, zipfile.ZIP_DEFLATED
    package.writestr(entry, content)


if __name__ == "__main__":
    sys.exit(main())
