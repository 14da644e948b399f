import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from local.azure_devops import AzureDevOps
from local.azure_devops_wire import error_body
from local.identity import AZURE_DEVOPS_AUDIENCE, VAULT_AUDIENCE, Identity

# The SDK makes its cache folder when it is imported, by default in the home directory.
os.environ.setdefault("AZURE_DEVOPS_CACHE_DIR", tempfile.mkdtemp(prefix="azure-devops-cache-"))

ORG, PROJECT = "ML-Governance", "ML Governance V2"


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def devops() -> Iterator[AzureDevOps]:
    with Identity() as identity, AzureDevOps(identity) as service:
        service.clock = identity.clock = Clock()
        service.add_definition(
            ORG, PROJECT, 5, artifacts=["model"], environments=["QA", "Prod"], variables={"stage": "none"}
        )
        service.add_pipeline(
            ORG, PROJECT, 6, parameters={"model_name": None, "model_version": "1"}, variables=["marker"]
        )
        yield service


def later(devops: AzureDevOps, seconds: float) -> None:
    assert isinstance(devops.clock, Clock)
    devops.clock.now += seconds


def connection(devops: AzureDevOps, token: str | None = None) -> Any:
    from azure.devops.connection import Connection
    from azure.devops.credentials import BasicTokenAuthentication

    token = token or devops.identity.issue(AZURE_DEVOPS_AUDIENCE)
    return Connection(f"{devops.url}/{ORG}", creds=BasicTokenAuthentication({"access_token": token}))


def release_client(devops: AzureDevOps) -> Any:
    return connection(devops).clients_v7_1.get_release_client()


def pipelines_client(devops: AzureDevOps) -> Any:
    return connection(devops).clients_v7_1.get_pipelines_client()


def build_client(devops: AzureDevOps) -> Any:
    return connection(devops).clients_v7_1.get_build_client()


def post(devops: AzureDevOps, path: str, body: object, **kwargs: Any) -> requests.Response:
    """A call past the SDK, with a good token, where the raw reply matters."""
    token = devops.identity.issue(AZURE_DEVOPS_AUDIENCE)
    headers = {"Authorization": f"Bearer {token}"}
    query = {"api-version": "7.1"}
    return requests.post(devops.url + path, json=body, params=query, headers=headers, timeout=5, **kwargs)


RELEASES = f"/vsrm/{ORG}/{PROJECT}/_apis/release/releases"
RUNS = f"/{ORG}/{PROJECT}/_apis/pipelines/6/runs"


def metadata(**changes: Any) -> dict[str, Any]:
    return {"definitionId": 5, "description": "wine v3", "isDraft": True, **changes}


# --- releases


def test_a_draft_starts_nothing_until_it_is_activated_and_then_once(devops: AzureDevOps) -> None:
    client = release_client(devops)
    draft = client.create_release(metadata(variables={"stage": {"value": "QA"}}), PROJECT)
    assert (draft.id, draft.name, draft.status) == (1, "Release-1", "draft")
    assert devops.starts == []
    active = client.update_release_resource({"status": "active"}, PROJECT, draft.id)
    again = client.update_release_resource({"status": "active"}, PROJECT, draft.id)
    assert (active.status, again.status) == ("active", "active")
    (start,) = devops.starts
    assert (start.kind, start.id, start.organization, start.project) == ("release", 1, ORG, PROJECT)
    assert (start.description, start.variables) == ("wine v3", {"stage": {"value": "QA"}})


def test_many_activations_at_once_start_one_release_once(devops: AzureDevOps) -> None:
    draft = release_client(devops).create_release(metadata(), PROJECT)
    with ThreadPoolExecutor(8) as pool:
        jobs = [
            pool.submit(release_client(devops).update_release_resource, {"status": "active"}, PROJECT, draft.id)
            for _ in range(16)
        ]
    assert {job.result().status for job in jobs} == {"active"}
    assert len(devops.starts) == 1


def test_a_release_that_is_no_draft_starts_at_once(devops: AzureDevOps) -> None:
    release = release_client(devops).create_release(metadata(isDraft=False), PROJECT)
    assert release.status == "active"
    assert len(devops.starts) == 1


def test_an_abandoned_release_can_not_be_activated(devops: AzureDevOps) -> None:
    from azure.devops.exceptions import AzureDevOpsServiceError

    client = release_client(devops)
    draft = client.create_release(metadata(), PROJECT)
    assert client.update_release_resource({"status": "abandoned"}, PROJECT, draft.id).status == "abandoned"
    with pytest.raises(AzureDevOpsServiceError) as refused:
        client.update_release_resource({"status": "active"}, PROJECT, draft.id)
    assert refused.value.type_key == "InvalidReleaseStatusUpdateException"
    assert devops.starts == []


def test_the_environments_move_on_as_time_passes(devops: AzureDevOps) -> None:
    devops.release_seconds = 100
    client = release_client(devops)
    draft = client.create_release(metadata(), PROJECT)

    def statuses() -> list[str]:
        return [each.status for each in client.get_release(PROJECT, draft.id).environments]

    later(devops, 500)
    assert statuses() == ["notStarted", "notStarted"]
    client.update_release_resource({"status": "active"}, PROJECT, draft.id)
    assert statuses() == ["notStarted", "notStarted"]
    later(devops, 50)
    assert statuses() == ["inProgress", "notStarted"]
    later(devops, 100)
    assert statuses() == ["succeeded", "inProgress"]
    later(devops, 100)
    assert statuses() == ["succeeded", "succeeded"]


def test_a_failed_release_is_rejected_in_its_first_environment(devops: AzureDevOps) -> None:
    devops.next_result = "failed"
    client = release_client(devops)
    for wanted in (["rejected", "notStarted"], ["succeeded", "succeeded"]):
        release = client.create_release(metadata(isDraft=False), PROJECT)
        assert [each.status for each in release.environments] == wanted


def test_environments_that_are_manual_wait_for_a_person(devops: AzureDevOps) -> None:
    release = release_client(devops).create_release(metadata(isDraft=False, manualEnvironments=["Prod"]), PROJECT)
    assert [each.status for each in release.environments] == ["succeeded", "notStarted"]


def test_properties_come_back_only_to_those_who_ask_and_in_the_long_form(devops: AzureDevOps) -> None:
    client = release_client(devops)
    sent = {"marker": "abc", "long": {"$type": "System.String", "$value": "def"}, "n": 7}
    release = client.create_release(metadata(properties=sent), PROJECT)
    assert release.properties == {}
    assert client.get_release(PROJECT, release.id).properties == {}
    asked = client.get_release(PROJECT, release.id, property_filters=["marker", "long", "n", "other"])
    assert asked.properties == {
        "marker": {"$type": "System.String", "$value": "abc"},
        "long": {"$type": "System.String", "$value": "def"},
        "n": {"$type": "System.Int32", "$value": 7},
    }
    (listed,) = client.get_releases(PROJECT, property_filters=["marker"])
    assert listed.properties["marker"]["$value"] == "abc"


def test_the_property_filter_filters_nothing_out(devops: AzureDevOps) -> None:
    client = release_client(devops)
    client.create_release(metadata(), PROJECT)
    assert len(client.get_releases(PROJECT, property_filters=["marker"])) == 1


def test_the_search_text_looks_at_the_name_alone(devops: AzureDevOps) -> None:
    client = release_client(devops)
    client.create_release(metadata(description="find me"), PROJECT)
    assert client.get_releases(PROJECT, search_text="find me") == []
    assert len(client.get_releases(PROJECT, search_text="release-1")) == 1


def test_the_list_can_be_narrowed_by_definition_status_and_time(devops: AzureDevOps) -> None:
    devops.add_definition(ORG, PROJECT, 9)
    client = release_client(devops)
    client.create_release(metadata(), PROJECT)
    later(devops, 60)
    client.create_release(metadata(isDraft=False), PROJECT)
    later(devops, 60)
    client.create_release({"definitionId": 9, "isDraft": True}, PROJECT)
    between = datetime.fromtimestamp(devops.clock() - 90, UTC)

    def ids(**filters: Any) -> list[int]:
        return [release.id for release in client.get_releases(PROJECT, **filters)]

    assert ids() == [3, 2, 1]
    assert ids(definition_id=5) == [2, 1]
    assert ids(status_filter="draft") == [3, 1]
    assert ids(min_created_time=between) == [3, 2]
    assert ids(max_created_time=between) == [1]
    assert ids(release_id_filter=[1, 3], query_order="ascending") == [1, 3]


def test_the_list_comes_in_pages_whose_token_is_in_a_header(devops: AzureDevOps) -> None:
    client = release_client(devops)
    for _ in range(52):
        client.create_release(metadata(), PROJECT)
    assert len(client.get_releases(PROJECT)) == 50
    headers = {"Authorization": f"Bearer {devops.identity.issue(AZURE_DEVOPS_AUDIENCE)}"}
    first = requests.get(devops.url + RELEASES, {"$top": "20"}, headers=headers, timeout=5)
    token = first.headers["x-ms-continuationtoken"]
    rest = client.get_releases(PROJECT, top=50, continuation_token=token)
    assert [each["id"] for each in first.json()["value"]] + [each.id for each in rest] == list(range(52, 0, -1))


def test_a_list_shows_no_environments_unless_asked(devops: AzureDevOps) -> None:
    client = release_client(devops)
    client.create_release(metadata(), PROJECT)
    assert client.get_releases(PROJECT)[0].environments is None
    assert len(client.get_releases(PROJECT, expand="environments")[0].environments) == 2


def test_a_new_release_is_missing_from_lists_for_a_while_but_not_by_its_id(devops: AzureDevOps) -> None:
    devops.list_lag_seconds = 30
    client = release_client(devops)
    release = client.create_release(metadata(), PROJECT)
    assert client.get_releases(PROJECT) == []
    assert client.get_release(PROJECT, release.id).id == release.id
    later(devops, 31)
    assert [each.id for each in client.get_releases(PROJECT)] == [release.id]


def test_artifacts_are_named_by_alias_and_an_unknown_one_is_refused(devops: AzureDevOps) -> None:
    client = release_client(devops)
    chosen = [{"alias": "model", "instanceReference": {"id": "42", "name": "build 42"}}]
    release = client.create_release(metadata(artifacts=chosen), PROJECT)
    assert release.artifacts[0].definition_reference["version"].id == "42"
    refused = post(devops, RELEASES, metadata(artifacts=[{"alias": "other", "instanceReference": {"id": "1"}}]))
    assert (refused.status_code, len(devops.releases)) == (400, 1)


def test_variables_that_are_not_settable_are_refused_and_secrets_are_not_shown(devops: AzureDevOps) -> None:
    devops.add_definition(ORG, PROJECT, 9, variables={"stage": "none", "fixed": "x"}, settable=["stage"])
    secret = {"definitionId": 9, "isDraft": True, "variables": {"stage": {"value": "s", "isSecret": True}}}
    release = release_client(devops).create_release(secret, PROJECT)
    assert (release.variables["stage"].value, release.variables["fixed"].value) == (None, "x")
    refused = post(devops, RELEASES, {"definitionId": 9, "variables": {"fixed": {"value": "y"}}})
    assert (refused.status_code, refused.json()["typeKey"]) == (400, "InvalidRequestException")


def test_what_does_not_exist_is_404_with_the_error_body(devops: AzureDevOps) -> None:
    unknown_definition = post(devops, RELEASES, metadata(definitionId=99))
    assert unknown_definition.status_code == 404
    assert unknown_definition.json()["typeKey"] == "ReleaseDefinitionNotFoundException"
    assert set(unknown_definition.json()) == {
        "$id", "innerException", "message", "typeName", "typeKey", "errorCode", "eventId",
    }  # fmt: skip
    unknown_project = post(devops, RELEASES.replace(PROJECT, "Nowhere"), metadata())
    assert (unknown_project.status_code, unknown_project.json()["message"][:8]) == (404, "TF200016")
    assert post(devops, RELEASES.replace(ORG, "nobody"), metadata()).status_code == 404


def test_an_organisation_may_have_switched_classic_releases_off(devops: AzureDevOps) -> None:
    from azure.devops.exceptions import AzureDevOpsServiceError

    devops.classic_releases_disabled = True
    with pytest.raises(AzureDevOpsServiceError, match="disabled"):
        release_client(devops).create_release(metadata(), PROJECT)
    assert devops.releases == {}


def test_the_link_of_a_release_can_be_opened(devops: AzureDevOps) -> None:
    release = release_client(devops).create_release(metadata(description="<wine>"), PROJECT)
    link = release._links.additional_properties["web"]["href"]
    opened = requests.get(link, timeout=5)
    assert opened.headers["Content-Type"].startswith("text/html")
    assert "Release-1" in opened.text
    assert "&lt;wine&gt;" in opened.text


def test_release_definitions_can_be_read(devops: AzureDevOps) -> None:
    client = release_client(devops)
    assert [each.id for each in client.get_release_definitions(PROJECT)] == [5]
    definition = client.get_release_definition(PROJECT, 5)
    assert [each.name for each in definition.environments] == ["QA", "Prod"]
    assert definition.variables["stage"].allow_override is True


# --- pipelines


def parameters(**changes: Any) -> dict[str, Any]:
    return {"templateParameters": {"model_name": "wine"}, **changes}


def test_a_run_keeps_what_it_was_started_with(devops: AzureDevOps) -> None:
    client = pipelines_client(devops)
    branch = {"repositories": {"self": {"refName": "refs/heads/release"}}}
    marked = parameters(variables={"marker": {"value": "abc"}}, resources=branch)
    run = client.run_pipeline(marked, PROJECT, 6)
    same = client.get_run(PROJECT, 6, run.id)
    assert same.template_parameters == {"model_name": "wine", "model_version": "1"}
    assert same.variables["marker"].value == "abc"
    assert same.resources.repositories["self"].ref_name == "refs/heads/release"
    (start,) = devops.starts
    assert (start.kind, start.definition, start.parameters["model_name"]) == ("run", 6, "wine")


def test_a_run_is_in_progress_and_then_completed_with_its_result(devops: AzureDevOps) -> None:
    devops.run_seconds, devops.next_result = 60, "failed"
    client = pipelines_client(devops)
    run = client.run_pipeline(parameters(), PROJECT, 6)
    assert (run.state, run.result, run.finished_date) == ("inProgress", None, None)
    later(devops, 61)
    run = client.get_run(PROJECT, 6, run.id)
    assert (run.state, run.result) == ("completed", "failed")
    assert (run.finished_date - run.created_date).total_seconds() == 60
    assert client.run_pipeline(parameters(), PROJECT, 6).state == "inProgress"
    later(devops, 61)
    assert client.get_run(PROJECT, 6, 2).result == "succeeded"


def test_a_parameter_that_the_pipeline_does_not_have_is_refused(devops: AzureDevOps) -> None:
    refused = post(devops, RUNS, {"templateParameters": {"model_name": "wine", "other": "x"}})
    assert (refused.status_code, refused.json()["typeKey"]) == (400, "PipelineValidationException")
    assert "Unexpected parameter 'other'" in refused.json()["message"]
    missing = post(devops, RUNS, {})
    assert "'model_name' parameter must be provided" in missing.json()["message"]
    assert devops.starts == []


def test_a_variable_that_is_not_settable_at_queue_time_is_refused(devops: AzureDevOps) -> None:
    refused = post(devops, RUNS, parameters(variables={"other": {"value": "x"}}))
    assert refused.status_code == 400
    assert refused.json()["message"].startswith("You can't set the following variables (other).")


def test_a_preview_validates_and_makes_no_run(devops: AzureDevOps) -> None:
    client = pipelines_client(devops)
    preview = client.run_pipeline(parameters(previewRun=True), PROJECT, 6)
    assert "wine" in preview.final_yaml
    assert "wine" in client.preview(parameters(previewRun=True), PROJECT, 6).final_yaml
    assert post(devops, RUNS, {"previewRun": True, "templateParameters": {"x": "y"}}).status_code == 400
    assert (devops.starts, client.list_runs(PROJECT, 6)) == ([], [])


def test_runs_are_listed_newest_first_with_a_lag_and_without_their_parameters(devops: AzureDevOps) -> None:
    client = pipelines_client(devops)
    client.run_pipeline(parameters(), PROJECT, 6)
    later(devops, 60)
    devops.list_lag_seconds = 30
    client.run_pipeline(parameters(), PROJECT, 6)
    assert [run.id for run in client.list_runs(PROJECT, 6)] == [1]
    later(devops, 60)
    assert [(run.id, run.template_parameters) for run in client.list_runs(PROJECT, 6)] == [
        (2, None),
        (1, None),
    ]
    devops.list_shows_parameters = True
    assert client.list_runs(PROJECT, 6)[0].template_parameters["model_name"] == "wine"


def test_a_run_is_tagged_as_a_build_and_found_by_its_tag(devops: AzureDevOps) -> None:
    pipelines, builds = pipelines_client(devops), build_client(devops)
    for _ in range(2):
        pipelines.run_pipeline(parameters(), PROJECT, 6)
    assert builds.add_build_tag(PROJECT, 1, "marker-abc") == ["marker-abc"]
    assert builds.add_build_tag(PROJECT, 1, "marker-abc") == ["marker-abc"]
    assert builds.add_build_tags(["b", "c"], PROJECT, 1) == ["marker-abc", "b", "c"]
    assert builds.update_build_tags({"tagsToAdd": ["d"], "tagsToRemove": ["b"]}, PROJECT, 1)[1:] == ["c", "d"]
    assert builds.delete_build_tag(PROJECT, 1, "d") == ["marker-abc", "c"]
    assert builds.get_build_tags(PROJECT, 1) == ["marker-abc", "c"]
    assert [build.id for build in builds.get_builds(PROJECT, tag_filters=["marker-abc"])] == [1]
    assert [build.id for build in builds.get_builds(PROJECT, definitions=[6])] == [2, 1]
    assert builds.get_build(PROJECT, 1).tags == ["marker-abc", "c"]


def test_a_running_build_can_be_cancelled(devops: AzureDevOps) -> None:
    devops.run_seconds = 600
    pipelines = pipelines_client(devops)
    run = pipelines.run_pipeline(parameters(), PROJECT, 6)
    assert build_client(devops).update_build({"status": "cancelling"}, PROJECT, run.id).result == "canceled"
    run = pipelines.get_run(PROJECT, 6, run.id)
    assert (run.state, run.result) == ("completed", "canceled")


def test_pipelines_and_the_link_of_a_run_can_be_opened(devops: AzureDevOps) -> None:
    client = pipelines_client(devops)
    assert [each.id for each in client.list_pipelines(PROJECT)] == [6]
    assert client.get_pipeline(PROJECT, 6).name == "Model pipeline"
    run = client.run_pipeline(parameters(), PROJECT, 6)
    assert "wine" in requests.get(run._links.additional_properties["web"]["href"], timeout=5).text


def test_unknown_pipelines_runs_and_builds_are_not_found(devops: AzureDevOps) -> None:
    assert post(devops, RUNS.replace("/6/", "/7/"), {}).json()["typeKey"] == "PipelineDoesNotExistException"
    from azure.devops.exceptions import AzureDevOpsServiceError

    with pytest.raises(AzureDevOpsServiceError):
        pipelines_client(devops).get_run(PROJECT, 6, 99)
    with pytest.raises(AzureDevOpsServiceError, match="could not be found"):
        build_client(devops).get_build(PROJECT, 99)


# --- who may call, and how calls fail


def test_the_sdk_finds_the_release_host_through_the_resource_areas(devops: AzureDevOps) -> None:
    release_client(devops).create_release(metadata(), PROJECT)
    seen = [(call.method, call.path) for call in devops.faults.log]
    assert seen == [
        ("OPTIONS", f"/{ORG.lower()}/_apis"),
        ("GET", f"/{ORG}/_apis/ResourceAreas"),
        ("OPTIONS", f"/vsrm/{ORG.lower()}/_apis"),
        ("POST", f"/vsrm/{ORG}/{PROJECT}/_apis/Release/releases"),
    ]


def test_a_personal_access_token_is_as_good_as_a_bearer_token(devops: AzureDevOps) -> None:
    from azure.devops.connection import Connection
    from msrest.authentication import BasicAuthentication

    devops.pats.add("my-pat")
    client = Connection(f"{devops.url}/{ORG}", creds=BasicAuthentication("", "my-pat")).clients_v7_1
    assert client.get_release_client().create_release(metadata(), PROJECT).id == 1


def test_a_wrong_token_gets_a_page_to_sign_in_with_a_status_of_success(devops: AzureDevOps) -> None:
    for token in ("nonsense", devops.identity.issue(VAULT_AUDIENCE)):
        reply = requests.post(
            devops.url + RELEASES, json=metadata(), headers={"Authorization": f"Bearer {token}"}, timeout=5
        )
        assert reply.status_code == 203
        assert reply.headers["Content-Type"].startswith("text/html")
        assert "Sign In" in reply.text
    assert devops.releases == {}
    assert not any(call.committed for call in devops.faults.log)


def test_a_wrong_token_may_also_be_sent_to_the_page_or_told_so(devops: AzureDevOps) -> None:
    devops.bad_auth = "302"
    reply = requests.post(devops.url + RELEASES, json={}, timeout=5, allow_redirects=False)
    assert (reply.status_code, reply.headers["Location"]) == (302, f"{devops.url}/_signin")
    # A client that follows is told 200, by a page.
    followed = requests.post(devops.url + RELEASES, json={}, timeout=5)
    assert (followed.status_code, "Sign In" in followed.text) == (200, True)
    devops.bad_auth = "401"
    assert requests.post(devops.url + RELEASES, json={}, timeout=5).status_code == 401


def test_an_expired_token_no_longer_works(devops: AzureDevOps) -> None:
    client = release_client(devops)
    client.create_release(metadata(), PROJECT)
    devops.identity.revoke_all()
    from azure.core.exceptions import DeserializationError

    with pytest.raises(DeserializationError):
        client.create_release(metadata(), PROJECT)


def test_a_write_without_an_api_version_is_refused(devops: AzureDevOps) -> None:
    token = devops.identity.issue(AZURE_DEVOPS_AUDIENCE)
    headers = {"Authorization": f"Bearer {token}"}
    reply = requests.post(devops.url + RELEASES, json=metadata(), headers=headers, timeout=5)
    assert (reply.status_code, reply.json()["typeKey"]) == (400, "VssVersionNotSpecifiedException")
    headers["Accept"] = "application/json;api-version=7.1"
    assert requests.post(devops.url + RELEASES, json=metadata(), headers=headers, timeout=5).ok


def test_throttling_is_played_by_faults_also_on_a_reply_that_succeeds(devops: AzureDevOps) -> None:
    limits = {"Retry-After": "5", "X-RateLimit-Resource": "Core", "X-RateLimit-Remaining": "0"}
    body = error_body("RequestBlockedException", "TF400733: The request has been canceled.")
    devops.faults.add("POST", "/runs", status=429, body=body, headers=limits)
    devops.faults.add("POST", "/runs", headers=limits)
    blocked, delayed = post(devops, RUNS, parameters()), post(devops, RUNS, parameters())
    assert (blocked.status_code, blocked.headers["X-RateLimit-Remaining"]) == (429, "0")
    assert (delayed.status_code, delayed.headers["Retry-After"]) == (200, "5")
    assert len(devops.starts) == 1


def test_a_start_that_was_committed_and_then_dropped_is_in_the_log_of_starts(devops: AzureDevOps) -> None:
    from azure.devops.exceptions import ClientRequestError

    client = pipelines_client(devops)
    client.list_runs(PROJECT, 6)
    devops.faults.add("POST", "/runs", before=False, drop=True)
    with pytest.raises(ClientRequestError):
        client.run_pipeline(parameters(), PROJECT, 6)
    assert len(devops.starts) == 1
    assert [run.id for run in client.list_runs(PROJECT, 6)] == [1]
