"""The stand-in's settings, project ids and permissions, as a caller asks for them before it acts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from local.azure_devops import AzureDevOps
from local.azure_devops_rights import CREATE_RELEASES, RELEASE_MANAGEMENT
from local.identity import Identity


@pytest.fixture
def devops() -> Iterator[AzureDevOps]:
    with Identity() as identity, AzureDevOps(identity) as running:
        running.pats.add("a-pat")
        running.add_definition("Contoso", "Models", 12)
        yield running


def get(devops: AzureDevOps, path: str, **params: str) -> Any:
    reply = requests.get(f"{devops.url}/contoso/{path}", params=params, auth=("", "a-pat"), timeout=10)
    return reply.json() if reply.ok else reply.status_code


def test_a_project_shows_that_classic_releases_are_switched_off(devops: AzureDevOps) -> None:
    assert get(devops, "models/_apis/build/generalsettings")["disableClassicReleasePipelineCreation"] is False
    devops.classic_releases_disabled = True
    assert get(devops, "models/_apis/build/generalsettings")["disableClassicReleasePipelineCreation"] is True
    assert get(devops, "nothing/_apis/build/generalsettings") == 404


def test_who_may_create_releases_is_told_by_the_projects_id_and_the_definition(devops: AzureDevOps) -> None:
    project = get(devops, "_apis/projects/Models")["id"]
    path = f"_apis/permissions/{RELEASE_MANAGEMENT}/{CREATE_RELEASES}"
    assert get(devops, path, tokens=f"{project}/12")["value"] == [True]
    assert get(devops, path, tokens="another/12")["value"] == [False]
    devops.may_not_release.add(12)
    assert get(devops, path, tokens=f"{project}/12")["value"] == [False]
    assert get(devops, "_apis/projects/Nothing") == 404
