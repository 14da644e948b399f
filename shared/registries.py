"""The door to the registries: read a model version, and act on it. Databricks workspace registries and MLflow.

Contract: the REST API of MLflow 3 and, for stages, requests and comments, that of Databricks as databricks-sdk uses it.
A model's name is a value in JSON or in an encoded query, never a part of a path: it needs no other check here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import msgspec

from shared.errors import PermanentFailure
from shared.registries_rest import call, read

STAGES = ("None", "Staging", "Production", "Archived")


@dataclass(frozen=True)
class Registry:
    """Where a registry is and how it lets us in.

    `kind` is "databricks" or "mlflow", `url` the workspace or tracking URI. `credential` is a personal access token for
    Databricks (empty: this app's identity); a token, or `user:password`, for MLflow (empty: none is asked for).
    """

    kind: str
    url: str
    credential: str = field(default="", repr=False)


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """A model version as it stands. `user` registered it (empty where the registry keeps none), `source` is the URI of
    its artifacts, `status` READY once the registry has them (else PENDING_… or FAILED_REGISTRATION)."""

    model: str
    version: str
    stage: str = "None"
    aliases: tuple[str, ...] = ()
    tags: dict[str, str] = {}
    run_id: str = ""
    source: str = ""
    user: str = ""
    status: str = "READY"


class OpenRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody's wish for a stage that nobody has approved or rejected yet."""

    to_stage: str
    user: str = ""
    comment: str = ""


def read_version(registry: Registry, model: str, version: str) -> Version | None:
    """Return the version, None if there is no such model or version. Raises a Failure."""
    body = read(registry, "model-versions/get", {"name": model, "version": version}, "model_version")
    return None if body is None else version_of(body)


def existing(registry: Registry, model: str, version: str) -> Version:
    """Return the version. Raises PermanentFailure if there is none, and any Failure of asking."""
    found = read_version(registry, model, version)
    if found is None:
        raise PermanentFailure(f"the registry holds no version {version} of {model}")
    return found


def read_alias(registry: Registry, model: str, alias: str) -> str:
    """Return the version that bears the alias, "" if none does. Raises a Failure.

    The endpoint that asks for one alias answers an unset one with the same 400 as nonsense; this one does not.
    """
    body = read(registry, "registered-models/get", {"name": model}, "registered_model") or {}
    aliases = body.get("aliases", ())
    return next((str(each["version"]) for each in aliases if each["alias"] == alias), "")


def metrics(registry: Registry, run_id: str) -> dict[str, float]:
    """Return the last value of each metric of a run; none for a run that is not there. Raises a Failure."""
    run = read(registry, "runs/get", {"run_id": run_id}, "run") if run_id else None
    found = (run or {}).get("data", {}).get("metrics", ())
    return {each["key"]: float(each["value"]) for each in found}  # NaN and Infinity come as text


def open_requests(registry: Registry, model: str, version: str) -> list[OpenRequest]:
    """Return the transition requests that are open; MLflow knows none. Raises a Failure."""
    if registry.kind != "databricks":
        return []
    body = read(registry, "transition-requests/list", {"name": model, "version": version}) or {}
    return [
        OpenRequest(
            to_stage=each.get("to_stage") or "", user=each.get("user_id") or "", comment=each.get("comment") or ""
        )
        for each in body.get("requests", ())
    ]


def transition(registry: Registry, model: str, version: str, stage: str, archive: bool, comment: str = "") -> None:
    """Move the version to a stage, the others in it to Archived if `archive`. MLflow keeps no comment."""
    payload = {"name": model, "version": version, "stage": stage, "archive_existing_versions": archive}
    if registry.kind == "databricks":
        said = {"comment": comment} if comment else {}
        call(registry, "POST", "databricks/model-versions/transition-stage", {**payload, **said})
    else:
        call(registry, "POST", "model-versions/transition-stage", payload)


def set_tag(registry: Registry, model: str, version: str, key: str, value: str) -> None:
    """Set a tag of the version."""
    call(registry, "POST", "model-versions/set-tag", {"name": model, "version": version, "key": key, "value": value})


def delete_tag(registry: Registry, model: str, version: str, key: str) -> None:
    """Delete a tag of the version; one that is not there is none too many."""
    call(registry, "DELETE", "model-versions/delete-tag", {"name": model, "version": version, "key": key})


def set_alias(registry: Registry, model: str, version: str, alias: str) -> None:
    """Give the alias to the version, whichever bore it before."""
    call(registry, "POST", "registered-models/alias", {"name": model, "alias": alias, "version": version})


def version_of(body: dict[str, Any]) -> Version:
    """Return the version that a `model_version` of the API tells of."""
    return Version(
        model=str(body["name"]),
        version=str(body["version"]),
        stage=body.get("current_stage") or "None",
        aliases=tuple(body.get("aliases", ())),
        tags={each["key"]: each.get("value") or "" for each in body.get("tags", ())},
        run_id=body.get("run_id") or "",
        source=body.get("source") or "",
        user=body.get("user_id") or "",
        status=body.get("status") or "READY",
    )


def link(registry: Registry, model: str, version: str) -> str:
    """Return the address at which a person sees the version."""
    pages = "ml/models" if registry.kind == "databricks" else "#/models"
    return f"{registry.url}/{pages}/{quote(model, safe='')}/versions/{quote(version, safe='')}"


def named(value: str) -> str:
    """Let through what may name a model, a version, a stage or an alias. Raises PermanentFailure for no text at all,
    and for what can't be seen in it."""
    if not value or not value.isprintable():
        raise PermanentFailure(f"the value {value[:80]!r} names nothing in a registry: letters that can be seen do")
    return value


def check_stage(stage: str) -> None:
    """Raise ValueError unless it is a stage, or has a placeholder for one."""
    if stage not in STAGES and "{" not in stage:
        raise ValueError(f"{stage!r} is no stage: stages are {', '.join(STAGES)}")
