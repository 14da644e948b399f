"""What we act on: one file for each target, and the table of them. `shared/attempts.py` says what a target is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any, get_args, get_type_hints

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


class _Rules(Mapping[str, TargetRules]):
    """Loads a target when it is asked for: a cold start pays for those that the routes name."""

    def __getitem__(self, name: str) -> TargetRules:
        return _rules(name)

    def __iter__(self) -> Iterator[str]:
        return iter(TARGETS)

    def __len__(self) -> int:
        return len(TARGETS)


def rules_of_targets() -> Mapping[str, TargetRules]:
    """Return what a routes file may say of each target."""
    return _Rules()


@cache
def _rules(name: str) -> TargetRules:
    module = target_module(name)
    secrets = frozenset(_secrets(module.Options))
    return TargetRules(module.Options, frozenset(module.TEMPLATED), secrets, getattr(module, "causes", None))


def _secrets(shape: Any) -> Iterator[str]:
    """Yield the names of the fields that name secrets, those of structs within as `part.field`."""
    for name, kind in get_type_hints(shape).items():
        if name.endswith("_secret"):
            yield name
        for inner in (kind, *get_args(kind)):
            if hasattr(inner, "__struct_fields__"):
                yield from (f"{name}.{field}" for field in _secrets(inner))
