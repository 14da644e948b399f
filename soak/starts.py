"""What was really started, by the logs of the stand-ins: for each model the marks of all its starts.

A mark that comes again is a start that the target's own protection has made harmless: a pipeline's first step, a job's
token, the name of a deployment. Another mark is another start.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from local.azure_devops_wire import Start
from local.databricks_jobs import JobRun
from local.faults import Call
from local.system import System
from soak.outside import JOB
from soak.rollouts import Rollouts

Starts = dict[str, list[str]]


def starts_of(system: System, rollouts: Rollouts) -> Starts:
    """Return the marks of all that was started, by model."""
    calls = system.databricks.faults.calls("POST", "/jobs/run-now$")
    parts = (of_devops(system.devops.starts), of_jobs(system.databricks.runs_of(JOB), calls), rollouts.starts)
    return {model: marks for part in parts for model, marks in part.items()}


def of_devops(starts: Iterable[Start]) -> Starts:
    """Return a release's own number as its mark, the marker that it bears as that of a run."""
    found: Starts = defaultdict(list)
    for start in starts:
        if start.kind == "release":
            found[start.variables["modelName"]["value"]].append(f"release {start.id}")
        else:
            found[start.parameters["model_name"]].append(start.parameters["relay_marker"])
    return found


def of_jobs(runs: Iterable[JobRun], calls: Iterable[Call]) -> Starts:
    """Return a run's own number as its mark; the calls that found a run already there repeat the first one's."""
    found: Starts = defaultdict(list)
    for run in runs:
        found[run.parameters["model_name"]].append(f"run {run.id}")
    taken: dict[str, int] = defaultdict(int)
    for call in calls:
        if call.committed:
            taken[call.body["job_parameters"]["model_name"]] += 1
    return {model: marks + marks[:1] * (taken[model] - len(marks)) for model, marks in found.items()}
