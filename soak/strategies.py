"""The app as it is, and copies of it that lack one of its precautions: what each of them is worth, in figures."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from local.worker import ROOT

RELEASE = "handlers/targets/azure_devops_release.py"
PIPELINE = "handlers/targets/azure_devops_pipeline.py"
JOB_RUNS = "shared/databricks_runs.py"
DEPLOYMENT = "handlers/targets/azure_ml_deployment.py"
ROLLOUT = "handlers/azure_ml/rollout.py"
NEWEST = "shared/newest.py"
PARTS = ("function_app.py", "host.json", "handlers", "shared")


@dataclass(frozen=True)
class Mutation:
    """One change of text, at the only place in a file where the text stands."""

    file: str
    old: str
    new: str

    def apply(self, app: Path) -> None:
        """Change the copy of the app in this folder. Raises ValueError where the text is no longer there."""
        path = app / self.file
        text = path.read_text()
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file} has {text.count(self.old)} times what this mutation changes: {self.old}")
        path.write_text(text.replace(self.old, self.new))


_UPDATE = "attempt.connection.update_release_resource(update, attempt.options.project, release))"
_MATCH = '{"mode": "replace", "etag": etag, "match_condition": MatchConditions.IfNotModified}'
_RELEASE_PROBE = (
    '    """Return the release that an earlier attempt has made, finished if need be; None if it made none."""\n'
)
_RUN_PROBE = '    """Return the run that an earlier attempt has started; None if it started none."""\n'
_DEPLOYMENT_PROBE = '    """Return that it goes on if the service has what was begun last; None if it has not."""\n'
_ANEW = "__import__('secrets').token_hex(16)"

_NO_DRAFT = (
    Mutation(RELEASE, "is_draft=True", "is_draft=False"),
    Mutation(RELEASE, 'status_filter="draft"', 'status_filter="active"'),
    Mutation(RELEASE, _UPDATE, "attempt.connection.get_release(attempt.options.project, release))"),
)
_NO_PROBE = (
    Mutation(RELEASE, _RELEASE_PROBE, _RELEASE_PROBE + "    return None\n"),
    Mutation(PIPELINE, _RUN_PROBE, _RUN_PROBE + "    return None\n"),
    Mutation(DEPLOYMENT, _DEPLOYMENT_PROBE, _DEPLOYMENT_PROBE + "    return None\n"),
)
_NAME = "return str(self._options.deployment)"
_KEPT = 'self.progress["deployment"] or self._choose(endpoint)'
_NO_NAME = (
    Mutation(ROLLOUT, _NAME, f'return f"{{self._options.deployment}}-{{{_ANEW}}}"'),
    Mutation(ROLLOUT, _KEPT, f'"deployment" in self.progress["accepted"] and {_KEPT}'),
)

STRATEGIES: dict[str, tuple[Mutation, ...]] = {
    "full": (),
    "no-draft": _NO_DRAFT,
    "no-probe": _NO_PROBE,
    "no-draft-no-probe": _NO_DRAFT + _NO_PROBE,
    "no-token": (Mutation(JOB_RUNS, '"idempotency_token": token', f'"idempotency_token": {_ANEW}'),),
    "no-name": _NO_NAME,  # another name each time, until the service is known to have taken one
    "no-mark": (Mutation(NEWEST, "return self.event ==", "return True or self.event =="),),
    "no-if-match": (Mutation("shared/ledger_writes.py", _MATCH, '{"mode": "replace"}'),),
    "no-lease": (
        Mutation(
            "handlers/state_machine.py",
            "if state is not State.READY and turn.step.due",
            "if state not in (State.READY, State.RUNNING) and turn.step.due",
        ),
    ),
    "no-settling": (Mutation("handlers/state_machine.py", "MISSES = 2", "MISSES = 1"),),
}


def copied(strategy: str, folder: Path) -> Path:
    """Copy the app into a new folder, without what the strategy lacks, and return where it is."""
    app = folder / "app"
    app.mkdir(parents=True)
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, app / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / part, app / part)
    for mutation in STRATEGIES[strategy]:
        mutation.apply(app)
    return app
