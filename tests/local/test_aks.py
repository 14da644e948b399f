"""The stand-in of AKS: commands really run, in a shell, with a kubectl that knows the cluster and nothing else."""

from __future__ import annotations

import base64
import io
import time
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from local.aks import AKS, AKS_AUDIENCE, Cluster
from local.azure_resource_manager import AUDIENCE, AzureResourceManager
from local.identity import Identity

DEPLOYMENT = '{"items": [{"kind": "Deployment", "metadata": {"name": "n", "annotations": {"a": "1"}}, "spec": {}}]}'


class Caller:
    """Somebody with a token for the Resource Manager."""

    def __init__(self, arm: AzureResourceManager, cluster: Cluster) -> None:
        self.arm, self.cluster = arm, cluster
        self.base = f"{arm.url}/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters"
        self.headers = {"Authorization": f"Bearer {arm.identity.issue(AUDIENCE)}"}

    def post(self, name: str = "c", **body: Any) -> requests.Response:
        url = f"{self.base}/{name}/runCommand?api-version=2024-02-01"
        return requests.post(url, json=body, headers=self.headers, timeout=5)

    def ask(self, location: str) -> requests.Response:
        return requests.get(location, headers=self.headers, timeout=5)

    def run(self, command: str, **files: str) -> dict[str, Any]:
        """Run a command to its end; return its result."""
        submitted = self.post(command=command, context=zipped(files))
        assert submitted.status_code == 202, submitted.text
        while (reply := self.ask(submitted.headers["Location"])).status_code == 202:
            time.sleep(0.02)
        properties: dict[str, Any] = reply.json()["properties"]
        return properties


def zipped(files: dict[str, str]) -> str:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.fixture
def caller() -> Iterator[Caller]:
    arm = AzureResourceManager(Identity())
    aks = AKS(arm)
    with arm:
        aks.add_cluster("s", "g", "guarded", entra=True)
        yield Caller(arm, aks.add_cluster("s", "g", "c"))


def test_a_command_runs_in_a_shell_among_its_files(caller: Caller) -> None:
    result = caller.run("cat one two; echo oops >&2; exit 7", one="1\n", two="2\n")
    assert result == {"provisioningState": "Succeeded", "exitCode": 7, "logs": "1\n2\noops\n"}


def test_a_command_is_under_way_until_its_time_has_passed(caller: Caller) -> None:
    caller.cluster.command_seconds = 60
    location = caller.post(command="true").headers["Location"]
    assert caller.ask(location).status_code == 202
    assert caller.ask(location).headers["Location"] == location
    caller.arm.clock = lambda: time.time() + 61
    while (reply := caller.ask(location)).status_code == 202:
        time.sleep(0.02)
    assert reply.json()["properties"]["exitCode"] == 0


def test_a_manifest_is_applied_and_can_be_read_annotated_and_waited_for(caller: Caller) -> None:
    path = "jsonpath={.metadata.annotations.b}"
    commands = [
        f"kubectl get deployment n --ignore-not-found --output '{path}'",
        "kubectl apply --namespace default --filename m.json",
        "kubectl annotate deployment n --overwrite b=2",
        "kubectl apply --filename m.json",
        f"kubectl get deployment n --output '{path}'",
        "echo",
        "kubectl rollout status deployment/n --timeout=5s",
    ]
    result = caller.run(" && ".join(commands), **{"m.json": DEPLOYMENT})
    assert result["logs"].split("\n")[1:] == [
        "deployment.apps/n created",
        "deployment.apps/n annotated",
        "deployment.apps/n unchanged",
        "2",
        "",
        'deployment "n" successfully rolled out',
        "",
    ]
    assert caller.cluster.deployment("n")["metadata"]["annotations"] == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"failing": True}, "exceeded its progress deadline"), ({"timeouts": 1}, "timed out waiting for the condition")],
)
def test_a_rollout_can_fail_and_can_take_too_long(caller: Caller, changes: dict[str, Any], words: str) -> None:
    caller.cluster.set(**changes, logs="1\n2\n3", pods="p 0/1 Error")
    command = "kubectl apply --filename m.json; kubectl rollout status deployment/n --timeout=1s"
    result = caller.run(command, **{"m.json": DEPLOYMENT})
    assert result["exitCode"] == 1
    assert words in result["logs"]
    told = caller.run("kubectl get pods; kubectl logs deployment/n --tail=2; kubectl describe deployment n")["logs"]
    assert "p 0/1 Error\n2\n3\nName:" in told


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("kubectl frobnicate", 'unknown command "frobnicate"'),
        ("kubectl get deployment n --force --output x", "unknown flag: --force"),
        ("kubectl get deployment n --output 'jsonpath={.a}'", '"n" not found'),
        ("kubectl annotate deployment n a=1", '"n" not found'),
        ("kubectl rollout status deployment/n --timeout=1s", '"n" not found'),
        ("kubectl apply --namespace other --filename m.json", 'namespaces "other" not found'),
    ],
)
def test_kubectl_refuses_what_it_does_not_know(caller: Caller, command: str, words: str) -> None:
    result = caller.run(command, **{"m.json": DEPLOYMENT})
    assert (result["exitCode"], words in result["logs"]) == (1, True)


def test_a_command_whose_pod_does_not_start_has_failed_for_a_reason(caller: Caller) -> None:
    caller.cluster.breaks = "ImagePullBackoff"
    assert caller.run("true") == {"provisioningState": "Failed", "reason": "ImagePullBackoff"}


def test_what_makes_no_command_is_refused(caller: Caller) -> None:
    good = caller.arm.identity.issue(AKS_AUDIENCE)
    answers = [
        caller.post(command="").status_code,
        caller.post(command="true", context="no zip").status_code,
        caller.post(name="nowhere", command="true").status_code,
        caller.post(name="guarded", command="true").status_code,
        caller.post(name="guarded", command="true", clusterToken="x").status_code,
        caller.post(name="guarded", command="true", clusterToken=good).status_code,
    ]
    assert answers == [400, 400, 404, 400, 400, 202]
    assert caller.ask(f"{caller.base}/c/commandResults/none?api-version=2024-02-01").status_code == 404
