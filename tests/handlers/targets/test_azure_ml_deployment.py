"""Rollouts on Azure ML: put by name and looked for first, blue and green, and never back behind a newer event.

Some go through the front door; the others call the target as a worker does, look after look, against the stand-in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from handlers.azure_ml import bodies
from handlers.azure_ml.options import Options
from handlers.targets import azure_ml_deployment as target
from handlers.targets import rules_of_targets
from local.azure_ml import AzureML
from local.azure_ml_model import Deployment, Endpoint, Workspace
from local.azure_resource_manager import error_body
from shared import newest, storage
from shared.attempts import LOOKS_AGAIN, Access, Answer, Attempt, Succeeded, Waiting
from shared.errors import AmbiguousFailure, ClaimLost, PermanentFailure, RoutesError, Superseded, TransientFailure
from shared.markers import RELAY
from shared.routes_file import parse_routes
from shared.routes_rules import Rules
from shared.steps import State
from tests.conftest import Relay, until

NAME = "azure_ml_deployment"
PLACE = {"subscription": "00000000-1111-2222-3333-444444444444", "resource_group": "models", "workspace": "quality"}
WINE = {**PLACE, "endpoint": "wine", "model": "azureml:wine:1", "instance_type": "Standard_DS3_v2"}
TOLD = {"version": "1", "source": "wine-dev", "source_model": "wine"}
PUT_DEPLOYMENT = r"/deployments/\w+$"
STUDIO = "https://ml.azure.com/endpoints/realtime/"


class Rollout:
    """One step, as its worker drives it: `progress` is what its row in the ledger keeps."""

    def __init__(self, marker: str = "a", event_time: int = 1000, *, step: str = "wine.deploy", **options: Any) -> None:
        merged = {**WINE, **TOLD, "event": marker * 64, "event_time": str(event_time), **options}
        self.options = msgspec.convert(merged, Options)
        self.marker, self.progress = marker * 32, dict[str, Any]()
        self.step = f"{marker * 64}/{step}"
        self.saved: Callable[[], None] = lambda: None

    def attempt(self) -> Attempt:
        def save(progress: dict[str, Any]) -> None:
            self.saved()
            self.progress = {**self.progress, **progress}

        def nothing(name: str) -> Any:
            raise AssertionError(name)

        connection, now = target.connect(self.options, Access(nothing, nothing)), datetime.now(UTC)
        return Attempt(
            options=self.options,
            connection=connection,
            key="k" * 64,
            step=self.step,
            marker=self.marker,
            progress=dict(self.progress),
            started=now,
            save=save,
        )

    def noted(self, answer: Answer) -> Answer:
        if isinstance(answer, Waiting):
            self.progress = msgspec.json.decode(msgspec.json.encode({**self.progress, **answer.progress}))
        return answer

    def start(self) -> Answer:
        return self.noted(target.start(self.attempt()))

    def check(self) -> Answer:
        return self.noted(target.check(self.attempt()))

    def probe(self) -> Answer | None:
        answer = target.probe(self.attempt())
        return answer and self.noted(answer)

    def finish(self, answer: Answer | None = None) -> Succeeded:
        answer = answer or self.start()
        for _ in range(20):
            if isinstance(answer, Succeeded):
                return answer
            answer = self.check()
        raise AssertionError(f"it does not end: {answer}")

    def under_way(self, outcome: str) -> Waiting:
        """Look until the rollout waits for this."""
        answer = self.start()
        for _ in range(20):
            if isinstance(answer, Waiting) and outcome in answer.outcome:
                return answer
            answer = self.check()
        raise AssertionError(f"it never waits for that: {answer}")


@pytest.fixture
def ml(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> Iterator[AzureML]:
    """The stand-in with a fresh workspace, in which operations take no time."""
    ml = relay.system.ml
    monkeypatch.setattr(ml, "seconds", 0.0)
    ml.workspaces.clear()
    ml.starts.clear()
    for mark in storage.rows(RELAY, "PartitionKey eq @newest", {"newest": "newest"}):
        storage.table(RELAY).delete_entity(mark["PartitionKey"], mark["RowKey"])
    yield ml
    ml.failures.clear()
    ml.arm.faults.clear()


@pytest.fixture
def workspace(ml: AzureML) -> Workspace:
    found = ml.add_workspace(PLACE["subscription"], PLACE["resource_group"], PLACE["workspace"])
    for version in ("1", "2"):
        found.add_model("wine", version)
    return found


def endpoint(workspace: Workspace, name: str = "wine") -> Endpoint:
    return workspace.endpoints[name]


def deployment(workspace: Workspace, name: str) -> Deployment:
    return endpoint(workspace).deployments[name]


def puts(ml: AzureML, path: str) -> int:
    return len(ml.arm.faults.calls("PUT", path))


def overtaken(work: Callable[[], object]) -> Superseded:
    with pytest.raises(Superseded) as caught:
        work()
    return caught.value


def failed(work: Callable[[], object]) -> PermanentFailure:
    with pytest.raises(PermanentFailure) as caught:
        work()
    return caught.value


# through the front door


def test_a_first_version_is_registered_deployed_served_and_scored(
    relay: Relay, ml: AzureML, workspace: Workspace, model: str
) -> None:
    name = f"aml-wine-{model}"
    steps = relay.ended(relay.stage_change(name, "1")).steps
    assert [step.state for step in steps.values()] == [State.SUCCEEDED, State.SUCCEEDED], steps
    step, score = steps[f"aml-roll-out.{NAME}"], steps["aml-roll-out.azure_ml_score"]
    wine = endpoint(workspace, "aml-wine")
    assert (step.ref, wine.traffic, list(wine.deployments)) == ("blue", {"blue": 100}, ["blue"])
    assert step.link == f"{STUDIO}aml-wine/detail?wsid={workspace.id}"
    assert wine.scoring_uri in step.outcome
    registered = workspace.models[name, "1"]["properties"]
    assert registered["modelUri"] == f"azureml://jobs/wine/outputs/{name}"
    assert registered["tags"]["relay-source"] == "wine-dev"
    tags = wine.deployments["blue"].tags
    assert (tags["relay-model"], tags["relay-version"], tags["relay-event"]) == (name, "1", step.event_id)
    assert (score.ref, "answered in" in score.outcome) == ("blue", True)
    assert len(ml.starts) == 1


def test_a_second_version_goes_green_and_replies_that_were_lost_on_the_way_begin_nothing_twice(
    relay: Relay, ml: AzureML, workspace: Workspace, model: str
) -> None:
    Rollout(endpoint="aml-wine", deployment="auto", traffic=100).finish()
    ml.arm.faults.add("PUT", "/onlineEndpoints/aml-wine$", before=False, drop=True)
    ml.arm.faults.add("PUT", PUT_DEPLOYMENT, before=False, drop=True)
    step = relay.ended(relay.stage_change(f"aml-wine-{model}", "2")).steps[f"aml-roll-out.{NAME}"]
    assert (step.state, step.ref) == (State.SUCCEEDED, "green")
    assert State.IN_DOUBT in {moment.state for moment in step.history}
    wine = endpoint(workspace, "aml-wine")
    assert wine.traffic == {"blue": 0, "green": 100}
    assert wine.deployments["green"].body["properties"]["model"].endswith(f"/aml-wine-{model}/versions/2")
    assert [start.deployment for start in ml.starts] == ["blue", "green"]


def test_a_busy_endpoint_is_waited_for_and_a_failed_deployment_ends_the_step_with_the_services_words(
    relay: Relay, ml: AzureML, workspace: Workspace, model: str
) -> None:
    workspace.add_compute("cluster", namespace="models")
    conflict = error_body("Conflict", "Another operation is in progress.")
    ml.arm.faults.add("PUT", PUT_DEPLOYMENT, times=None, status=409, body=conflict)
    event = relay.stage_change(f"aml-aks-{model}")

    def outcome() -> str:
        story = relay.story(event)
        return story.steps[f"aml-on-kubernetes.{NAME}"].outcome if story and story.steps else ""

    until(lambda: "busy with another operation (Conflict: Another operation is in progress.)" in outcome())
    ml.failures["deployment"] = ("OutOfQuota", "Not enough memory in namespace models.")
    ml.arm.faults.clear()
    step = relay.ended(event).steps[f"aml-on-kubernetes.{NAME}"]
    assert (step.state, step.attempts, len(ml.starts)) == (State.DEAD, 1, 1)
    assert step.reason == "deployment of aml-aks has failed: OutOfQuota: Not enough memory in namespace models."
    assert step.link == f"{STUDIO}aml-aks/detail?wsid={workspace.id}"
    [told] = [message.text for message in relay.system.chat.messages if model in message.text]
    assert told == f"aml-aks-{model} failed: {step.reason} {step.link}"


def test_a_hostile_model_name_ends_the_step_with_its_reason(
    relay: Relay, ml: AzureML, workspace: Workspace, model: str
) -> None:
    hostile = f"aml-wine-{model}/../../onlineEndpoints/others"
    step = relay.ended(relay.stage_change(hostile)).steps[f"aml-roll-out.{NAME}"]
    assert (step.state, step.attempts) == (State.DEAD, 0)
    assert "holds '..' where it may not stand" in step.reason
    assert not workspace.models.keys() - {("wine", "1"), ("wine", "2")}
    assert not workspace.endpoints


def test_a_deployment_of_an_older_event_that_comes_after_the_newer_has_ended_is_put_right(
    relay: Relay, ml: AzureML, workspace: Workspace, model: str
) -> None:
    workspace.add_compute("cluster", namespace="models")
    step = f"aml-on-kubernetes.{NAME}"
    fault = ml.arm.faults.add("PUT", PUT_DEPLOYMENT, slow=6)
    older = relay.stage_change(f"aml-aks-{model}", "1")
    until(lambda: fault.times == 0)
    late = ml.arm.faults.calls("PUT", PUT_DEPLOYMENT)[-1]
    newer = relay.stage_change(f"aml-aks-{model}", "2")
    assert relay.ended(newer).steps[step].state is State.SUCCEEDED
    assert not late.committed

    given_way = relay.ended(older).steps[step]
    assert (given_way.state, given_way.attempts) == (State.SUPERSEDED, 1)
    assert given_way.reason.startswith(f"endpoint aml-aks has taken a newer event, {newer} of ")
    until(lambda: relay.ended(newer).steps[step].reopened)
    looked = relay.ended(newer).steps[step]
    assert looked.state is State.SUCCEEDED
    [why] = [moment.note for moment in looked.history if moment.note.startswith("looks again")]
    assert why == f"looks again: step {step} of event {older}, which is older, may have acted after it"
    served = workspace.endpoints["aml-aks"].deployments["blue"]
    assert served.body["properties"]["model"].endswith("/wine/versions/2")
    assert len({start.marker for start in ml.starts}) == 2
    assert len(ml.starts) == 3, "the newer one's, the older one's that was late, and the newer one's again"
    assert not [message for message in relay.system.chat.messages if model in message.text]


# look after look


def test_a_first_deployment_gets_its_sku_its_settings_and_the_workspaces_location(workspace: Workspace) -> None:
    settings = {"requestTimeout": "PT30S", "maxConcurrentRequestsPerInstance": 2}
    rollout = Rollout(
        instance_count=3, request_settings=settings, environment="azureml:sklearn:4", auth_mode="AMLToken"
    )
    assert rollout.finish().ref == "blue"
    body = deployment(workspace, "blue").body
    assert (body["location"], body["sku"]) == ("westeurope", {"name": "Default", "capacity": 3})
    assert body["properties"]["requestSettings"] == settings
    assert body["properties"]["environmentId"] == f"{workspace.id}/environments/sklearn/versions/4"
    assert (endpoint(workspace).auth_mode, endpoint(workspace).traffic) == ("AMLToken", {})


def test_a_model_that_is_no_mlflow_model_brings_its_code(workspace: Workspace) -> None:
    code = {"id": "azureml:scoring:2", "scoring_script": "score.py"}
    Rollout(code=code, environment_variables={"LEVEL": "1"}).finish()
    sent = deployment(workspace, "blue").body["properties"]
    assert sent["codeConfiguration"] == {
        "codeId": f"{workspace.id}/codes/scoring/versions/2",
        "scoringScript": "score.py",
    }
    assert sent["environmentVariables"] == {"LEVEL": "1"}


def test_a_kubernetes_endpoint_is_on_its_attached_compute(workspace: Workspace) -> None:
    cluster = workspace.add_compute("cluster", namespace="models")
    kubernetes: dict[str, Any] = {
        "compute_type": "Kubernetes",
        "compute": "cluster",
        "namespace": "models",
        "instance_type": "small",
    }
    Rollout(**kubernetes).finish()
    assert endpoint(workspace).compute == cluster
    assert deployment(workspace, "blue").body["properties"]["endpointComputeType"] == "Kubernetes"
    workspace.add_compute("other")
    wrong = {**kubernetes, "compute": "other", "namespace": ""}
    assert f"endpoint wine is on another compute: {cluster}" in failed(Rollout("b", 2000, **wrong).start).reason


def test_a_compute_that_is_not_as_the_file_says_ends_the_step(workspace: Workspace) -> None:
    kubernetes: dict[str, Any] = {"compute_type": "Kubernetes", "compute": "cluster", "namespace": "models"}
    assert "no compute cluster is attached" in failed(Rollout(**kubernetes).start).reason
    workspace.add_compute("cluster", namespace="default")
    assert "attached to namespace default, not models" in failed(Rollout(**kubernetes).start).reason
    assert not workspace.endpoints


def test_the_same_rollout_again_finds_everything_and_begins_nothing(ml: AzureML, workspace: Workspace) -> None:
    first = Rollout(deployment="auto", traffic=100).finish()
    before = puts(ml, "onlineEndpoints")
    assert Rollout(deployment="auto", traffic=100).start() == first
    assert puts(ml, "onlineEndpoints") == before


def test_an_older_event_is_superseded_and_nothing_is_changed(ml: AzureML, workspace: Workspace) -> None:
    Rollout(event_time=1_700_000_002_000).finish()
    before = puts(ml, "onlineEndpoints")
    gone = overtaken(Rollout("b", 1_700_000_001_000, model="azureml:wine:2").start)
    newer = f"{'a' * 64} of 2023-11-14T22:13:22.000+00:00"
    assert (gone.reason, gone.look_again) == (f"endpoint wine has taken a newer event, {newer}", ())
    assert puts(ml, "onlineEndpoints") == before


def test_of_two_events_of_the_same_moment_one_alone_is_the_newer(ml: AzureML, workspace: Workspace) -> None:
    Rollout("b", 1000).finish()
    before = puts(ml, "onlineEndpoints")
    assert "has taken a newer event" in overtaken(Rollout("a", 1000, model="azureml:wine:2").start).reason
    assert puts(ml, "onlineEndpoints") == before
    Rollout("c", 1000, model="azureml:wine:2").finish()
    assert deployment(workspace, "blue").body["properties"]["model"].endswith("/wine/versions/2")


def test_a_rollout_that_is_overtaken_shifts_no_traffic_and_has_the_newer_one_look_again(workspace: Workspace) -> None:
    older = Rollout(deployment="auto", traffic=100)
    older.under_way("deployment of wine is under way")
    Rollout("b", 2000, deployment="auto", traffic=100, model="azureml:wine:2").finish()
    gone = overtaken(older.check)
    assert gone.look_again == (f"{'b' * 64}/wine.deploy",)
    [(name, _)] = endpoint(workspace).traffic.items()
    assert deployment(workspace, name).body["properties"]["model"].endswith("/wine/versions/2")


def test_what_an_overtaken_rollout_has_begun_unheard_is_waited_for_before_the_newer_one_looks_again(
    ml: AzureML, workspace: Workspace
) -> None:
    older = Rollout()
    older.under_way("endpoint of wine is under way")
    ml.arm.faults.add("PUT", PUT_DEPLOYMENT, status=503)
    with pytest.raises(AmbiguousFailure):
        older.check()
    Rollout("b", 2000, model="azureml:wine:2").finish()
    older.progress["begun_at"] = time.time() + 60
    for look in (older.probe, older.check, older.start):
        answer = look()
        assert isinstance(answer, Waiting)
        assert answer.outcome.endswith("; what was begun before may still come")
    older.progress["begun_at"] -= 120
    assert overtaken(older.probe).look_again == (f"{'b' * 64}/wine.deploy",)


def test_a_rollout_that_is_overtaken_right_before_it_puts_something_puts_nothing(
    ml: AzureML, workspace: Workspace
) -> None:
    Rollout("c", 1).finish()
    before = len(ml.starts)
    older = Rollout("a", 1000, model="azureml:wine:2")
    fault = ml.arm.faults.add("GET", "/deployments/blue$", slow=1)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(older.start)
        until(lambda: fault.times == 0)
        newest.take(f"{workspace.id}/onlineEndpoints/wine".lower(), 2000, "b/wine.deploy", decides=False)
        assert "has taken a newer event" in overtaken(slow.result).reason
    assert len(ml.starts) == before


def test_a_rollout_that_is_overtaken_as_it_puts_something_has_the_newer_one_look_again_at_once(
    ml: AzureML, workspace: Workspace
) -> None:
    Rollout("c", 1).finish()
    fault = ml.arm.faults.add("PUT", PUT_DEPLOYMENT, slow=1)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(Rollout("a", 1000, model="azureml:wine:2").start)
        until(lambda: fault.times == 0)
        newest.take(f"{workspace.id}/onlineEndpoints/wine".lower(), 2000, "b/wine.deploy", decides=False)
        assert overtaken(slow.result).look_again == ("b/wine.deploy",)


def test_who_looks_again_puts_its_deployment_again_and_leaves_the_traffic_to_the_last_step_of_its_event(
    ml: AzureML, workspace: Workspace
) -> None:
    Rollout("a", 1, deployment="blue", traffic=100).finish()
    canary: dict[str, Any] = {"deployment": "green", "model": "azureml:wine:2"}
    tenth, whole = Rollout("b", 2, traffic=10, **canary), Rollout("b", 2, step="wine.all", traffic=100, **canary)
    tenth.finish()
    whole.finish()
    late = bodies.new_deployment(Rollout("a", 1).attempt(), "/models/wine/versions/1", "westeurope")
    deployment(workspace, "green").body.update(late)
    for step in (tenth, whole):
        step.progress[LOOKS_AGAIN] = True
        step.finish()
    assert deployment(workspace, "green").body["properties"]["model"].endswith("/wine/versions/2")
    assert endpoint(workspace).traffic == {"blue": 0, "green": 100}
    endpoint(workspace).traffic = {"blue": 100}
    tenth.finish()
    assert endpoint(workspace).traffic == {"blue": 100}
    whole.finish()
    assert endpoint(workspace).traffic == {"blue": 0, "green": 100}


def test_traffic_is_given_by_percent_and_the_others_keep_their_proportions(workspace: Workspace) -> None:
    Rollout("a", 1, deployment="v1", traffic=100).finish()
    Rollout("b", 2, deployment="v2", traffic=50).finish()
    assert endpoint(workspace).traffic == {"v1": 50, "v2": 50}
    Rollout("c", 3, deployment="v3", traffic=33).finish()
    assert endpoint(workspace).traffic == {"v1": 34, "v2": 33, "v3": 33}
    assert sorted(endpoint(workspace).deployments) == ["v1", "v2", "v3"]


def test_traffic_alone_is_shifted_to_a_deployment_that_is_there(ml: AzureML, workspace: Workspace) -> None:
    Rollout("a", 1, deployment="blue", traffic=100).finish()
    Rollout("b", 2, deployment="green", traffic=0).finish()
    assert endpoint(workspace).traffic == {"blue": 100}
    shift: dict[str, Any] = {"model": "", "instance_type": "", "traffic": 100}
    Rollout("c", 3, deployment="green", **shift).finish()
    assert endpoint(workspace).traffic == {"blue": 0, "green": 100}
    assert len(ml.starts) == 2
    assert "there is no deployment grey" in failed(lambda: Rollout("d", 4, deployment="grey", **shift).finish()).reason


def test_the_previous_deployment_is_deleted_after_the_shift_if_the_route_says_so(workspace: Workspace) -> None:
    options: dict[str, Any] = {"deployment": "auto", "traffic": 100, "keep_previous": False}
    Rollout("a", 1, **options).finish()
    Rollout("b", 2, **options).finish()
    assert list(endpoint(workspace).deployments) == ["green"]
    assert endpoint(workspace).traffic == {"green": 100}


def test_a_previous_deployment_of_a_person_stays(workspace: Workspace) -> None:
    Rollout("a", 1, deployment="mine", traffic=100).finish()
    del deployment(workspace, "mine").body["tags"]["relay-marker"]
    Rollout("b", 2, deployment="yours", traffic=100, keep_previous=False).finish()
    assert sorted(endpoint(workspace).deployments) == ["mine", "yours"]


def test_traffic_that_the_endpoint_shows_late_is_waited_for_and_put_once(ml: AzureML, workspace: Workspace) -> None:
    rollout = Rollout(traffic=100)
    rollout.under_way("traffic of wine is under way")
    ml.arm.settle()
    endpoint(workspace).traffic = {}
    answer = rollout.check()
    assert isinstance(answer, Waiting)
    assert answer.outcome == "endpoint wine does not show its new traffic yet"
    endpoint(workspace).traffic = {"blue": 100}
    before = puts(ml, "onlineEndpoints/wine$")
    rollout.finish(rollout.check())
    assert puts(ml, "onlineEndpoints/wine$") == before


def test_a_mirrored_deployment_gets_live_traffic_in_the_place_of_the_mirrored(workspace: Workspace) -> None:
    Rollout("a", 1, deployment="blue", traffic=100).finish()
    Rollout("b", 2, deployment="green").finish()
    endpoint(workspace).body["properties"]["mirrorTraffic"] = {"green": 10}
    Rollout("b", 2, deployment="green", traffic=100).finish()
    assert endpoint(workspace).body["properties"]["mirrorTraffic"] == {}


def test_an_endpoints_own_identity_tags_and_settings_survive(workspace: Workspace) -> None:
    Rollout("a", 1).finish()
    body, user = endpoint(workspace).body, "/subscriptions/s/userAssignedIdentities/u"
    body["identity"] = {
        "type": "UserAssigned",
        "principalId": "p",
        "userAssignedIdentities": {user: {"clientId": "c"}},
    }
    body["tags"]["team"] = "wine"
    body["properties"]["publicNetworkAccess"] = "Disabled"
    Rollout("b", 2, traffic=100).finish()
    body = endpoint(workspace).body
    assert body["identity"] == {"type": "UserAssigned", "userAssignedIdentities": {user: {}}}
    assert (body["tags"]["team"], body["tags"]["relay-event-time"]) == ("wine", "2")
    assert body["properties"]["publicNetworkAccess"] == "Disabled"
    assert "scoringUri" not in body["properties"]


def test_an_operation_under_way_is_waited_for_and_nothing_is_put_meanwhile(
    ml: AzureML, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ml, "seconds", 600.0)
    rollout = Rollout()
    rollout.start()
    before = puts(ml, "onlineEndpoints")
    ml.arm.faults.add("GET", "operationsStatus", before=False, headers={"Retry-After": "7"})
    answer = rollout.check()
    assert isinstance(answer, Waiting)
    assert (answer.outcome, answer.check_in) == ("endpoint of wine is under way", 7)
    assert puts(ml, "onlineEndpoints") == before


def test_an_operation_that_azure_has_forgotten_is_seen_at_the_resource(ml: AzureML, workspace: Workspace) -> None:
    rollout = Rollout()
    rollout.under_way("deployment of wine is under way")
    ml.arm.settle()
    ml.arm.operations.clear()
    assert rollout.finish(rollout.check()).ref == "blue"


def test_a_rollout_that_takes_longer_than_the_route_waits_ends(
    ml: AzureML, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ml, "seconds", 600.0)
    rollout = Rollout(wait_minutes=1)
    rollout.start()
    rollout.progress["since"] = time.time() - 61
    failure = failed(rollout.check)
    assert (failure.reason, failure.link[:20]) == ("endpoint of wine is under way, still after 1 minutes", STUDIO[:20])


def test_a_deployment_that_somebody_else_replaced_is_not_fought_over(workspace: Workspace) -> None:
    rollout = Rollout()
    rollout.under_way("deployment of wine is under way")
    deployment(workspace, "blue").body["tags"]["relay-marker"] = "somebody"
    rollout.progress["begun_at"] -= 60
    assert failed(rollout.check).reason == "deployment blue was replaced by somebody else meanwhile"


def test_a_deployment_that_a_replica_does_not_show_yet_is_waited_for(workspace: Workspace) -> None:
    rollout = Rollout()
    rollout.under_way("deployment of wine is under way")
    late = endpoint(workspace).deployments.pop("blue")
    rollout.progress["begun_at"] = time.time() + 60
    answer = rollout.check()
    assert isinstance(answer, Waiting)
    assert answer.outcome == "deployment blue is not shown yet as it was put"
    endpoint(workspace).deployments["blue"] = late
    assert rollout.finish().ref == "blue"


def test_a_deployment_of_an_older_event_that_comes_late_is_put_over_again(workspace: Workspace) -> None:
    newer = Rollout("b", 2000, model="azureml:wine:2")
    newer.under_way("deployment of wine is under way")
    older = Rollout("a", 1000)
    late = bodies.new_deployment(older.attempt(), "/models/wine/versions/1", "westeurope")
    deployment(workspace, "blue").body.update(late)
    newer.progress["begun_at"] -= 60
    assert newer.finish(newer.check()).ref == "blue"
    assert deployment(workspace, "blue").body["properties"]["model"].endswith("/wine/versions/2")


def test_a_failed_deployment_is_put_once_more_when_the_step_is_replayed(ml: AzureML, workspace: Workspace) -> None:
    ml.failures["deployment"] = ("ImageBuildFailure", "conda failed")
    rollout = Rollout()
    assert "ImageBuildFailure: conda failed" in failed(rollout.finish).reason
    assert rollout.probe() is None
    assert rollout.finish().ref == "blue"
    assert len(ml.starts) == 2


def test_a_failed_change_is_told_with_the_services_words_though_its_reply_was_lost(
    ml: AzureML, workspace: Workspace
) -> None:
    Rollout().finish()
    ml.failures["deployment"] = ("OutOfCapacity", "none left")
    ml.arm.faults.add("PUT", PUT_DEPLOYMENT, status=409, body=error_body("Conflict", "busy"))
    ml.arm.faults.add("PUT", PUT_DEPLOYMENT, before=False, drop=True)
    rollout = Rollout("b", 2000, model="azureml:wine:2")
    rollout.start()
    with pytest.raises(AmbiguousFailure):
        rollout.check()
    assert failed(rollout.check).reason == "deployment blue has failed: OutOfCapacity: none left"
    assert len(ml.starts) == 2


def test_what_never_arrived_is_put_again_once_a_settle_time_is_over(ml: AzureML, workspace: Workspace) -> None:
    ml.arm.faults.add("PUT", PUT_DEPLOYMENT, status=503)
    rollout = Rollout()
    rollout.start()
    with pytest.raises(AmbiguousFailure):
        rollout.check()
    rollout.progress["begun_at"] += 60
    answer = rollout.check()
    assert isinstance(answer, Waiting)
    assert answer.outcome == "whether deployment of wine was begun is not known yet"
    assert not ml.starts
    rollout.progress["begun_at"] -= 120
    assert rollout.finish(rollout.check()).ref == "blue"
    assert len(ml.starts) == 1


def test_a_worker_that_lost_its_claim_puts_nothing(ml: AzureML, workspace: Workspace) -> None:
    rollout = Rollout()

    def lost() -> None:
        raise ClaimLost("somebody else was first")

    rollout.saved = lost
    with pytest.raises(ClaimLost):
        rollout.start()
    assert not workspace.endpoints


def test_a_registered_version_is_taken_again_and_one_of_another_path_is_not(ml: AzureML, workspace: Workspace) -> None:
    register = {"name": "vine", "path": "azureml://jobs/1/outputs/model"}
    Rollout("a", 1, model="", register=register).finish()
    Rollout("b", 2, model="", register=register).finish()
    assert puts(ml, "/models/vine/versions/1$") >= 1
    assert workspace.models["vine", "1"]["properties"]["tags"]["relay-marker"] == "a" * 32
    other = {**register, "path": "azureml://jobs/2/outputs/model"}
    reason = failed(Rollout("c", 3, model="", register=other).start).reason
    assert "models/vine/versions/1 is registered already, from another path" in reason


def test_a_version_that_somebody_else_registers_meanwhile_is_looked_for_again(
    ml: AzureML, workspace: Workspace
) -> None:
    rollout = Rollout(model="", register={"name": "vine", "path": "azureml://jobs/1/outputs/model"})
    conflict = error_body("Conflict", "It is being made.")
    ml.arm.faults.add("PUT", "/models/vine/versions/1$", before=False, status=409, body=conflict)
    with pytest.raises(TransientFailure, match="could not be registered: Conflict: It is being made"):
        rollout.start()
    assert rollout.finish().ref == "blue"


@pytest.mark.parametrize("field", ["version", "register", "model", "deployment"])
@pytest.mark.parametrize("value", ["1/../9", "a:b", "a..b", "$(x)"])
def test_no_value_leads_to_another_path(field: str, value: str) -> None:
    with pytest.raises(PermanentFailure, match="where it may not stand"):
        target.TEMPLATED[field](value)


def test_what_is_not_there_and_not_to_be_made_ends_the_step(workspace: Workspace) -> None:
    reason = failed(Rollout(create_endpoint=False).start).reason
    assert reason == "there is no endpoint wine in workspace quality"
    assert "there is no workspace nowhere in models" in failed(Rollout(workspace="nowhere").start).reason
    assert "ModelNotFound" in failed(lambda: Rollout(model="azureml:wine:9").finish()).reason


ROUTES = """
sources: {{wine-dev: {{kind: databricks, secret: wine-dev-webhook}}}}
routes:
  - name: wine
    when: {{event: model_version.stage_changed}}
    steps:
      - azure_ml_deployment: {{resource_group: models, workspace: quality, endpoint: wine, {options}}}
"""
SUBSCRIPTION = f"subscription: {PLACE['subscription']}"
MODEL = 'model: "azureml:wine:{version}"'
MANAGED = f"{SUBSCRIPTION}, {MODEL}, instance_type: small"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (f"{SUBSCRIPTION}, {MODEL}", "a managed deployment needs an `instance_type`"),
        (f"{MANAGED}, register: {{name: wine, path: 'azureml://x'}}", "give `model` or `register`, not both"),
        (SUBSCRIPTION, "give `model` or `register`, or `traffic` to shift to a deployment"),
        (f"{SUBSCRIPTION}, deployment: auto, traffic: 100", "say to which `deployment` the traffic is to be shifted"),
        (f"subscription: mine, {MODEL}, instance_type: small", "`subscription` is an id of 36 characters"),
        (f"{SUBSCRIPTION}, model: wine, instance_type: small", "`model` is `azureml:NAME:VERSION`, or an ARM or reg"),
        (f"{MANAGED}, compute_type: Kubernetes", "`compute_type: Kubernetes` needs `compute`, the attached compute"),
        (f"{MANAGED}, compute: cluster", "`compute` is for `compute_type: Kubernetes`"),
        (f"{MANAGED}, keep_previous: false, traffic: 50", "`keep_previous: false` needs `traffic: 100`"),
        (f"{MANAGED}, traffic: 101", "Expected `int` <= 100"),
        (f"{MANAGED}, deployment: a/b", "'a/b' is no name: letters, digits, `-` and `_`"),
        (
            f"{SUBSCRIPTION}, instance_type: small, register: {{name: wine, path: '{{model}}/x'}}",
            "`register.path` is a URI, its scheme and host without placeholders",
        ),
        (
            f"{SUBSCRIPTION}, instance_type: small, register: {{name: 'a.{{model}}', path: 'azureml:x'}}",
            "`register.name` may hold letters, digits, `-` and `_` only",
        ),
    ],
)
def test_options_that_azure_would_refuse_are_refused_at_load(options: str, sentence: str) -> None:
    text = ROUTES.format(options=options)
    with pytest.raises(RoutesError) as caught:
        parse_routes(text, "routes.yaml", Rules({"databricks": 60.0}, rules_of_targets()))
    [problem] = caught.value.problems
    assert problem.startswith("routes.yaml:7: routes[0].steps[0].azure_ml_deployment")
    assert sentence in problem


def test_good_options_are_taken_at_load() -> None:
    text = ROUTES.format(options=f"{MANAGED}, deployment: auto, traffic: 10")
    assert parse_routes(text, "routes.yaml", Rules({"databricks": 60.0}, rules_of_targets())).routes
