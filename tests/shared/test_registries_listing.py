"""The listing of a registry is whole, whatever its size and its names."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.databricks import Databricks
from local.identity import Identity
from shared.errors import PermanentFailure, TransientFailure
from shared.registries import Registry
from shared.registries_listing import ListedModel, list_models, list_versions

PAT = "dapi-of-a-listing-test"


@pytest.fixture
def workspace() -> Iterator[Databricks]:
    with Identity() as identity, Databricks(identity) as running:
        running.pats.add(PAT)
        yield running


def registry(workspace: Databricks) -> Registry:
    return Registry("databricks", workspace.url, PAT)


def test_models_and_versions_come_from_all_pages(workspace: Databricks) -> None:
    for number in range(2001):
        workspace.add_model(f"model-{number:04}")
        workspace.add_version("model-0000")
    assert [each.name for each in list_models(registry(workspace))] == sorted(workspace.models)
    found = sorted(int(each.version) for each in list_versions(registry(workspace), "model-0000"))
    assert found == list(range(1, 2002))


def test_a_version_is_listed_with_its_stage_aliases_tags_and_times(workspace: Databricks) -> None:
    version = workspace.add_version("wine", stage="Production", tags={"approved": "true"}, updated=5)
    workspace.models["wine"].aliases["champion"] = "1"
    workspace.add_version("beer")
    (model,) = [each for each in list_models(registry(workspace)) if each.name == "wine"]
    (listed,) = list_versions(registry(workspace), "wine")
    assert model == ListedModel(name="wine", created=workspace.models["wine"].created, aliases={"champion": "1"})
    assert (listed.version, listed.stage, listed.aliases) == ("1", "Production", ("champion",))
    assert (listed.tags, listed.created, listed.updated) == ({"approved": "true"}, version.created, 5)


def test_a_prompt_is_no_model(workspace: Databricks) -> None:
    workspace.add_model("a-prompt").tags["mlflow.prompt.is_prompt"] = "true"
    workspace.add_model("a-model").tags["mlflow.prompt.is_prompt"] = "false"
    assert [each.name for each in list_models(registry(workspace))] == ["a-model"]


def test_a_model_that_is_not_there_has_no_versions(workspace: Databricks) -> None:
    assert list(list_versions(registry(workspace), "nothing")) == []


def test_a_name_that_no_search_can_hold_is_refused(workspace: Databricks) -> None:
    with pytest.raises(PermanentFailure, match="both kinds of quotes"):
        list(list_versions(registry(workspace), 'it\'s "wine"'))


@pytest.mark.parametrize(("status", "failure"), [(503, TransientFailure), (403, PermanentFailure)])
def test_a_registry_that_refuses_is_no_empty_one(workspace: Databricks, status: int, failure: type[Exception]) -> None:
    workspace.add_model("wine")
    workspace.faults.add("GET", "registered-models/search", status=status, body={"error_code": "NO", "message": "no"})
    with pytest.raises(failure):
        list(list_models(registry(workspace)))
