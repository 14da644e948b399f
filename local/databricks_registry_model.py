"""What a workspace model registry keeps: models, versions, requests, comments, and the acts that changed them.

The fields of `model_version_databricks` and `registered_model_databricks` are those of databricks-sdk's
ModelVersionDatabricks and ModelDatabricks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

STAGES = ("None", "Staging", "Production", "Archived")
ACTIVE_STAGES = ("Staging", "Production")
# what each level may do includes what the levels before it may do
LEVELS = (
    "CAN_READ",
    "CAN_EDIT",
    "CAN_MANAGE_STAGING_VERSIONS",
    "CAN_MANAGE_PRODUCTION_VERSIONS",
    "CAN_MANAGE",
)


@dataclass(frozen=True)
class Act:
    """Something that was done to the registry: `event` is the name that webhooks know it by (the generic one), or a
    name of our own for what sends no webhook."""

    event: str
    time: int
    user: str
    model: str
    version: str = ""
    from_stage: str = ""
    to_stage: str = ""
    alias: str = ""
    comment: str = ""
    tags: dict[str, str] = field(default_factory=dict)


@dataclass
class TransitionRequest:
    """A wish for a stage, open until somebody approves or rejects it."""

    to_stage: str
    user: str
    comment: str
    created: int

    def body(self) -> dict[str, Any]:
        """As the API shows it."""
        return {
            "to_stage": self.to_stage,
            "user_id": self.user,
            "comment": self.comment,
            "creation_timestamp": self.created,
            "available_actions": ["APPROVE_TRANSITION_REQUEST", "REJECT_TRANSITION_REQUEST"],
        }


@dataclass
class Comment:
    """What somebody wrote about a version."""

    id: str
    user: str
    comment: str
    created: int

    def body(self) -> dict[str, Any]:
        """As the API shows it."""
        return {
            "id": self.id,
            "user_id": self.user,
            "comment": self.comment,
            "creation_timestamp": self.created,
            "last_updated_timestamp": self.created,
        }


@dataclass
class Version:
    """A version of a registered model."""

    name: str
    version: str
    created: int
    user: str
    stage: str = "None"
    description: str = ""
    run_id: str = ""
    source: str = ""
    status: str = "READY"
    updated: int = 0
    tags: dict[str, str] = field(default_factory=dict)
    requests: list[TransitionRequest] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)

    def body(self, aliases: list[str]) -> dict[str, Any]:
        """As MLflow's own API shows it."""
        return {
            "name": self.name,
            "version": self.version,
            "creation_timestamp": self.created,
            "last_updated_timestamp": self.updated or self.created,
            "user_id": self.user,
            "current_stage": self.stage,
            "description": self.description,
            "source": self.source,
            "run_id": self.run_id,
            "status": self.status,
            "tags": listed(self.tags),
            "aliases": aliases,
        }

    def databricks_body(self, aliases: list[str], level: str) -> dict[str, Any]:
        """As Databricks' own endpoints show it."""
        requests = [request.body() for request in self.requests]
        return {**self.body(aliases), "permission_level": level, "open_requests": requests}


@dataclass
class Model:
    """A registered model. `level` is what whoever calls may do with it."""

    name: str
    created: int
    user: str
    level: str = "CAN_MANAGE"
    description: str = ""
    updated: int = 0
    tags: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    versions: dict[str, Version] = field(default_factory=dict)

    def aliases_of(self, version: str) -> list[str]:
        """The aliases that lead to a version."""
        return sorted(alias for alias, number in self.aliases.items() if number == version)

    def latest(self) -> list[Version]:
        """The newest version of each stage."""
        return list({version.stage: version for version in self.versions.values()}.values())

    def body(self) -> dict[str, Any]:
        """As MLflow's own API shows it."""
        return {
            "name": self.name,
            "creation_timestamp": self.created,
            "last_updated_timestamp": self.updated or self.created,
            "user_id": self.user,
            "description": self.description,
            "tags": listed(self.tags),
            "aliases": [{"alias": alias, "version": number} for alias, number in self.aliases.items()],
            "latest_versions": [version.body(self.aliases_of(version.version)) for version in self.latest()],
        }

    def databricks_body(self) -> dict[str, Any]:
        """As Databricks' own endpoints show it."""
        return {**self.body(), "id": f"id-of-{self.name}", "permission_level": self.level}


def listed(tags: dict[str, str]) -> list[dict[str, str]]:
    """Tags as a list of keys and values."""
    return [{"key": key, "value": value} for key, value in tags.items()]
