"""Azure ML: rolls a model version out on an online endpoint, managed or on an attached Kubernetes cluster (AKS).

Registers the model if asked to, makes the endpoint if it is missing, puts the deployment, shifts the traffic. All are
put by name and looked for before they are put: the deployment's tags bear the marker. The ledger keeps which event is
the endpoint's newest; an older one begins nothing behind it. What it had under way when it was overtaken may still
come: it waits for that, and the newer one puts its own again. Without `model` and `register` it shifts traffic only.
Contract: Microsoft.MachineLearningServices, see shared/azure_ml.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from handlers.azure_ml import bodies
from handlers.azure_ml.operations import fresh_progress
from handlers.azure_ml.options import Options
from handlers.azure_ml.rollout import Rollout
from shared import azure_ml
from shared import azure_resource_manager as arm
from shared.attempts import Access, Answer, Attempt
from shared.azure_ml import Workspace
from shared.errors import PermanentFailure, TransientFailure
from shared.findings import Finding, defect, ok
from shared.templates import Safe, harmless


def _part(value: str) -> str:
    """Let through one part of a name or path: nothing that leads to another one."""
    for wrong in ("/", ":", ".."):
        if wrong in value:
            raise PermanentFailure(
                f"the value {value[:80]!r} holds {wrong!r} where it may not stand: in a name or path"
            )
    return harmless(value)


def _part_or_none(value: str) -> str:
    return _part(value) if value else ""


def _told(value: str) -> str:
    return harmless(value) if value else ""


TEMPLATED: Mapping[str, Safe] = {
    "model": _part,
    "register": _part,
    "deployment": _part,
    "environment_variables": harmless,
    "version": _part_or_none,
    "source": _told,
    "source_model": _told,
    "event": _told,
    "event_time": _told,
}


def connect(options: Options, _access: Access) -> Workspace:
    """Return the workspace; it is asked as this app's identity."""
    return Workspace(options.subscription, options.resource_group, options.workspace)


def examine(options: Options, access: Access) -> Iterator[Finding]:
    """Yield whether the workspace is there, and the endpoint too if the route is not to create it."""
    workspace = connect(options, access)
    if workspace.get() is None:
        yield defect(
            "workspace", f"there is no workspace {options.workspace}", "mend the route, or create the workspace"
        )
    elif workspace.get(f"onlineEndpoints/{options.endpoint}") is None and not options.create_endpoint:
        yield defect(
            "workspace", f"there is no endpoint {options.endpoint}", "create it, or leave out `create_endpoint: false`"
        )
    else:
        yield ok("workspace", f"workspace {options.workspace} is there")


def start(attempt: Attempt) -> Answer:
    """Register the model, and begin what is missing first."""
    rollout = _rollout(attempt, {**fresh_progress(), **attempt.progress})
    with _linked(rollout.link):
        if overtaken := rollout.give_way():
            return overtaken
        rollout.progress.update(fresh_progress())
        if attempt.progress:  # what an earlier attempt has begun is no longer ours to wait for
            attempt.save(rollout.progress)
        _register(attempt)
        return rollout.advance()


def preview(attempt: Attempt) -> list[dict[str, Any]]:
    """Return what is put where it is missing: the model, the endpoint, the deployment. The traffic depends on what
    the endpoint has."""
    options, workspace = attempt.options, connect(attempt.options, attempt.connection)
    attempt = replace(attempt, connection=workspace)
    place, model = options.location or "{location of the workspace}", _model_id(attempt)
    compute = f"{workspace.id}/computes/{options.compute}" if options.compute else ""
    endpoint = f"onlineEndpoints/{options.endpoint}"
    puts: list[tuple[str, Any]] = []
    if options.register is not None:
        puts.append((f"models/{options.register.name}/versions/{options.version}", _registered(attempt)))
    if model:
        name = "{blue or green}" if options.deployment == "auto" else options.deployment
        puts.append((endpoint, bodies.new_endpoint(options, place, compute)))
        puts.append((f"{endpoint}/deployments/{name}", bodies.new_deployment(attempt, model, place)))
    requests = [{"request": f"PUT {workspace.id}/{path}, unless it stands so", "body": body} for path, body in puts]
    if options.traffic is not None:
        traffic = f"{options.traffic} % to {options.deployment}"
        requests.append({"request": f"PUT {workspace.id}/{endpoint}", "body": {"traffic": traffic}})
    return requests


def check(attempt: Attempt) -> Answer:
    """Return how the rollout stands; begin the next operation once one is over. Raises a Failure."""
    rollout = _rollout(attempt, attempt.progress)
    with _linked(rollout.link):
        if overtaken := rollout.give_way():
            return overtaken
        if rollout.progress["operation"]:
            standing = arm.standing(rollout.progress["operation"])
            part = rollout.progress["begun"][-1]
            if standing.error:
                raise PermanentFailure(f"{part} of {attempt.options.endpoint} has failed: {standing.error}")
            if not standing.is_over:
                return rollout.waiting(f"{part} of {attempt.options.endpoint} is under way", standing.check_in)
            rollout.progress["operation"] = ""
        return rollout.advance()


def probe(attempt: Attempt) -> Answer | None:
    """Return that it goes on if the service has what was begun last; None if it has not."""
    rollout = _rollout(attempt, {**fresh_progress(), **attempt.progress})
    if overtaken := rollout.give_way():
        return overtaken
    if not rollout.progress["begun"] or not rollout.stands():
        return None
    kept = {name: rollout.progress[name] for name in ("deployment", "previous")}
    begun = ["deployment"] if kept["deployment"] and rollout.model else []
    progress = {**fresh_progress(), **kept, "begun": begun, "accepted": list(begun)}
    return _rollout(attempt, progress).waiting("an earlier attempt has begun it")


def _rollout(attempt: Attempt, progress: dict[str, Any]) -> Rollout:
    return Rollout(attempt, progress, _model_id(attempt))


def _model_id(attempt: Attempt) -> str:
    options: Options = attempt.options
    name = options.register.name if options.register else ""
    reference = f"azureml:{name}:{options.version}" if name else options.model
    return str(attempt.connection.asset_id("models", reference)) if reference else ""


def _register(attempt: Attempt) -> None:
    """Register the model version unless it is there, from the same path."""
    options, workspace = attempt.options, attempt.connection
    if options.register is None:
        return
    if not options.version:
        raise PermanentFailure("the event names no version that could be registered")
    path, wanted = f"models/{options.register.name}/versions/{options.version}", options.register.path
    found = workspace.get(path)
    if found is None:
        reply = workspace.put(path, _registered(attempt))
        if reply.status == 409:  # somebody was first: looked for again, it is found
            raise TransientFailure(f"{path} could not be registered: {arm.error_of(reply.json())}")
        return
    properties = azure_ml.properties(found)
    if wanted not in (properties.get("modelUri"), azure_ml.tags(properties).get("relay-path")):
        raise PermanentFailure(f"{path} is registered already, from another path: {properties.get('modelUri')}")


def _registered(attempt: Attempt) -> dict[str, Any]:
    path, kind = attempt.options.register.path, attempt.options.register.type
    tags = {**bodies.marked(attempt), "relay-path": path}
    return {"properties": {"modelUri": path, "modelType": kind, "tags": tags}}


@contextmanager
def _linked(link: str) -> Iterator[None]:
    try:
        yield
    except PermanentFailure as failure:
        raise PermanentFailure(failure.reason, failure.link or link) from None
