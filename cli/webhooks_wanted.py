"""Which webhooks the routes need: for each source whose registry the file names, the events, and of which models.

Pure. A Databricks webhook is for one model or for the whole registry: routes that name models without globs get one
for each model, the others one for all. MLflow's are always for the whole server. No act is asked for twice: a model's
webhook leaves out what the registry's tells, and no generic event stands beside its specific ones.
Contract: RegistryWebhookEvent of databricks-sdk, WebhookEventStr of MLflow 3.17.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from shared.registries import STAGES
from shared.routes import EVENT_TYPES, OneOrMore, Route, Routes, Source, When, matches

MARK = "registry-relay:"
"""What the description of a webhook of ours begins with; the source's name follows."""

_PLAIN = {
    "registered_model.created": "REGISTERED_MODEL_CREATED",
    "model_version.created": "MODEL_VERSION_CREATED",
    "model_version_tag.set": "MODEL_VERSION_TAG_SET",
    "comment.created": "COMMENT_CREATED",
}
_STAGED = {
    "model_version.stage_changed": ("MODEL_VERSION_TRANSITIONED_STAGE", "MODEL_VERSION_TRANSITIONED_TO_{}"),
    "transition_request.created": ("TRANSITION_REQUEST_CREATED", "TRANSITION_REQUEST_TO_{}_CREATED"),
}
_REGISTRY_WIDE_ONLY = "REGISTERED_MODEL_CREATED"
_OF_MLFLOW = tuple(
    name
    for name in EVENT_TYPES
    if name.startswith(("registered_model.", "model_version", "prompt", "budget_policy."))
    and name != "model_version.stage_changed"
)
_ADDRESS = {"databricks": "workspace", "mlflow": "tracking_uri"}


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook that the routes need. `model` is empty for a whole registry; `events` in the registry's own words."""

    source: str
    model: str = ""
    events: tuple[str, ...]
    url: str

    @property
    def mark(self) -> str:
        """The description by which it is known as ours."""
        return f"{MARK}{self.source}"


def is_managed(source: Source) -> bool:
    """Tell whether the source's webhooks can be made: the file says where its registry is."""
    return bool(getattr(source, _ADDRESS.get(source.kind, ""), ""))


def wanted_of(name: str, routes: Routes, url: str) -> list[Wanted]:
    """Return the webhooks that the source needs; `url` is where the app takes its deliveries."""
    source = routes.sources[name]
    listening = [route for route in routes.routes if matches(route.when.source, name)]
    by_model = _by_model(listening) if source.kind == "databricks" else {"": _of_mlflow(listening)}
    return [
        Wanted(source=name, model=model, events=events, url=url) for model, events in sorted(by_model.items()) if events
    ]


def notes_of(name: str, routes: Routes) -> Iterator[str]:
    """Yield what the source's registry will never tell, though routes listen to it."""
    source = routes.sources[name]
    if source.kind not in _ADDRESS:
        return
    if not is_managed(source):
        yield f"{name}: its webhooks are not looked at: the source has no `{_ADDRESS[source.kind]}` in the routes file"
        return
    known = [*_PLAIN, *_STAGED] if source.kind == "databricks" else _OF_MLFLOW
    for route in routes.routes:
        if name not in _named(route.when.source):
            continue  # a glob means whichever of the registries tells of it
        for type in _types(route.when):
            if type not in known:
                yield f"{name}: {source.kind} sends no {type}, which route {route.name} listens to"
        if source.kind == "databricks" and route.when.to_stage and not _stages(route.when):
            yield f"{name}: route {route.name} listens to a `to_stage` that is none of {', '.join(STAGES)}"


def _by_model(listening: Iterable[Route]) -> dict[str, tuple[str, ...]]:
    asked: dict[str, set[str]] = {"": set()}
    for route in listening:
        for event in _of_databricks(route.when):
            for model in [""] if event == _REGISTRY_WIDE_ONLY else _models(route.when):
                asked.setdefault(model, set()).add(event)
    wide = _narrowed(asked.pop(""))
    return {"": wide, **{model: _narrowed(events, wide) for model, events in asked.items()}}


def _narrowed(events: set[str], told: Iterable[str] = ()) -> tuple[str, ...]:
    """Take out what `told` tells already, and what a generic event tells that is asked for as well."""
    for generic, specific in _STAGED.values():
        if generic in events or generic in told:
            events = events - {specific.format(stage.upper()) for stage in STAGES}
    return tuple(sorted(events - set(told)))


def _models(when: When) -> list[str]:
    """The models it names, or the empty name for all: a glob can't be told to a registry."""
    models = _named(when.model)
    return [""] if any(char in model for model in models for char in "*?[") else models


def _of_databricks(when: When) -> Iterator[str]:
    for type in _types(when):
        if type in _PLAIN:
            yield _PLAIN[type]
        if type in _STAGED:
            generic, specific = _STAGED[type]
            stages = _stages(when)
            # the stage None has no event of its own
            yield from [generic] if "None" in stages else [specific.format(stage.upper()) for stage in stages]


def _of_mlflow(listening: Iterable[Route]) -> tuple[str, ...]:
    types = {type for route in listening for type in _types(route.when)}
    return tuple(type for type in _OF_MLFLOW if type in types)


def _types(when: When) -> list[str]:
    return [type for type in EVENT_TYPES if matches(when.event, type)]


def _stages(when: When) -> list[str]:
    return [stage for stage in STAGES if when.to_stage is None or matches(when.to_stage, stage)]


def _named(wanted: OneOrMore) -> list[str]:
    return [wanted] if isinstance(wanted, str) else wanted
