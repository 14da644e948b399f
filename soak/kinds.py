"""The kinds of events that are sent: what each one starts, how often it comes, and what its target does by itself.

The name of a model begins with its kind; soak/routes.yaml has a route of the same name for each.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """`target` is that of the first step, `share` how often it comes; `then` the target of a second step."""

    target: str
    share: int
    then: str = ""


KINDS = {
    "release": Kind("azure_devops_release", 5, "slack"),
    "run": Kind("azure_devops_pipeline", 3, "slack"),
    "wait": Kind("azure_devops_pipeline", 1),
    "tell": Kind("slack", 1),
    "job": Kind("databricks_job", 2, "slack"),
    "train": Kind("databricks_job", 1),
    "deploy": Kind("azure_ml_deployment", 1),
    "serve": Kind("azure_ml_deployment", 1),  # the same at another endpoint: on one, newer events leave few to be done
    "shift": Kind("azure_ml_deployment", 1),
}
PROTECTION = {
    "azure_devops_release": "none: hence a draft, which only the ledger's winner makes active",
    "azure_devops_pipeline": "none: the pipeline's first step cancels a run whose marker an older one bears",
    "databricks_job": "idempotency_token (the step's key): the same token gives the same run",
    "azure_ml_deployment": "PUT by name: the same body again changes nothing",
    "slack": "none: at least once",
}
SHARES = tuple(name for name, kind in KINDS.items() for _ in range(kind.share))


def kind_of(model: str) -> str:
    """Return the kind of event that a model was named for."""
    return model.partition("-")[0]


def first_step(kind: str) -> str:
    """Return the id of the step whose effect is counted."""
    return f"{kind}.{KINDS[kind].target}"


def last_step(kind: str) -> str:
    """Return the id of the step with which a route ends."""
    return f"{kind}.{KINDS[kind].then or KINDS[kind].target}"


def target_of(finding: str) -> str:
    """Return the target of a model, also of a sentence that begins with it; "" for anything else."""
    kind = KINDS.get(kind_of(finding))
    return kind.target if kind else ""
