"""Databricks: personal access tokens of jobs and of the registry, and the app's own token."""

from __future__ import annotations

from typing import Any

from local.databricks_wire import error_body
from tests.canary.echoing import SENT, echoes, some
from tests.canary.planting import Planting

REFUSALS = echoes(error_body)
FEW = some(REFUSALS, "json-400", "page-401")
ENDED = {"life_cycle_state": "TERMINATED", "result_state": "SUCCESS"}
ACTS: dict[str, dict[str, Any]] = {
    "registry_transition": {"stage": "Production"},
    "registry_tag": {"tags": {"checked": "yes"}},
    "registry_comment": {"text": "checked"},
    "transition_request": {"action": "create", "stage": "Staging"},
}


def plant_databricks(planting: Planting) -> None:
    """A workspace that does as it is asked, and some that answer badly, told apart by their URLs' paths."""
    workspace = planting.system.databricks
    workspace.add_job(7, "Train")
    workspace.run_seconds = 0.1
    for trouble, fault in REFUSALS.items():
        workspace.faults.add("*", f"^/{trouble}/", times=None, **fault)
    _plant_jobs(planting, workspace.url)
    _plant_registries(planting, workspace.url)


def _plant_jobs(planting: Planting, url: str) -> None:
    planting.system.databricks.pats.add(planting.keep("job-pat"))
    good = {"workspace": url, "job": 7}
    planting.route("job-by-pat", "databricks_job", {**good, "pat_secret": "job-pat", "wait": True}, "succeeded")
    planting.route("job-by-token", "databricks_job", good, "succeeded")
    for trouble in REFUSALS:
        planting.keep(f"job-pat-{trouble}")
        options = {**good, "workspace": f"{url}/{trouble}"}
        options["pat_secret"] = f"job-pat-{trouble}"
        planting.route(f"job-pat-{trouble}", "databricks_job", options, model="refused-job")
    for trouble in FEW:
        options = {**good, "workspace": f"{url}/{trouble}"}
        planting.route(f"job-token-{trouble}", "databricks_job", options, model="refused-job")
    _plant_told_job(planting, url)


def _plant_told_job(planting: Planting, url: str) -> None:
    """A job whose page and result are told with what was sent."""
    planting.keep("job-told")
    faults = planting.system.databricks.faults
    told = {"run_page_url": f"https://adb.example.com/?sent={SENT}", "state": ENDED}
    faults.add("POST", "^/told/.*/run-now$", times=None, status=200, body={"run_id": 5})
    faults.add("GET", "^/told/.*/runs/get$", times=None, status=200, body=told)
    options = {"workspace": f"{url}/told", "job": 7, "pat_secret": "job-told", "wait": True}
    after = {"slack": {"url_secret": "good-slack", "text": "trained: {steps.databricks_job.link}"}}
    planting.route("job-told", "databricks_job", options, "succeeded", then=[after])


def _plant_registries(planting: Planting, url: str) -> None:
    planting.system.databricks.pats.add(planting.keep("registry-pat"))
    planting.source("registry", "wine-dev-webhook", workspace=url, token_secret="registry-pat")
    for target, options in ACTS.items():
        name = f"{target.replace('_', '-')}-good"
        planting.system.databricks.add_version(name)
        planting.route(name, target, {**options, "registry": "registry"}, "succeeded")
    for trouble in REFUSALS:
        _plant_failing_registry(planting, trouble, f"{url}/{trouble}")


def _plant_failing_registry(planting: Planting, trouble: str, url: str) -> None:
    """All that acts on a registry; and a route that asks it first whether it may."""
    name = f"registry-{trouble}"
    planting.keep(name)
    planting.source(name, "wine-dev-webhook", workspace=url, token_secret=name)
    for target, options in ACTS.items() if trouble in FEW else [("registry_tag", ACTS["registry_tag"])]:
        acted = {**options, "registry": name}
        planting.route(f"{target.replace('_', '-')}-{trouble}", target, acted, model="refused-by-registry")
    step, gate = {"url_secret": "good-slack", "text": "never"}, {"stage": "Production"}
    planting.route(f"gated-{trouble}", "slack", step, require=gate, sender=name)
