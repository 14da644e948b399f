"""AKS: rolls a manifest out on a cluster, public or private, by the cluster's runCommand; no kubeconfig, no agent.

Applied, never created, so that to do it again does no harm; the deployment bears the marker and the time of the newest
event as annotations, and no older event comes through. Retries and checks start commands of their own: `start` applies,
`check` only asks.
Contract: Microsoft.ContainerService managedClusters 2024-02-01 (runCommand: 202 and Location; GET it: 202, then 200
with exitCode and logs); the zip's files lie where the command runs. The rights it takes on the cluster: the actions
`managedClusters/runcommand/action` and `managedclusters/commandResults/read`; with `entra`, a role within it besides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from handlers import aks_manifest
from handlers.aks_bundle import COMMAND, DONE, NEWER, NOT_YET, pack
from handlers.aks_options import TEMPLATED, Options
from shared import azure_resource_manager as arm
from shared import rest
from shared.attempts import Access, Answer, Attempt, Succeeded, Waiting
from shared.errors import AmbiguousFailure, PermanentFailure, Superseded
from shared.findings import Finding, defect, ok, warning
from shared.identity import token

API_VERSION = "2024-02-01"
AKS_SCOPE = "6dae42f8-4368-4678-94ff-3960e28e3630/.default"
SLACK_SECONDS = 60
COMMAND_SECONDS = 240  # one command's patience; what takes longer is asked for by the next
MAX_LOGS = 1500
FINAL = ("succeeded", "failed", "canceled")
__all__ = ["TEMPLATED", "Options", "check", "connect", "preview", "start"]


@dataclass(frozen=True)
class Connection:
    """What is applied, and the token that an Entra-enabled cluster asks for."""

    objects: list[Any]
    cluster_token: str = field(default="", repr=False)


def connect(options: Options, access: Access) -> Connection:
    """Return the manifest and the credentials. Raises PermanentFailure for a manifest that makes no sense."""
    if not re.fullmatch(r"[0-9]{1,16}", options.event_time):
        raise PermanentFailure("`event_time` has to be a time in milliseconds")
    objects = _objects(options)
    aks_manifest.check(objects, options.name, options.namespace)
    return Connection(objects, token(AKS_SCOPE) if options.entra else "")


def examine(options: Options, _access: Access) -> Iterator[Finding]:
    """Yield whether the cluster is there and runs; no command is run in it."""
    reply = arm.request("GET", _cluster(options), API_VERSION, allowed=(404,))
    if reply.status == 404:
        yield defect("cluster", f"there is no cluster {options.cluster}", "mend the route, or create the cluster")
        return
    if options.entra:
        token(AKS_SCOPE)
    power = ((reply.json().get("properties") or {}).get("powerState") or {}).get("code", "Running")
    if power == "Running":
        yield ok("cluster", f"cluster {options.cluster} is there and runs")
    else:
        yield warning("cluster", f"cluster {options.cluster} is {power}", "start it: az aks start")


def start(attempt: Attempt) -> Answer:
    """Have the manifest applied in the cluster."""
    begun = datetime.now(UTC).timestamp()  # a replay has all its time before it
    answer = _run(attempt, "apply", f"the rollout of {attempt.options.name} is under way", _seconds(attempt))
    return replace(answer, progress={**answer.progress, "begun": begun})


def preview(attempt: Attempt) -> dict[str, Any]:
    """Return the command that applies the manifest, with what its zip holds."""
    objects, values = _objects(attempt.options), _values(attempt, _seconds(attempt))
    aks_manifest.check(objects, attempt.options.name, attempt.options.namespace)
    token_of = {"clusterToken": "{this app's token for the cluster}"} if attempt.options.entra else {}
    context = {**values, "manifest.json": objects}
    body = {"command": COMMAND, "context": context, **token_of}
    return {"request": f"POST {_cluster(attempt.options)}/runCommand", "body": body}


def check(attempt: Attempt) -> Answer:
    """Return how the rollout stands. Raises PermanentFailure with the deployment's logs if it failed."""
    reply = arm.follow(attempt.progress["command"], allowed=(404,))
    result = reply.json().get("properties") or {} if reply.status == 200 else {}
    if reply.status == 200 and str(result.get("provisioningState")).lower() in FINAL:
        return _ended(attempt, result)
    if datetime.now(UTC).timestamp() - attempt.progress["sent"] < COMMAND_SECONDS + SLACK_SECONDS:
        return _under_way(attempt, attempt.progress["command"], reply)
    if _seconds_left(attempt) < 0 and reply.status != 404:
        raise PermanentFailure("Azure does not say what became of the command", link=_link(attempt.options))
    # forgotten, or stuck: the cluster knows
    return _watch(attempt, f"the rollout of {attempt.options.name} is looked for")


def _objects(options: Options) -> list[Any]:
    if isinstance(options.manifest, list) and options.manifest:
        return options.manifest
    if options.manifest:
        return aks_manifest.read(str(options.manifest), options.values)
    return aks_manifest.serving(
        name=options.name,
        image=options.image,
        model_uri=options.model_uri,
        port=options.port,
        replicas=options.replicas,
        env=options.env,
        env_secret=options.env_secret_name,
        time=options.event_time,
    )


def _watch(attempt: Attempt, outcome: str) -> Waiting:
    return _run(attempt, "watch", outcome, _seconds_left(attempt))


def _run(attempt: Attempt, mode: Literal["apply", "watch"], outcome: str, seconds: float) -> Waiting:
    options, connection = attempt.options, attempt.connection
    payload = {"command": COMMAND, "context": pack(mode, connection.objects, _values(attempt, seconds))}
    if connection.cluster_token:
        payload["clusterToken"] = connection.cluster_token
    # 409: another operation is under way on the cluster
    reply = arm.request("POST", f"{_cluster(options)}/runCommand", API_VERSION, payload, passing=(409,))
    if not reply.headers.get("Location"):
        raise AmbiguousFailure("Azure took the command, but did not say where its result will be")
    answer = _under_way(attempt, reply.headers["Location"], reply, outcome)
    return replace(answer, progress={**answer.progress, "sent": datetime.now(UTC).timestamp()})


def _values(attempt: Attempt, seconds: float) -> dict[str, str | int]:
    return {
        "name": attempt.options.name,
        "namespace": attempt.options.namespace,
        "marker": attempt.marker,
        "event-time": attempt.options.event_time,
        "seconds": max(1, min(COMMAND_SECONDS, int(seconds))),
    }


def _under_way(attempt: Attempt, command: str, reply: rest.Reply, outcome: str = "") -> Waiting:
    return Waiting(
        outcome=outcome or f"the rollout of {attempt.options.name} is under way",
        progress={"command": command},
        link=_link(attempt.options),
        check_in=rest.retry_after(reply.headers),
    )


def _ended(attempt: Attempt, result: Mapping[str, Any]) -> Answer:
    name, link = attempt.options.name, _link(attempt.options)
    logs, code = str(result.get("logs") or "").strip(), result.get("exitCode")
    if code == DONE:
        return Succeeded(outcome=f"{name} is rolled out", ref=name, link=link)
    if code == NOT_YET and _seconds_left(attempt) > 0:
        return _watch(attempt, f"the rollout of {name} takes its time")
    if code == NEWER:
        raise Superseded(f"{name} was left alone: {logs[-MAX_LOGS:]}")
    told = logs or str(result.get("reason") or f"the command ended {result.get('provisioningState')}")
    raise PermanentFailure(f"the rollout of {name} failed: {told[-MAX_LOGS:]}", link=link)


def _seconds(attempt: Attempt) -> float:
    return float(attempt.options.wait_minutes) * 60


def _seconds_left(attempt: Attempt) -> float:
    return _seconds(attempt) - (datetime.now(UTC).timestamp() - float(attempt.progress["begun"]))


def _cluster(options: Options) -> str:
    group = f"/subscriptions/{options.subscription}/resourceGroups/{options.resource_group}"
    return f"{group}/providers/Microsoft.ContainerService/managedClusters/{options.cluster}"


def _link(options: Options) -> str:
    return f"https://portal.azure.com/#@/resource{_cluster(options)}/workloads"
