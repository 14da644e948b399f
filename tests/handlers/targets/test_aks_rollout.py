"""Rollouts on AKS: what reaches the cluster, how a rollout is followed, and that the newest event stays on top."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from handlers import aks_manifest
from handlers.aks_bundle import COMMAND
from handlers.targets import aks_rollout
from handlers.targets.aks_rollout import Options
from local.aks import Cluster
from shared.attempts import Access, Attempt, Succeeded, Waiting
from shared.errors import PermanentFailure, Superseded, TransientFailure
from shared.registries import Registry
from shared.steps import State, Step
from tests.conftest import Relay, until

SUBSCRIPTION = "00000000-0000-0000-0000-00000000aaaa"
RUN, RESULT = "/runCommand$", "/commandResults/"
GOOD: dict[str, Any] = {"subscription": SUBSCRIPTION, "resource_group": "g", "cluster": "c", "name": "n", "image": "i"}


@pytest.fixture
def cluster(relay: Relay) -> Iterator[Cluster]:
    yield from _cluster(relay, "serving-cluster", entra=False)


@pytest.fixture
def entra_cluster(relay: Relay) -> Iterator[Cluster]:
    for cluster in _cluster(relay, "entra-cluster", entra=True):
        cluster.set(namespaces=["models"])
        yield cluster


def _cluster(relay: Relay, name: str, entra: bool) -> Iterator[Cluster]:
    cluster = relay.system.aks.add_cluster(SUBSCRIPTION, "serving", name, entra=entra)
    cluster.commands.clear()
    cluster.set(failing=False, timeouts=0, interference={}, logs="", pods="", commands=[], applied=[])
    yield cluster
    relay.system.arm.faults.clear()


def rolled_out(relay: Relay, model: str, version: str = "1") -> Step:
    [step] = relay.ended(relay.stage_change(model, version)).steps.values()
    return step


def _no_secret(name: str) -> str:
    raise AssertionError(name)


def _no_registry(name: str) -> Registry:
    raise AssertionError(name)


def attempt(options: Options, progress: dict[str, Any]) -> Attempt:
    return Attempt(
        options=options,
        connection=aks_rollout.connect(options, Access(_no_secret, _no_registry)),
        key="k" * 64,
        marker="e" * 32,
        progress=progress,
        started=datetime.now(UTC),
        step="an-event/a-step",
        save=progress.update,
    )


def followed(name: str, version: str = "1", **options: Any) -> Succeeded:
    """Roll out as a step does, without the time that lies between its checks."""
    given = {"model_uri": f"models:/{name}/{version}", "event_time": str(int(time.time() * 1000)), "name": name}
    rendered = Options(**{**GOOD, "resource_group": "serving", "cluster": "serving-cluster", **given, **options})
    progress: dict[str, Any] = {}
    answer = aks_rollout.start(attempt(rendered, progress))
    while isinstance(answer, Waiting):
        time.sleep(0.02)
        progress |= answer.progress
        answer = aks_rollout.check(attempt(rendered, progress))
    return answer


def marks_of(cluster: Cluster, name: str, namespace: str = "default") -> dict[str, str]:
    found: dict[str, str] = cluster.deployment(name, namespace)["metadata"]["annotations"]
    return found


def test_a_stage_change_rolls_the_version_out_and_says_where(relay: Relay, cluster: Cluster, model: str) -> None:
    name = f"aks-{model}"
    step = rolled_out(relay, name, "7")
    assert (step.state, step.outcome, step.ref) == (State.SUCCEEDED, f"{name} is rolled out", name)
    assert step.link.startswith("https://portal.azure.com/#@/resource/subscriptions/")
    deployment = cluster.deployment(name)
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert container["command"][:5] == ["mlflow", "models", "serve", "--model-uri", f"models:/{name}/7"]
    assert container["env"] == [{"name": "MLFLOW_TRACKING_URI", "value": "https://mlflow.example.com"}]
    assert container["envFrom"] == [{"secretRef": {"name": "mlflow-access"}}]
    assert (
        deployment["spec"]["selector"]["matchLabels"].items()
        <= deployment["spec"]["template"]["metadata"]["labels"].items()
    )
    assert f"default/Service/{name}" in cluster.state["objects"]
    marks = marks_of(cluster, name)
    assert re.fullmatch("[0-9a-f]{32}", marks["relay-marker"])
    assert re.fullmatch("[0-9]{13}", marks["relay-event-time"])


def test_the_command_is_a_constant_and_every_value_lies_in_a_file(relay: Relay, cluster: Cluster, model: str) -> None:
    followed(f"aks-{model}")
    [command] = cluster.commands
    assert command.text == COMMAND
    assert set(command.files) == {
        "rollout.sh",
        "mode",
        "manifest.json",
        "name",
        "namespace",
        "marker",
        "event-time",
        "seconds",
    }
    assert model not in command.files["rollout.sh"]
    assert command.files["name"] == f"aks-{model}"


def test_a_manifest_of_the_route_is_filled_and_applied_with_a_token_for_the_cluster(
    relay: Relay, entra_cluster: Cluster, model: str
) -> None:
    name = f"objects-aks-{model}: yes, no: 1e3"  # which YAML would read as more than a text
    assert rolled_out(relay, name, "3").state is State.SUCCEEDED
    [container] = entra_cluster.deployment("fixed-name", "models")["spec"]["template"]["spec"]["containers"]
    assert container == {"name": "a", "image": f"registry.example.com/{name}:3"}
    settings = entra_cluster.state["objects"]["models/ConfigMap/settings"]
    assert settings["data"] == {"stage": "Production", "literal": "{x}"}
    assert marks_of(entra_cluster, "fixed-name", "models")["relay-marker"]


@pytest.mark.parametrize("name", ["$(id)", "; id", "`id`", "\nid", " x", "_x", "X", "../x", "ü", "'x'", "--x y"])
def test_a_hostile_name_never_reaches_the_cluster(relay: Relay, cluster: Cluster, model: str, name: str) -> None:
    step = rolled_out(relay, f"aks-{model}{name}")
    assert step.state is State.DEAD
    assert "can't stand in `name`" in step.reason or "may not stand" in step.reason
    assert not cluster.commands


@pytest.mark.parametrize("name", ["$(id)", "'; id", '", "x": "', "\n- x", "{{x}}", "#", "&a *a", "a: [b"])
def test_a_hostile_value_never_reaches_the_manifest(
    relay: Relay, entra_cluster: Cluster, model: str, name: str
) -> None:
    step = rolled_out(relay, f"objects-aks-{model}{name}")
    assert step.state is State.DEAD
    assert "may not stand" in step.reason
    assert not entra_cluster.commands


def test_a_rollout_that_fails_ends_the_step_with_what_the_pods_said(relay: Relay, cluster: Cluster, model: str) -> None:
    cluster.set(
        failing=True, logs="ModuleNotFoundError: No module named 'sklearn'", pods="aks-1 0/1 CrashLoopBackOff 3 1m"
    )
    step = rolled_out(relay, f"aks-{model}")
    assert step.state is State.DEAD
    assert step.reason.startswith(f"the rollout of aks-{model} failed: ")
    for words in ("exceeded its progress deadline", "No module named 'sklearn'", "CrashLoopBackOff"):
        assert words in step.reason
    assert step.link


def test_an_apply_that_fails_ends_the_step_with_kubectls_words(
    relay: Relay, entra_cluster: Cluster, model: str
) -> None:
    entra_cluster.set(namespaces=[])
    with pytest.raises(PermanentFailure, match='namespaces "models" not found'):
        followed(f"aks-{model}", cluster="entra-cluster", namespace="models", entra=True)


def test_a_command_that_cannot_start_ends_the_step_with_the_reason(relay: Relay, cluster: Cluster, model: str) -> None:
    cluster.breaks = "ImagePullBackoff"
    with pytest.raises(PermanentFailure, match=f"^the rollout of aks-{model} failed: ImagePullBackoff$"):
        followed(f"aks-{model}")


def test_a_slow_rollout_is_asked_for_by_further_commands_that_apply_nothing(
    relay: Relay, cluster: Cluster, model: str
) -> None:
    cluster.set(timeouts=1)
    assert followed(f"aks-{model}").ref == f"aks-{model}"
    assert [command.files["mode"] for command in cluster.commands] == ["apply", "watch"]
    applied = [words for words in cluster.state["commands"] if words[0] == "apply"]
    assert len(applied) == 1


def test_a_rollout_that_takes_longer_than_the_route_waits_ends_the_step(
    relay: Relay, cluster: Cluster, model: str
) -> None:
    cluster.set(timeouts=9)
    with pytest.raises(PermanentFailure, match="timed out waiting for the condition"):
        followed(f"aks-{model}", wait_minutes=0.0001)
    assert len(cluster.commands) == 1


def test_a_result_that_azure_has_forgotten_is_looked_for_in_the_cluster(
    relay: Relay, cluster: Cluster, model: str
) -> None:
    options, name = {"resource_group": "serving", "cluster": "serving-cluster", "event_time": "1"}, f"aks-{model}"
    rendered = Options(**{**GOOD, **options, "name": name})
    waiting = aks_rollout.start(attempt(rendered, {}))
    assert isinstance(waiting, Waiting)
    until(lambda: cluster.commands[0].result)
    relay.system.arm.faults.add(
        "GET", RESULT, times=2, status=404, body={"error": {"code": "NotFound", "message": "no"}}
    )
    assert isinstance(aks_rollout.check(attempt(rendered, waiting.progress)), Waiting)
    assert len(cluster.commands) == 1, "it may not be known yet"
    assert isinstance(aks_rollout.check(attempt(rendered, {**waiting.progress, "sent": 0.0})), Waiting)
    assert [command.files["mode"] for command in cluster.commands] == ["apply", "watch"]
    assert until(lambda: cluster.commands[1].result)["exitCode"] == 0


def test_a_command_that_never_ends_does_not_hold_the_step_for_ever(
    relay: Relay, cluster: Cluster, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "command_seconds", 3600.0)
    options = {"resource_group": "serving", "cluster": "serving-cluster", "event_time": "1"}
    rendered = Options(**{**GOOD, **options, "name": f"aks-{model}"})
    waiting = aks_rollout.start(attempt(rendered, {}))
    assert isinstance(waiting, Waiting)
    assert isinstance(aks_rollout.check(attempt(rendered, waiting.progress)), Waiting)
    assert isinstance(aks_rollout.check(attempt(rendered, {**waiting.progress, "sent": 0.0})), Waiting)
    assert [command.files["mode"] for command in cluster.commands] == ["apply", "watch"]
    with pytest.raises(PermanentFailure, match="does not say what became"):
        aks_rollout.check(attempt(rendered, {**waiting.progress, "sent": 0.0, "begun": 0.0}))
    until(lambda: all(command.result for command in cluster.commands))


def test_a_command_whose_reply_was_lost_is_given_again_and_changes_nothing(
    relay: Relay, cluster: Cluster, model: str
) -> None:
    relay.system.arm.faults.add("POST", RUN, before=False, drop=True)
    assert rolled_out(relay, f"aks-{model}").state is State.SUCCEEDED
    assert len(cluster.commands) == 2
    first, second = (each for each in cluster.state["applied"] if each["kind"] == "Deployment")
    assert first["spec"] == second["spec"]
    assert [command.files["marker"] for command in cluster.commands] == [
        marks_of(cluster, f"aks-{model}")["relay-marker"]
    ] * 2


def test_a_cluster_that_is_busy_is_asked_again_later(relay: Relay, cluster: Cluster, model: str) -> None:
    relay.system.arm.faults.add("POST", RUN, status=409, body={"error": {"code": "Conflict", "message": "busy"}})
    with pytest.raises(TransientFailure, match="Azure answered 409: Conflict: busy"):
        followed(f"aks-{model}")
    assert followed(f"aks-{model}").outcome == f"aks-{model} is rolled out"


def test_an_older_event_does_not_go_over_a_newer_one(relay: Relay, cluster: Cluster, model: str) -> None:
    name = f"aks-{model}"
    followed(name, "2")
    state = cluster.state
    state["objects"][f"default/Deployment/{name}"]["metadata"]["annotations"]["relay-event-time"] = "9999999999999"
    cluster.set(objects=state["objects"], applied=[])
    step = rolled_out(relay, name, "1")
    assert step.state is State.SUPERSEDED
    assert f"{name} was left alone: a newer event is rolled out already: 9999999999999" in step.reason
    assert cluster.state["applied"] == []
    [container] = cluster.deployment(name)["spec"]["template"]["spec"]["containers"]
    assert f"models:/{name}/2" in container["command"]


def test_an_older_rollout_that_comes_over_a_newer_one_meanwhile_is_gone_over_again(
    relay: Relay, cluster: Cluster, model: str
) -> None:
    cluster.set(interference={"relay-event-time": "1", "relay-marker": "of an older event"})
    assert followed(f"aks-{model}").ref == f"aks-{model}"
    assert len([each for each in cluster.state["applied"] if each["kind"] == "Deployment"]) == 2
    assert len(marks_of(cluster, f"aks-{model}")["relay-event-time"]) == 13


def test_a_newer_rollout_that_comes_meanwhile_is_left_alone(relay: Relay, cluster: Cluster, model: str) -> None:
    cluster.set(interference={"relay-event-time": "9999999999999"})
    with pytest.raises(Superseded, match="a newer event is rolled out already"):
        followed(f"aks-{model}")
    assert marks_of(cluster, f"aks-{model}")["relay-event-time"] == "9999999999999"


def test_an_annotation_that_is_no_number_stops_the_rollout_and_runs_nothing(
    relay: Relay, cluster: Cluster, model: str
) -> None:
    cluster.set(interference={"relay-event-time": "$(id)0"})
    with pytest.raises(PermanentFailure, match=re.escape("is no number: $(id)0")):
        followed(f"aks-{model}")


def test_a_cluster_that_is_not_there_ends_the_step_with_azures_words(relay: Relay, model: str) -> None:
    relay.system.arm.faults.add("POST", RUN, status=404, body={"error": {"code": "ResourceNotFound", "message": "no"}})
    step = rolled_out(relay, f"aks-{model}")
    assert (step.state, step.reason) == (State.DEAD, "Azure answered 404: ResourceNotFound: no")
    relay.system.arm.faults.clear()


MISTAKES = [
    ({"subscription": "x"}, "`subscription` is an id"),
    ({"resource_group": "a/b"}, "`resource_group` is no name"),
    ({"cluster": "a/b"}, "`cluster` is no name"),
    ({"name": "Wine_quality"}, "`name` may hold lower-case"),
    ({"name": "a;b"}, "`name` may hold lower-case"),
    ({"name": "-a"}, "`name` may hold lower-case"),
    ({"namespace": "a b"}, "`namespace` may hold lower-case"),
    ({"env_secret_name": "A"}, "`env_secret_name` may hold"),
    ({"image": ""}, "give a `manifest`, or the `image`"),
    ({"manifest": [{}]}, "not both"),
    ({"image": "", "manifest": "/etc/passwd"}, "is no YAML or JSON file of this package"),
    ({"image": "", "manifest": "../x.yaml"}, "is no YAML or JSON file of this package"),
    ({"image": "", "manifest": "shared/rest.py"}, "is no YAML or JSON file of this package"),
    ({"image": "", "manifest": "{model}.yaml"}, "is no YAML or JSON file of this package"),
    ({"replicas": 0}, ">= 1"),
]


@pytest.mark.parametrize(("change", "reason"), MISTAKES)
def test_what_no_cluster_would_take_is_told_when_the_file_is_read(change: dict[str, Any], reason: str) -> None:
    assert msgspec.convert(GOOD, type=Options).name == "n"
    with pytest.raises(msgspec.ValidationError, match=re.escape(reason)):
        msgspec.convert({**GOOD, **change}, type=Options)


DEPLOYMENT: dict[str, Any] = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "n"}}
UNFIT: list[tuple[list[Any], str]] = [
    ([], "no Deployment called 'n'"),
    ([{**DEPLOYMENT, "metadata": {"name": "m"}}], "no Deployment called 'n'"),
    ([{**DEPLOYMENT, "kind": "DaemonSet"}], "no Deployment called 'n'"),
    ([DEPLOYMENT, {"kind": "Service"}], "each object of a manifest has"),
    ([DEPLOYMENT, "text"], "each object of a manifest has"),
    ([{**DEPLOYMENT, "metadata": {"name": "n", "namespace": "kube-system"}}], "reaches into namespace 'kube-system'"),
]


@pytest.mark.parametrize(("objects", "reason"), UNFIT)
def test_a_manifest_without_its_deployment_or_with_another_namespace_is_refused(
    objects: list[Any], reason: str
) -> None:
    with pytest.raises(PermanentFailure, match=re.escape(reason)):
        aks_manifest.check(objects, "n", "default")


def test_a_manifest_file_is_filled_with_values_that_stay_values(relay: Relay, cluster: Cluster, model: str) -> None:
    assert rolled_out(relay, f"file-aks-{model}: no", "3").state is State.SUCCEEDED
    [container] = cluster.deployment("fixed-name")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example.com/wine:3"
    assert cluster.state["objects"]["default/ConfigMap/settings"]["data"] == {"of": f"file-aks-{model}: no"}


def test_a_manifest_file_with_a_placeholder_that_has_no_value_is_refused() -> None:
    with pytest.raises(PermanentFailure, match="a placeholder 'version' that `values` does not give"):
        aks_manifest.read("tests/handlers/targets/aks_manifest.yaml", {})


@pytest.mark.parametrize("event_time", ["", "soon", "1.5", "$(id)", "9" * 17])
def test_a_time_that_is_none_starts_nothing(event_time: str) -> None:
    options = Options(**{**GOOD, "event_time": event_time})
    with pytest.raises(PermanentFailure, match="`event_time` has to be a time"):
        aks_rollout.connect(options, Access(_no_secret, _no_registry))
