"""What the soak's routes name in the outside world, and how that world is upset now and then, or calm again."""

from __future__ import annotations

import random

from local.system import System

JOB = 7
SUBSCRIPTION, GROUP, WORKSPACE = "00000000-1111-2222-3333-444444444444", "models", "soak"
ENDPOINTS = {"deploy": "soak-one-name", "serve": "soak-another", "shift": "soak-two-colours"}
_JOB_SECONDS = 0.5
_OPERATION_SECONDS = 0.3


def furnish(system: System) -> None:
    """Make the job and the Azure ML workspace exist; the rest a system has by itself."""
    system.databricks.add_job(JOB, parameters=("model_name", "model_version"))
    system.databricks.run_seconds = _JOB_SECONDS
    system.ml.add_workspace(SUBSCRIPTION, GROUP, WORKSPACE)
    system.ml.seconds = _OPERATION_SECONDS


def upset(system: System, chance: random.Random, lag: float) -> None:
    """Let targets be late, busy or out of order for a request or so, by chance."""
    system.devops.list_lag_seconds = chance.choice((0.0, 0.0, lag))
    if chance.random() < 0.15:
        system.chat.faults.add("POST", "^/slack/", before=False, drop=True)
    services = (
        (system.devops, "POST", "releases$|runs$", "releases|runs"),
        (system.databricks, "POST", "run-now$", "/jobs/"),
        (system.arm, "PUT", "/onlineEndpoints/", "/onlineEndpoints/|/models/|/operations"),
    )
    for service, method, starting, any_of_it in services:
        if chance.random() < 0.1:
            service.faults.add(method, starting, status=429, headers={"Retry-After": "2"})
        if chance.random() < 0.1:
            service.faults.add("*", any_of_it, status=503)
        if chance.random() < 0.1:
            service.faults.add(method, starting, before=False, drop=True)


def calm_down(system: System) -> None:
    """Let all targets do what they should."""
    system.devops.list_lag_seconds = 0.0
    for service in (system.devops, system.chat, system.databricks, system.arm):
        service.faults.clear()
