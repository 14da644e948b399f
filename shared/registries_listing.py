"""What a registry holds, whole: its models, and a model's versions with stages and aliases.

Contract: `registered-models/search` and `model-versions/search` of MLflow 3, which Databricks documents for its
workspaces too (1,000 models a page at most; a search of versions knows one condition only). MLflow tells a model's
aliases with the model; its prompts are models as well, with a tag of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from shared.errors import PermanentFailure
from shared.registries import Registry
from shared.registries_rest import read

PAGE = "1000"
MAX_PAGES = 100
_PROMPT = "mlflow.prompt.is_prompt"


class ListedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A registered model: when it was created (milliseconds, 0 if the registry does not say), and its aliases, each
    with the version that bears it."""

    name: str
    created: int = 0
    aliases: dict[str, str] = {}


class ListedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a model; times in milliseconds, 0 if the registry does not say."""

    version: str
    stage: str = "None"
    aliases: tuple[str, ...] = ()
    tags: dict[str, str] = {}
    created: int = 0
    updated: int = 0


def list_models(registry: Registry) -> Iterator[ListedModel]:
    """Yield the models of the registry, without prompts. Raises a Failure, also for more than 100 pages."""
    for body in _pages(registry, "registered-models/search", {}, "registered_models"):
        if "true" not in [tag.get("value") for tag in body.get("tags", ()) if tag["key"] == _PROMPT]:
            aliases = {str(each["alias"]): str(each["version"]) for each in body.get("aliases", ())}
            yield ListedModel(name=str(body["name"]), created=_time(body, "creation_timestamp"), aliases=aliases)


def list_versions(registry: Registry, model: str) -> Iterator[ListedVersion]:
    """Yield the versions of a model, none if it is gone. Raises a Failure."""
    for body in _pages(registry, "model-versions/search", {"filter": f"name={_quoted(model)}"}, "model_versions"):
        yield ListedVersion(
            version=str(body["version"]),
            stage=body.get("current_stage") or "None",
            aliases=tuple(body.get("aliases", ())),
            tags={each["key"]: each.get("value") or "" for each in body.get("tags", ())},
            created=_time(body, "creation_timestamp"),
            updated=_time(body, "last_updated_timestamp"),
        )


def _pages(registry: Registry, path: str, params: dict[str, str], key: str) -> Iterator[dict[str, Any]]:
    token = ""
    for _ in range(MAX_PAGES):
        more = {"page_token": token} if token else {}
        found = read(registry, path, {**params, "max_results": PAGE, **more}) or {}
        yield from found.get(key, ())
        token = found.get("next_page_token") or ""
        if not token:
            return
    raise PermanentFailure(f"the registry lists more than {MAX_PAGES} pages of {key}")


def _quoted(model: str) -> str:
    """A filter knows no escape: a name stands between quotes that it does not hold."""
    quote = next((each for each in "'\"" if each not in model), "")
    if not quote:
        raise PermanentFailure(f"no search can name the model {model[:80]!r}: it holds both kinds of quotes")
    return f"{quote}{model}{quote}"


def _time(body: dict[str, Any], key: str) -> int:
    return int(body.get(key) or 0)
