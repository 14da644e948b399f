"""Tidy: take away what workers that died have left behind at the targets, where nobody else knows of it."""

from __future__ import annotations

import logging

from handlers.current_registries import access_for
from handlers.current_routes import current_routes
from handlers.targets import target_module
from shared import ledger
from shared.errors import RelayError, UnknownStep
from shared.routes import Routes, StepPlan
from shared.shapes import converted
from shared.steps import ENDED

log = logging.getLogger("relay.prune")


def tidy() -> int:
    """Let each target of the routes in force that can leave something behind look for it; return how much it was.

    What can't be asked today is asked tomorrow.
    """
    count = 0
    for plan in _plans(current_routes()):
        module = target_module(plan.target)
        try:
            options = converted(plan.options, module.Options)
            connection = module.connect(options, access_for())
            count += module.tidy(options, connection, is_needed)
        except RelayError as error:
            log.warning("%s could not be tidied: %s", plan.target, error)
    return count


def is_needed(step: str, progress: str) -> bool:
    """Tell whether a step (`event id/step id`) may still come back to what it has made, or somebody else knows it.

    `progress` is what the step would have recorded. An unknown step may be that of another relay: it is left alone.
    """
    event_id, _, step_id = step.partition("/")
    try:
        found = ledger.read(event_id).steps.get(step_id)
    except UnknownStep:
        return True
    return found is None or found.state not in ENDED or progress in map(str, found.progress.values())


def _plans(routes: Routes) -> list[StepPlan]:
    """The steps whose targets can leave something behind, each place once."""
    plans = [plan for route in routes.routes for plan in (*route.steps, *route.on_failure)]
    tidied = [plan for plan in plans if hasattr(target_module(plan.target), "tidy")]
    fixed = ("organization", "project", "definition", "pat_secret")
    return list({str([plan.target, *(plan.options.get(key) for key in fixed)]): plan for plan in tidied}.values())
