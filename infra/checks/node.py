"""Node for the check of the queries: prints its path, or installs the Kusto language service with `install`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from local import node

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Return the exit status."""
    node.install()
    if "install" in sys.argv:
        subprocess.run([*node.npm(), "ci", "--no-audit", "--no-fund", "--silent"], cwd=HERE, check=True)  # noqa: S603
    else:
        print(node.node())  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
