"""The stand-in for a workspace's model registry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from local.databricks import Databricks
from local.databricks_wire import APP_USER, DATABRICKS_AUDIENCE, PAT_USER
from local.identity import VAULT_AUDIENCE, Identity

MLFLOW = "/api/2.0/mlflow"
PAT = "dapi-of-a-test"


@pytest.fixture
def databricks() -> Iterator[Databricks]:
    with Identity() as identity, Databricks(identity) as workspace:
        workspace.pats.add(PAT)
        yield workspace


def call(databricks: Databricks, method: str, path: str, token: str = PAT, **fields: Any) -> requests.Response:
    headers, url = {"Authorization": f"Bearer {token}"}, f"{databricks.url}{MLFLOW}/{path}"
    if method == "GET":
        return requests.get(url, params=fields, headers=headers, timeout=5)
    return requests.request(method, url, json=fields, headers=headers, timeout=5)


def error_of(reply: requests.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["error_code"]


def test_a_model_and_its_versions_are_made_and_read(databricks: Databricks) -> None:
    made = call(databricks, "POST", "registered-models/create", name="wine", description="red")
    assert made.json()["registered_model"]["name"] == "wine"
    for number in ("1", "2"):
        tags = [{"key": "k", "value": number}]
        source = f"dbfs:/wine/{number}"
        reply = call(databricks, "POST", "model-versions/create", name="wine", source=source, run_id="r1", tags=tags)
        assert reply.json()["model_version"]["version"] == number
    read = call(databricks, "GET", "model-versions/get", name="wine", version="2").json()["model_version"]
    assert (read["current_stage"], read["status"], read["run_id"]) == ("None", "READY", "r1")
    assert (read["user_id"], read["tags"]) == (PAT_USER, [{"key": "k", "value": "2"}])
    uri = call(databricks, "GET", "model-versions/get-download-uri", name="wine", version="2").json()
    assert uri == {"artifact_uri": "dbfs:/wine/2"}
    found = call(databricks, "GET", "model-versions/search", filter="name='wine' and run_id='r1'").json()
    assert [version["version"] for version in found["model_versions"]] == ["2", "1"]
    [latest] = call(databricks, "GET", "registered-models/get", name="wine").json()["registered_model"][
        "latest_versions"
    ]
    assert latest["version"] == "2"


def test_what_is_not_there_or_makes_no_sense_is_refused_with_its_code(databricks: Databricks) -> None:
    databricks.add_version("wine")
    missing = (404, "RESOURCE_DOES_NOT_EXIST")
    assert error_of(call(databricks, "GET", "registered-models/get", name="beer")) == missing
    assert error_of(call(databricks, "GET", "model-versions/get", name="wine", version="9")) == missing
    assert error_of(call(databricks, "GET", "runs/get", run_id="r9")) == missing
    invalid = (400, "INVALID_PARAMETER_VALUE")
    assert error_of(call(databricks, "GET", "model-versions/get", name="wine")) == invalid
    assert error_of(call(databricks, "GET", "model-versions/search", filter="stage='x'")) == invalid
    exists = (400, "RESOURCE_ALREADY_EXISTS")
    assert error_of(call(databricks, "POST", "registered-models/create", name="wine")) == exists


def test_only_those_with_a_token_for_databricks_may_call(databricks: Databricks) -> None:
    databricks.add_version("wine")
    own = databricks.identity.issue(DATABRICKS_AUDIENCE)
    foreign = databricks.identity.issue(VAULT_AUDIENCE)
    assert call(databricks, "GET", "registered-models/get", own, name="wine").status_code == 200
    assert call(databricks, "GET", "registered-models/get", foreign, name="wine").status_code == 403
    nobody = requests.get(f"{databricks.url}{MLFLOW}/registered-models/get", params={"name": "wine"}, timeout=5)
    assert nobody.status_code == 401


def test_tags_are_set_and_deleted(databricks: Databricks) -> None:
    version = databricks.add_version("wine")
    set_tag = call(databricks, "POST", "model-versions/set-tag", name="wine", version="1", key="approved", value="true")
    assert (set_tag.status_code, version.tags) == (200, {"approved": "true"})
    assert (
        call(databricks, "DELETE", "model-versions/delete-tag", name="wine", version="1", key="approved").json() == {}
    )
    assert version.tags == {}
    assert [act.event for act in databricks.acts_of("wine")] == ["MODEL_VERSION_TAG_SET", "MODEL_VERSION_TAG_DELETED"]


def test_an_alias_leads_to_one_version(databricks: Databricks) -> None:
    databricks.add_version("wine")
    databricks.add_version("wine")
    for number in ("1", "2"):
        call(databricks, "POST", "registered-models/alias", name="wine", alias="champion", version=number)
    led = call(databricks, "GET", "registered-models/alias", name="wine", alias="champion").json()["model_version"]
    assert (led["version"], led["aliases"]) == ("2", ["champion"])
    call(databricks, "DELETE", "registered-models/alias", name="wine", alias="champion")
    gone = call(databricks, "GET", "registered-models/alias", name="wine", alias="champion")
    assert error_of(gone) == (400, "INVALID_PARAMETER_VALUE")


def test_the_metrics_of_a_run_are_read(databricks: Databricks) -> None:
    databricks.runs_of_models["r1"] = {"rmse": 0.25}
    run = call(databricks, "GET", "runs/get", run_id="r1").json()["run"]
    assert [(metric["key"], metric["value"]) for metric in run["data"]["metrics"]] == [("rmse", 0.25)]


def transition(databricks: Databricks, version: str, stage: str, **fields: Any) -> requests.Response:
    path = "databricks/model-versions/transition-stage"
    fields = {"archive_existing_versions": False, **fields}
    return call(databricks, "POST", path, name="wine", version=version, stage=stage, **fields)


def test_a_transition_archives_those_that_stood_there_if_it_is_asked_to(databricks: Databricks) -> None:
    for _ in range(3):
        databricks.add_version("wine")
    databricks.version("wine", "1").stage = databricks.version("wine", "2").stage = "Production"
    reply = transition(databricks, "3", "production", archive_existing_versions=True)
    assert reply.json()["model_version_databricks"]["current_stage"] == "Production"
    stages = [databricks.version("wine", number).stage for number in "123"]
    assert stages == ["Archived", "Archived", "Production"]
    transition(databricks, "2", "Production")
    assert databricks.version("wine", "3").stage == "Production"


def test_a_transition_to_no_stage_or_archiving_for_the_archive_is_refused(databricks: Databricks) -> None:
    databricks.add_version("wine")
    invalid = (400, "INVALID_PARAMETER_VALUE")
    assert error_of(transition(databricks, "1", "Live")) == invalid
    assert error_of(transition(databricks, "1", "Archived", archive_existing_versions=True)) == invalid
    assert error_of(transition(databricks, "1", "Staging", archive_existing_versions="yes")) == invalid
    assert databricks.acts_of("wine") == []


def test_a_permission_says_who_may_do_what(databricks: Databricks) -> None:
    databricks.add_model("wine", level="CAN_MANAGE_STAGING_VERSIONS")
    databricks.add_version("wine")
    assert transition(databricks, "1", "Staging").status_code == 200
    assert error_of(transition(databricks, "1", "Production")) == (403, "PERMISSION_DENIED")
    shown = call(databricks, "GET", "databricks/registered-models/get", name="wine").json()
    assert shown["registered_model_databricks"]["permission_level"] == "CAN_MANAGE_STAGING_VERSIONS"
    version = call(databricks, "GET", "databricks/model-versions/get", name="wine", version="1").json()
    assert version["model_version_databricks"]["current_stage"] == "Staging"
    databricks.models["wine"].level = "CAN_READ"
    fields = {"name": "wine", "version": "1", "key": "k", "value": "v"}
    assert error_of(call(databricks, "POST", "model-versions/set-tag", **fields)) == (403, "PERMISSION_DENIED")


def test_a_request_that_is_approved_moves_the_version_and_is_open_no_more(databricks: Databricks) -> None:
    version = databricks.add_version("wine")
    fields = {"name": "wine", "version": "1", "stage": "Production"}
    call(databricks, "POST", "transition-requests/create", **fields, comment="please")
    [wish] = call(databricks, "GET", "transition-requests/list", name="wine", version="1").json()["requests"]
    assert (wish["to_stage"], wish["comment"], wish["user_id"]) == ("Production", "please", PAT_USER)
    lacking = call(databricks, "POST", "transition-requests/approve", **fields)
    assert error_of(lacking) == (400, "INVALID_PARAMETER_VALUE")
    own = databricks.identity.issue(DATABRICKS_AUDIENCE)
    approved = call(
        databricks, "POST", "transition-requests/approve", own, **fields, archive_existing_versions=False, comment="ok"
    )
    assert approved.json()["activity"]["user_id"] == APP_USER
    assert (version.stage, version.requests) == ("Production", [])
    again = call(databricks, "POST", "transition-requests/approve", **fields, archive_existing_versions=False)
    assert error_of(again) == (404, "RESOURCE_DOES_NOT_EXIST")


def test_a_request_that_is_rejected_moves_nothing(databricks: Databricks) -> None:
    version = databricks.add_version("wine")
    fields = {"name": "wine", "version": "1", "stage": "Production"}
    call(databricks, "POST", "transition-requests/create", **fields)
    assert call(databricks, "POST", "transition-requests/reject", **fields, comment="no").status_code == 200
    assert (version.stage, version.requests) == ("None", [])
    assert databricks.acts_of("wine", "TRANSITION_REQUEST_REJECTED")


def test_comments_are_written_listed_and_deleted(databricks: Databricks) -> None:
    databricks.add_version("wine")
    made = call(databricks, "POST", "comments/create", name="wine", version="1", comment="a good year").json()
    [listed] = call(databricks, "GET", "comments/list", name="wine", version="1").json()["comments"]
    assert (listed["id"], listed["comment"]) == (made["comment"]["id"], "a good year")
    assert call(databricks, "DELETE", "comments/delete", id=listed["id"]).status_code == 200
    assert call(databricks, "GET", "comments/list", name="wine", version="1").json() == {"comments": []}
