"""What we act on: one file for each target, and the table of them. `shared/attempts.py` says what a target is."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

from shared.routes_rules import TargetRules

TARGETS = (
    "approval",
    "aks_rollout",
    "azure_devops_pipeline",
    "azure_devops_release",
    "azure_ml_deployment",
    "azure_ml_score",
    "copy_model",
    "databricks_job",
    "http",
    "notify",
    "registry_comment",
    "registry_tag",
    "registry_transition",
    "slack",
    "teams",
    "transition_request",
)


def target_module(name: str) -> Any:
    """Return the module of a target. Raises KeyError for a name that is not in the table."""
    if name not in TARGETS:
        raise KeyError(name)
    return import_module(f"{__name__}.{name}")


@cache
def rules_of_targets() -> dict[str, TargetRules]:
    """Return what a routes file may say of each target."""
    return {name: _rules(target_module(name)) for name in TARGETS}


def _rules(module: Any) -> TargetRules:
    fields = module.Options.__struct_fields__
    secrets = frozenset(field for field in fields if field.endswith("_secret"))
    return TargetRules(module.Options, frozenset(module.TEMPLATED), secrets, getattr(module, "causes", None))
