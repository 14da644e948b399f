"""What a cold start pays for importing the app: `import function_app` beside `import azure.functions` alone.

Each import runs in a process of its own; the two take turns, so that a busy machine slows both. Prints the medians
and their ratio. Exit status 1 if the ratio is above the limit. Usage: python -m bench.import_time [ROUNDS]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

LIMIT = 2.0
ROOT = Path(__file__).resolve().parent.parent
CODE = "import time; began = time.perf_counter(); import {}; print(time.perf_counter() - began)"


def seconds(module: str) -> float:
    """Return how long a new process takes to import the module."""
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(module)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def main() -> int:
    """Measure, print, return the exit status."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    taken: dict[str, list[float]] = {"azure.functions": [], "function_app": []}
    for turn in range(rounds):
        for module in sorted(taken, reverse=bool(turn % 2)):
            taken[module].append(seconds(module))
    medians = {module: statistics.median(found) for module, found in taken.items()}
    for module, median in medians.items():
        print(f"import {module:<16} {median * 1000:6.0f} ms (median of {rounds})")
    ratio = medians["function_app"] / medians["azure.functions"]
    print(f"ratio {ratio:.2f}, limit {LIMIT}")
    return 0 if ratio <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
