"""Stand-in for Azure Kubernetes Service: clusters that take `runCommand`, and really run what they are given.

The zip is unpacked into a folder of its own, and the command runs there in a real shell, with a kubectl on its PATH
that plays the cluster (local/kubectl.py). Source: managedClusters.json 2024-02-01. Assumed: what an Entra-enabled
cluster answers without a token; that the files are where the command runs, and its exit code and output are told as
they are.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import shlex
import subprocess
import sys
import tempfile
import uuid
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from local import kubectl
from local.azure_resource_manager import AzureResourceManager, RefusedError, body_of

AKS_AUDIENCE = "6dae42f8-4368-4678-94ff-3960e28e3630"
_GROUP = "/subscriptions/{subscription}/resourceGroups/{group}"
_CLUSTER = _GROUP + "/providers/Microsoft.ContainerService/managedClusters/{cluster}"
_EMPTY: dict[str, Any] = {
    "objects": {},
    "applied": [],
    "commands": [],
    "namespaces": ["default"],
    "pods": "",
    "logs": "",
    "timeouts": 0,
    "failing": False,
    "rollout_seconds": 0.0,
}


@dataclass
class Command:
    """A command that was taken: `text` as it came, `files` of its zip, and what came of it."""

    text: str
    files: dict[str, str]
    ends: float
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    result: dict[str, Any] | None = None


class Cluster:
    """A cluster: its state is a file, so that the kubectl of a command and a test see the same.

    What may be set by name: `failing` (rollouts exceed their deadline), `timeouts` (so many waits end too soon),
    `rollout_seconds`, `logs`, `pods`, `namespaces`, `interference` (annotations that somebody else writes meanwhile).
    """

    def __init__(self, folder: Path, entra: bool) -> None:
        self.entra = entra
        self.command_seconds = 0.0
        """How long a command takes at least."""
        self.breaks = ""
        """Why the next command's pod does not even start; empty if it does."""
        self.power = "Running"
        self.commands: list[Command] = []
        self.file = folder / f"{uuid.uuid4().hex}.json"
        self.file.write_text(json.dumps(_EMPTY))

    @property
    def state(self) -> dict[str, Any]:
        """All that is in the cluster."""
        with kubectl.cluster(str(self.file)) as state:
            return state

    def set(self, **changes: Any) -> None:
        """Change something in the cluster."""
        with kubectl.cluster(str(self.file)) as state:
            state.update(changes)

    def deployment(self, name: str, namespace: str = "default") -> dict[str, Any]:
        """Return a deployment; empty if there is none."""
        found: dict[str, Any] = self.state["objects"].get(f"{namespace}/Deployment/{name}", {})
        return found


class AKS:
    """Clusters by their ids. It mounts itself on the Resource Manager that it is given, before that starts."""

    def __init__(self, arm: AzureResourceManager) -> None:
        self.arm = arm
        self.clusters: dict[str, Cluster] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="stand-in-aks-")
        self._tasks: set[asyncio.Task[None]] = set()
        program = Path(self._folder.name) / "bin" / "kubectl"
        program.parent.mkdir()
        played = shlex.join([sys.executable, "-I", "-S", str(Path(kubectl.__file__))])
        program.write_text(f'#!/bin/sh\nexec {played} "$@"\n')
        program.chmod(0o755)
        arm.mount(self)

    def add_cluster(self, subscription: str, group: str, name: str, entra: bool = False) -> Cluster:
        """Make a cluster exist, with its resource group; return it."""
        self.arm.add_group(subscription, group)
        key = _CLUSTER.format(subscription=subscription, group=group, cluster=name).lower()
        return self.clusters.setdefault(key, Cluster(Path(self._folder.name), entra))

    def routes(self) -> list[web.RouteDef]:
        """Submit a command; ask for its result."""
        return [
            web.get(_CLUSTER, self._get_cluster),
            web.post(_CLUSTER + "/runCommand", self._submit),
            web.get(_CLUSTER + "/commandResults/{id}", self._result),
        ]

    async def _get_cluster(self, request: web.Request) -> web.Response:
        properties = {"provisioningState": "Succeeded", "powerState": {"code": self._cluster(request).power}}
        return web.json_response({"name": request.match_info["cluster"], "properties": properties})

    async def _submit(self, request: web.Request) -> web.Response:
        cluster, body = self._cluster(request), await body_of(request)
        if not isinstance(body.get("command"), str) or not body["command"]:
            raise RefusedError(400, "InvalidParameter", "The command must not be empty.")
        if cluster.entra and not self.arm.identity.accepts(f"Bearer {body.get('clusterToken')}", AKS_AUDIENCE):
            raise RefusedError(
                400, "ClusterTokenRequired", "This cluster is AAD enabled: a valid clusterToken is needed."
            )
        files = _unzipped(body.get("context", ""))
        command = Command(body["command"], files, self.arm.clock() + cluster.command_seconds)
        cluster.commands.append(command)
        task = asyncio.create_task(asyncio.to_thread(self._execute, cluster, command))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return self._pending(request, command)

    async def _result(self, request: web.Request) -> web.Response:
        known = [each for each in self._cluster(request).commands if each.id == request.match_info["id"]]
        if not known:
            raise RefusedError(404, "NotFound", "The command could not be found.")
        command = known[0]
        if command.result is None or command.ends > self.arm.clock():
            return self._pending(request, command)
        return web.json_response({"id": command.id, "properties": command.result})

    def _pending(self, request: web.Request, command: Command) -> web.Response:
        path = _CLUSTER.format(**{key: request.match_info[key] for key in ("subscription", "group", "cluster")})
        location = f"{self.arm.url}{path}/commandResults/{command.id}?api-version={request.query['api-version']}"
        return web.Response(status=202, headers={"Location": location})

    def _cluster(self, request: web.Request) -> Cluster:
        path = _CLUSTER.format(**{key: request.match_info[key] for key in ("subscription", "group", "cluster")})
        if path.lower() not in self.clusters:
            name = request.match_info["cluster"]
            raise RefusedError(404, "ResourceNotFound", f"The Resource 'managedClusters/{name}' was not found.")
        return self.clusters[path.lower()]

    def _execute(self, cluster: Cluster, command: Command) -> None:
        if cluster.breaks:
            command.result = {"provisioningState": "Failed", "reason": cluster.breaks}
            cluster.breaks = ""
            return
        with tempfile.TemporaryDirectory(dir=self._folder.name) as folder:
            for name, text in command.files.items():
                (Path(folder) / name).write_text(text)
            path = f"{self._folder.name}/bin:/usr/bin:/bin"
            done = subprocess.run(
                ["sh", "-c", command.text],
                cwd=folder,
                env={"PATH": path, "CLUSTER": str(cluster.file)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=60,
                check=False,
            )
        command.result = {"provisioningState": "Succeeded", "exitCode": done.returncode, "logs": done.stdout}


def _unzipped(context: str) -> dict[str, str]:
    try:
        archive = zipfile.ZipFile(io.BytesIO(base64.b64decode(context, validate=True))) if context else None
        files = {name: archive.read(name).decode() for name in archive.namelist()} if archive else {}
    except (ValueError, zipfile.BadZipFile):
        raise RefusedError(400, "InvalidParameter", "The context is no base64 encoded zip file.") from None
    if any("/" in name or ".." in name for name in files):
        raise RefusedError(400, "InvalidParameter", "Only files at the top of the zip are taken here.")
    return files
