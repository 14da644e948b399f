"""Routes: which events start which steps. Pure: given an event, say what matches and why not.

How the file is read and checked is in `routes_file.py`.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any, Literal, get_args

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


class When(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The condition of a route. All fields given must hold; each takes one glob or a list that means any."""

    event: OneOrMore
    source: OneOrMore = "*"
    model: OneOrMore = "*"
    from_stage: OneOrMore | None = None
    to_stage: OneOrMore | None = None
    alias: OneOrMore | None = None
    tags: dict[str, OneOrMore] = {}


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


class Routes(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file. `budget` is how many routes one model version may start in 24 hours; `acts_on_registries` tells
    whether any step may cause an event."""

    sources: dict[str, Source] = {}
    routes: tuple[Route, ...] = ()
    budget: int = DEFAULT_BUDGET
    acts_on_registries: bool = False

    def matching(self, event: Event) -> list[Route]:
        """Return the routes that the event starts, in the file's order."""
        return [route for route in self.routes if not mismatch(route.when, event)]


def mismatch(when: When, event: Event) -> str:
    """Return why the condition does not hold, as a phrase for a person; empty when it holds."""
    if not matches(when.source, event.source):
        return f"source is {event.source!r}, not {any_of(when.source)}"
    if event.type not in EVENT_TYPES:
        return f"event {event.type!r} is of no type that routes know"
    if not matches(when.event, event.type):
        return f"event is {event.type!r}, not {any_of(when.event)}"
    return _field_mismatch(when, event) or _tag_mismatch(when, event)


def _field_mismatch(when: When, event: Event) -> str:
    for field in ("model", "from_stage", "to_stage", "alias"):
        wanted, given = getattr(when, field), getattr(event, field)
        if wanted is not None and not matches(wanted, given):
            return f"{field} is {given!r}, not {any_of(wanted)}"
    return ""


def _tag_mismatch(when: When, event: Event) -> str:
    for key, wanted in when.tags.items():
        given = event.tags.get(key)
        if given is None:
            return f"tag {key!r} is not in the event"
        if not matches(wanted, given):
            return f"tag {key!r} is {given!r}, not {any_of(wanted)}"
    return ""


def matches(wanted: OneOrMore, given: str) -> bool:
    """Tell whether the text matches the glob, or one of the globs; upper and lower case differ."""
    globs = [wanted] if isinstance(wanted, str) else wanted
    return any(fnmatchcase(given, glob) for glob in globs)


def any_of(wanted: OneOrMore) -> str:
    """Return what would be right, as a phrase."""
    return repr(wanted) if isinstance(wanted, str) else " or ".join(map(repr, wanted))
