"""The door to the registries: the same questions and acts at a real MLflow server and at a Databricks workspace."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from local.system import System
from shared import registries, registries_databricks
from shared.errors import AmbiguousFailure, PermanentFailure, TransientFailure
from shared.registries import Registry, Version
from shared.registries_rest import headers
from tests.senders.mlflow_server import MlflowServer

PAT = "dapi-of-the-registries-tests"


@dataclass
class Place:
    """A registry with a model of one version, and the faults of the service that keeps it."""

    registry: Registry
    model: str
    run_id: str
    faults: Any


@pytest.fixture(params=["mlflow", "databricks"])
def place(request: pytest.FixtureRequest, system: System, model: str) -> Iterator[Place]:
    name = f"door-{model} (größe) & 'x'"
    if request.param == "databricks":
        databricks = system.databricks
        databricks.pats.add(PAT)
        databricks.runs_of_models[model] = {"accuracy": 0.91}
        databricks.add_version(name, run_id=model, tags={"a": "1"})
        place = Place(Registry("databricks", databricks.url, PAT), name, model, databricks.faults)
    else:
        server: MlflowServer = request.getfixturevalue("mlflow_server")
        run = server.call("runs/create", {"experiment_id": "0"})["run"]["info"]
        server.call("runs/log-metric", {"run_id": run["run_id"], "key": "accuracy", "value": 0.91, "timestamp": 1})
        server.call("registered-models/create", {"name": name})
        tags = [{"key": "a", "value": "1"}]
        version = {"name": name, "source": f"{run['artifact_uri']}/model", "run_id": run["run_id"], "tags": tags}
        server.call("model-versions/create", version)
        place = Place(Registry("mlflow", server.url), name, run["run_id"], server.faults)
    yield place
    place.faults.clear()


def version(place: Place) -> Version:
    return registries.existing(place.registry, place.model, "1")


def test_a_version_is_read_as_it_stands(place: Place) -> None:
    found = version(place)
    assert (found.model, found.version, found.stage, found.aliases) == (place.model, "1", "None", ())
    assert (found.tags, found.run_id) == ({"a": "1"}, place.run_id)
    assert "artifacts/model" in found.source


def test_what_is_not_there_is_none_and_needed_it_is_an_end(place: Place) -> None:
    assert registries.read_version(place.registry, place.model, "9") is None
    assert registries.read_version(place.registry, "no-such-model", "1") is None
    assert registries.read_alias(place.registry, "no-such-model", "champion") == ""
    assert registries.metrics(place.registry, "no-such-run") == {}
    with pytest.raises(PermanentFailure, match="the registry holds no version 9 of door-"):
        registries.existing(place.registry, place.model, "9")


def test_an_alias_goes_to_a_version(place: Place) -> None:
    assert registries.read_alias(place.registry, place.model, "champion") == ""
    registries.set_alias(place.registry, place.model, "1", "champion")
    assert registries.read_alias(place.registry, place.model, "champion") == "1"
    assert version(place).aliases == ("champion",)


def test_a_tag_is_set_and_deleted(place: Place) -> None:
    registries.set_tag(place.registry, place.model, "1", "b c/d", 'x="y"')
    assert version(place).tags == {"a": "1", "b c/d": 'x="y"'}
    for _ in "twice":
        registries.delete_tag(place.registry, place.model, "1", "b c/d")
    assert version(place).tags == {"a": "1"}


def test_a_version_goes_to_a_stage(place: Place) -> None:
    registries.transition(place.registry, place.model, "1", "Production", archive=True, comment="by the board")
    assert version(place).stage == "Production"
    with pytest.raises(PermanentFailure, match="RESOURCE_DOES_NOT_EXIST"):
        registries.transition(place.registry, place.model, "9", "Production", archive=False)
    with pytest.raises(PermanentFailure, match="Invalid Model Version stage: Live"):
        registries.transition(place.registry, place.model, "1", "Live", archive=False)


def test_the_metrics_of_a_run_are_read(place: Place) -> None:
    assert registries.metrics(place.registry, place.run_id) == {"accuracy": 0.91}
    assert registries.metrics(place.registry, "") == {}


def test_a_metric_that_is_no_number_is_read_as_such(mlflow_server: MlflowServer) -> None:
    run = mlflow_server.call("runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"]
    mlflow_server.call("runs/log-metric", {"run_id": run, "key": "undefined", "value": "NaN", "timestamp": 1})
    assert math.isnan(registries.metrics(Registry("mlflow", mlflow_server.url), run)["undefined"])


def test_requests_and_comments_are_those_of_a_workspace(place: Place) -> None:
    where = (place.registry, place.model, "1")
    if place.registry.kind == "mlflow":
        assert registries.open_requests(*where) == []
        with pytest.raises(PermanentFailure, match="only a Databricks workspace registry does"):
            registries_databricks.comment(*where, "hello")
        return
    registries_databricks.request_transition(*where, "Staging", "please")
    [wish] = registries.open_requests(*where)
    assert (wish.to_stage, wish.user, wish.comment) == ("Staging", "pat-owner@example.com", "please")
    registries_databricks.reject(*where, "Staging")
    assert registries.open_requests(*where) == []
    assert registries_databricks.comment(*where, "hello")


@pytest.mark.parametrize("body", [[], "text", {"model_version": []}, {}], ids=str)
def test_an_answer_of_another_form_is_asked_for_again(place: Place, body: Any) -> None:
    place.faults.add("GET", "/model-versions/get$", status=200, body=body)
    with pytest.raises(TransientFailure):
        version(place)


@pytest.mark.parametrize("answer", [{"status": 500}, {"drop": True}, {"status": 200, "body": []}], ids=str)
def test_an_act_whose_answer_is_lost_is_in_doubt(place: Place, answer: dict[str, Any]) -> None:
    place.faults.add("POST", "/model-versions/set-tag$", before=False, **answer)
    with pytest.raises(AmbiguousFailure):
        registries.set_tag(place.registry, place.model, "1", "b", "2")


def test_a_question_that_makes_no_sense_is_told_in_the_registrys_own_words(mlflow_server: MlflowServer) -> None:
    with pytest.raises(PermanentFailure, match="'version' must be an integer, got 'latest'"):
        registries.read_version(Registry("mlflow", mlflow_server.url), "wine", "latest")


def test_an_address_of_no_mlflow_server_is_told(mlflow_server: MlflowServer) -> None:
    with pytest.raises(PermanentFailure, match="is `tracking_uri` that of an MLflow server"):
        registries.read_version(Registry("mlflow", f"{mlflow_server.url}/elsewhere"), "wine", "1")


def test_a_wrong_token_ends_it_and_is_not_told(place: Place) -> None:
    if place.registry.kind == "mlflow":
        place.faults.add("GET", "/model-versions/get$", status=401)
    with pytest.raises(PermanentFailure, match="did not accept the credentials") as caught:
        registries.read_version(replace(place.registry, credential="dapi-wrong"), place.model, "1")
    assert "dapi-wrong" not in f"{caught.value} {replace(place.registry, credential='dapi-wrong')}"


@pytest.mark.parametrize(
    ("credential", "sent"),
    [
        ("", {}),
        ("a-token", {"Authorization": "Bearer a-token"}),
        ("relay:wörd", {"Authorization": "Basic cmVsYXk6d8O2cmQ="}),
    ],
)
def test_an_mlflow_server_is_shown_a_token_or_a_user_with_a_password(credential: str, sent: dict[str, str]) -> None:
    assert headers(Registry("mlflow", "https://mlflow.example.com", credential)) == sent


@pytest.mark.parametrize(
    ("kind", "page"), [("databricks", "/ml/models/a%2Fb%20c/versions/1"), ("mlflow", "/#/models/a%2Fb%20c/versions/1")]
)
def test_a_version_has_a_page(kind: str, page: str) -> None:
    assert registries.link(Registry(kind, "https://example.com"), "a/b c", "1") == f"https://example.com{page}"


@pytest.mark.parametrize("value", ["", "a\nb", "a\u202eb", "\t", "a\x00"])
def test_a_name_that_can_not_be_seen_names_nothing(value: str) -> None:
    with pytest.raises(PermanentFailure, match="names nothing"):
        registries.named(value)


def test_any_name_that_can_be_seen_is_let_through() -> None:
    assert registries.named("größe (v2) 'x' & $(y)") == "größe (v2) 'x' & $(y)"
