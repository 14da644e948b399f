"""Loops: which routes may start which by what their steps cause in a registry, and how such an event is recognised."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from shared.attempts import Caused
from shared.messages import Event
from shared.routes import STATUS_TAG, OneOrMore, Route, Source, matches
from shared.templates import without

_WILD = re.compile(r"[*?\[]")
_FIELDS: dict[str, tuple[str, ...]] = {
    "model_version.created": ("model",),
    "model_version.stage_changed": ("model", "version", "to_stage"),
    "transition_request.created": ("model", "version", "to_stage"),
    "model_version_tag.set": ("model", "version", "tags"),
    "model_version_tag.deleted": ("model", "version", "tags"),
    "model_version_alias.created": ("model", "version", "alias"),
    "model_version_alias.deleted": ("model", "alias"),
    "comment.created": ("model", "version"),
}
"""By what an event of this type is recognised as one that a step was about to cause."""


def echo_key(address: str, happening: Event | Caused) -> str:
    """Return what an event and the step that causes it have in common, 64 hex; `address` is the registry's."""
    fields = _FIELDS.get(happening.type, ("model", "version"))
    told = [getattr(happening, field) for field in fields]
    return hashlib.sha256(msgspec.json.encode([address, happening.type, *told], order="sorted")).hexdigest()


def is_status(event: Event) -> bool:
    """Tell whether the event is only about a tag in which the relay itself keeps a route's state."""
    return event.type.startswith("model_version_tag.") and any(key.startswith(STATUS_TAG) for key in event.tags)


def cycle(edges: Mapping[str, Sequence[str]], start: str) -> list[str]:
    """Return the routes that lead from `start` back to it, `start` first; empty if none do."""
    paths = [[start]]
    seen: set[str] = set()
    while paths:
        path = paths.pop(0)
        for following in edges.get(path[-1], ()):
            if following == start:
                return path
            if following not in seen:
                seen.add(following)
                paths.append([*path, following])
    return []


def may_start(caused: Caused, cause: Route, route: Route, sources: Mapping[str, Source]) -> bool:
    """Tell whether what a step of `cause` causes may be an event that starts `route`. When in doubt, it may.

    `caused` is as the file has it: with placeholders, which may come to be anything but `{model}`.
    """
    when = route.when
    if not matches(when.event, caused.type):
        return False
    if not any(matches(when.source, name) for name in _senders(caused, cause, sources)):
        return False
    model: OneOrMore = cause.when.model if caused.model in ("", "{model}") else _glob(caused.model)
    if not overlap(model, when.model):
        return False
    for field in ("to_stage", "alias"):
        wanted, given = getattr(when, field), getattr(caused, field)
        if wanted is not None and not overlap(_glob(given), wanted):
            return False
    tags = {_glob(key): _glob(value) for key, value in caused.tags.items()}
    return all(_tag_may_hold(tags, key, wanted) for key, wanted in when.tags.items())


def overlap(one: OneOrMore, other: OneOrMore) -> bool:
    """Tell whether a text may match a glob of each side."""
    return any(_globs_overlap(a, b) for a in _listed(one) for b in _listed(other))


def _senders(caused: Caused, cause: Route, sources: Mapping[str, Source]) -> Iterator[str]:
    """The sources that tell of it: all that listen to the registry in which it happens."""
    named = [name for name in sources if (name == caused.registry or not caused.registry)]
    where = {sources[name].address.rstrip("/") for name in named if caused.registry or matches(cause.when.source, name)}
    yield from (name for name, source in sources.items() if source.address.rstrip("/") in where)


def _tag_may_hold(tags: Mapping[str, str], key: str, wanted: OneOrMore) -> bool:
    return any(overlap(known, key) and overlap(value, wanted) for known, value in tags.items())


def _glob(text: str) -> str:
    return without(text, "*")


def _listed(globs: OneOrMore) -> Sequence[str]:
    return [globs] if isinstance(globs, str) else globs


def _globs_overlap(one: str, other: str) -> bool:
    if not _WILD.search(one):
        return matches(other, one)
    if not _WILD.search(other):
        return matches(one, other)
    return _fit(_literal(one), _literal(other)) and _fit(_literal(one[::-1], "*?]"), _literal(other[::-1], "*?]"))


def _literal(glob: str, wild: str = "*?[") -> str:
    """What stands before the first wildcard."""
    return glob[: min((glob.find(char) for char in wild if char in glob), default=len(glob))]


def _fit(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)
