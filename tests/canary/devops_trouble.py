"""Azure DevOps: personal access tokens, and the app's own token."""

from __future__ import annotations

from typing import Any

from local.azure_devops_wire import error_body
from local.system import DEFINITION, ORGANIZATION, PIPELINE, PROJECT
from tests.canary.echoing import SENT, echoes
from tests.canary.planting import Planting

PAGE_203 = {"status": 203, "body": f"<html>Sign in. You sent: {SENT}</html>"}
PIPES = {"organization": ORGANIZATION, "pipeline": PIPELINE, "parameters": {"model_name": "a", "model_version": "1"}}


def plant_devops(planting: Planting) -> None:
    """Releases and runs that go well, by a token that holds and one that does not; projects that answer badly."""
    planting.system.devops.pats.add(planting.keep("pat"))
    planting.keep("revoked-pat")
    _release(planting, "release-good", PROJECT, ends="succeeded")
    _release(planting, "release-pat", PROJECT, "pat", ends="succeeded")
    _release(planting, "release-revoked", PROJECT, "revoked-pat")
    planting.route("run-pat", "azure_devops_pipeline", {**PIPES, "project": PROJECT, "pat_secret": "pat"}, "succeeded")
    for trouble, fault in {"page-203": PAGE_203, **echoes(error_body)}.items():
        _answering_badly(planting, trouble, fault)
    _fault(planting, "500", {"status": 500, "body": "<html>error</html>"})
    _release(planting, "release-500", "project-500", "pat", ends="in_doubt")


def _answering_badly(planting: Planting, trouble: str, fault: dict[str, Any]) -> None:
    _fault(planting, trouble, fault)
    planting.system.devops.pats.add(planting.keep(f"pat-{trouble}"))  # it holds: what goes wrong is the project's
    ends = "in_doubt" if trouble in ("json-500", "dropped") else "dead"
    _release(planting, f"release-pat-{trouble}", f"project-{trouble}", f"pat-{trouble}", ends)
    _release(planting, f"release-token-{trouble}", f"project-{trouble}", ends=ends)


def _fault(planting: Planting, trouble: str, fault: dict[str, Any]) -> None:
    planting.system.devops.faults.add("*", f"/project-{trouble}/", times=None, **fault)


def _release(planting: Planting, name: str, project: str, pat: str = "", ends: str = "dead") -> None:
    options = {"organization": ORGANIZATION, "project": project, "definition": DEFINITION}
    planting.route(
        name, "azure_devops_release", {**options, **({"pat_secret": pat} if pat else {})}, ends, tell=("slack",)
    )
