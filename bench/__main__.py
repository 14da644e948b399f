"""`python -m bench [NAME …] [--quick]`: measure, print the tables, write JSON and plots to bench/results/.

Each benchmark stands alone; without names those of `make bench` run. Exit status 1 if a goal was not met, unless
--quick: a machine with other work to do can check counts, not times.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from importlib import import_module

from rich.console import Console

from bench.report import Report

console = Console(highlight=False)
USUAL = ("cold_start", "cost", "own_cpu", "ingress", "end_to_end")
ALL = (*USUAL, "others", "scale")


def main() -> int:
    """Run what is asked for, return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ALL)}; {', '.join(USUAL)}")
    parser.add_argument("--quick", action="store_true", help="few rounds of few: to see that it works")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in ALL]
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}")
    reports = [report for name in options.names or USUAL for report in _run(name, options.quick)]
    unmet = [goal.text for report in reports for goal in report.goals if not goal.is_met]
    if unmet:
        console.print(f"[red]goals not met: {len(unmet)}[/red] of {sum(len(each.goals) for each in reports)}")
    return int(bool(unmet) and not options.quick)


def _run(name: str, quick: bool) -> list[Report]:
    began = time.monotonic()
    console.print(f"[bold]{name}[/bold] …")
    benchmark: Callable[[bool], Iterable[Report]] = import_module(f"bench.{name}").reports
    reports = []
    for report in benchmark(quick):  # told as soon as it is there: what fails later takes nothing away
        report.tell()
        console.print(f"  written to {report.write()} ({time.monotonic() - began:.0f} s)\n")
        reports.append(report)
    return reports


if __name__ == "__main__":
    sys.exit(main())
