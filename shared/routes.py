"""Routes: which events start which steps. Pure: given an event, say what matches and why not.

How the file is read and checked is in `routes_file.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import translate
from functools import cached_property, lru_cache
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from shared.messages import Event

EVENT_TYPES = (
    "registered_model.created",
    "model_version.created",
    "model_version.stage_changed",
    "model_version_tag.set",
    "model_version_tag.deleted",
    "model_version_alias.created",
    "model_version_alias.deleted",
    "transition_request.created",
    "comment.created",
    "prompt.created",
    "prompt_version.created",
    "prompt_tag.set",
    "prompt_tag.deleted",
    "prompt_version_tag.set",
    "prompt_version_tag.deleted",
    "prompt_alias.created",
    "prompt_alias.deleted",
    "budget_policy.exceeded",
    "job.started",
    "job.succeeded",
    "job.failed",
)

DEFAULT_BUDGET = 100
BUDGET_HOURS = 24
OneOrMore = str | list[str]
Test = Callable[[str], object]
"""Tells of a text, by a true or false value, whether it is as wanted."""
Reconcile = Literal["off", "alert", "enqueue"]
RECONCILE = get_args(Reconcile)


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A registry as sender. `secret`, `authorization_secret` and `token_secret` are names of Key Vault secrets;
    `workspace` or `tracking_uri` is where it can be asked; `max_age` in seconds (`24h`, `300s` in the file), 0 = the
    kind's default. `reconcile`: what becomes of what the registry holds and no webhook reported: an alert, or also the
    event itself."""

    kind: str
    secret: str
    authorization_secret: str = ""
    workspace: str = ""
    tracking_uri: str = ""
    token_secret: str = ""
    max_age: float = 0
    reconcile: Reconcile = "off"

    @property
    def registry_kind(self) -> str:
        """What is at the address: "databricks" or "mlflow"."""
        return "databricks" if self.workspace else "mlflow"

    @property
    def address(self) -> str:
        """Where the registry can be asked, empty if the file does not say."""
        return self.workspace or self.tracking_uri


class Condition(NamedTuple):
    """One thing that a `when` asks for: of a field of the event, or of one of its tags."""

    name: str
    is_tag: bool
    wanted: OneOrMore
    test: Test


class When(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """The condition of a route. All fields given must hold; each takes one glob or a list that means any."""

    event: OneOrMore
    source: OneOrMore = "*"
    model: OneOrMore = "*"
    from_stage: OneOrMore | None = None
    to_stage: OneOrMore | None = None
    alias: OneOrMore | None = None
    tags: dict[str, OneOrMore] = {}

    @cached_property
    def conditions(self) -> tuple[Condition, ...]:
        """All that is asked for but the type of the event; worked out once, since every event is held against it."""
        fields = [(name, getattr(self, name)) for name in ("source", "model", "from_stage", "to_stage", "alias")]
        asked = [(name, wanted) for name, wanted in fields if wanted is not None and wanted != "*"]
        return (
            *(Condition(name, False, wanted, _test(wanted)) for name, wanted in asked),
            *(Condition(key, True, wanted, _test(wanted)) for key, wanted in self.tags.items()),
        )


class Require(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What has to hold in the registry just before a step acts. All given must hold.

    `still`: what the event told is still so (stage, alias, tag); else the route ends superseded. The others are gates:
    the version's stage, an alias it bears, its tags, metrics of its run (`{accuracy: ">= 0.9"}`), and who asked for it
    (the user of an open transition request to that stage, else the user who registered the version).
    """

    still: bool = False
    stage: OneOrMore | None = None
    alias: OneOrMore | None = None
    tags: dict[str, OneOrMore] = {}
    metrics: dict[str, str] = {}
    requester: OneOrMore | None = None


class StepPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One step as the file has it: `id` (unique in its route), target, options with their placeholders."""

    id: str
    target: str
    options: dict[str, Any]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A named `when` with the steps that run one after the other, and those that tell of a failure.

    `rounds` is how often the route may be started again by what it has caused itself. `write_status` writes its state
    to the model version, as tag `relay.NAME`.
    """

    name: str
    when: When
    steps: tuple[StepPlan, ...]
    on_failure: tuple[StepPlan, ...] = ()
    require: Require | None = None
    rounds: int = 0
    write_status: bool = False


def next_approval(route: Route, step: str) -> str:
    """Return the id of the first approval after this step of the route, empty if there is none."""
    ids = [plan.id for plan in route.steps]
    later = route.steps[ids.index(step) + 1 :] if step in ids else ()
    return next((plan.id for plan in later if plan.target == APPROVAL), "")


APPROVAL = "approval"
STATUS = "status"
STATUS_TAG = "relay."
"""What the tags begin with in which the relay writes a route's state to the model version."""


def status_plan(route: Route) -> StepPlan:
    """Return the step that writes the route's state to the model version."""
    return StepPlan(id=STATUS, target="registry_tag", options={"tags": {f"{STATUS_TAG}{route.name}": "{status}"}})


class Routes(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The whole file. `budget` is how many routes one model version may start in 24 hours; `acts_on_registries` tells
    whether any step may cause an event."""

    sources: dict[str, Source] = {}
    routes: tuple[Route, ...] = ()
    budget: int = DEFAULT_BUDGET
    acts_on_registries: bool = False

    def matching(self, event: Event) -> list[Route]:
        """Return the routes that the event starts, in the file's order."""
        return [route for route in self._by_type.get(event.type, ()) if _failing(route.when, event) is None]

    @cached_property
    def _by_type(self) -> dict[str, list[Route]]:
        return {type: [each for each in self.routes if matches(each.when.event, type)] for type in EVENT_TYPES}


def mismatch(when: When, event: Event) -> str:
    """Return why the condition does not hold, as a phrase for a person; empty when it holds."""
    if event.type not in EVENT_TYPES:
        return f"event {event.type!r} is of no type that routes know"
    if not matches(when.event, event.type):
        return f"event is {event.type!r}, not {any_of(when.event)}"
    failing = _failing(when, event)
    return _phrase(failing, event) if failing else ""


def _phrase(failing: Condition, event: Event) -> str:
    name, is_tag, wanted, _ = failing
    if is_tag and name not in event.tags:
        return f"tag {name!r} is not in the event"
    given = event.tags[name] if is_tag else getattr(event, name)
    return f"{f'tag {name!r}' if is_tag else name} is {given!r}, not {any_of(wanted)}"


def _failing(when: When, event: Event) -> Condition | None:
    for condition in when.conditions:
        name, is_tag, _, test = condition
        given = event.tags.get(name) if is_tag else getattr(event, name)
        if given is None or not test(given):
            return condition
    return None


def matches(wanted: OneOrMore, given: str) -> bool:
    """Tell whether the text matches the glob, or one of the globs; upper and lower case differ."""
    return bool(_test(wanted)(given))


def _test(wanted: OneOrMore) -> Test:
    if isinstance(wanted, str):
        return _glob(wanted)
    tests = [_glob(each) for each in wanted]
    return lambda given: any(test(given) for test in tests)


@lru_cache(maxsize=4096)
def _glob(glob: str) -> Test:
    """The test of one glob, as fnmatch.fnmatchcase has it; a glob without wildcards is the text itself."""
    return re.compile(translate(glob)).match if set(glob) & set("*?[") else glob.__eq__


def any_of(wanted: OneOrMore) -> str:
    """Return what would be right, as a phrase."""
    return repr(wanted) if isinstance(wanted, str) else " or ".join(map(repr, wanted))
