"""Packs what goes to Azure: python -m infra.package FILE.zip. All of the tree but what .funcignore leaves out, as
Core Tools and azd pack it; host.json and function_app.py stand at the top. The remote build installs requirements.txt.
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatch
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


def main() -> int:
    """Write the package; return the exit status."""
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as package:
        for path in files(ROOT, ignored()):
            entry = zipfile.ZipInfo(str(path.relative_to(ROOT)), SAME_TIME)
            entry.external_attr, entry.compress_type = 0o100644 << 16, zipfile.ZIP_DEFLATED
            package.writestr(entry, path.read_bytes())
        count = len(package.namelist())
    print(f"{target}: {count} files, {target.stat().st_size // 1024} KiB")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
