"""The stand-in's webhooks seen by Databricks' own clients: databricks-sdk runs here; of databricks-registry-webhooks
0.1.2, which wants a protobuf older than the sdk's, the requests were recorded, and the fields that it reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import ResourceDoesNotExist
from databricks.sdk.service.ml import HttpUrlSpec, RegistryWebhookEvent, RegistryWebhookStatus

from cli.webhooks_registries import Credentials, DatabricksWebhooks
from cli.webhooks_wanted import Wanted
from local import databricks_webhooks
from local.databricks import Databricks
from local.faults import Call
from local.identity import Identity
from local.receiver import Receiver
from shared.registries import Registry

PAT = "dapi-of-a-test"
SECRET = "a-secret-of-a-webhook"
PRODUCTION, COMMENT = "MODEL_VERSION_TRANSITIONED_TO_PRODUCTION", "COMMENT_CREATED"
WANTED = Wanted(source="wine", model="wine", events=(COMMENT, PRODUCTION), url="http://127.0.0.1:9/api/webhooks/w")
SDK_ASKS_FIRST = "/.well-known/databricks-config"

# recorded from databricks-registry-webhooks 0.1.2 (protobuf 3.20.3, databricks-cli 0.18.0) at this stand-in
OLD = "/api/2.0/preview/mlflow/registry-webhooks"
SPEC = {"enable_ssl_verification": True, "secret": SECRET, "authorization": "Bearer x"}
OLD_CREATES = {
    "model_name": "wine",
    "events": [PRODUCTION, COMMENT],
    "description": "d",
    "status": "TEST_MODE",
    "http_url_spec": SPEC,
}
OLD_READS = {
    "id",
    "events",
    "creation_timestamp",
    "last_updated_timestamp",
    "description",
    "status",
    "http_url_spec",
    "job_spec",
    "model_name",
}


@pytest.fixture(scope="module")
def identity() -> Iterator[Identity]:
    with Identity() as running:
        yield running


@pytest.fixture
def databricks(identity: Identity) -> Iterator[Databricks]:
    with Databricks(identity) as workspace:
        workspace.pats.add(PAT)
        workspace.add_version("wine")
        yield workspace


@pytest.fixture
def hook(identity: Identity) -> Iterator[str]:
    with Receiver(identity) as receiver:
        yield receiver.demand("hook")


def sdk(databricks: Databricks) -> Any:
    return WorkspaceClient(host=databricks.url, token=PAT).model_registry


def spec(url: str) -> HttpUrlSpec:
    return HttpUrlSpec(url=url, secret=SECRET, enable_ssl_verification=True, authorization="Bearer x")


def asked(databricks: Databricks) -> list[tuple[Any, ...]]:
    calls: list[Call] = [call for call in databricks.faults.log if call.path != SDK_ASKS_FIRST]
    return [(call.method, call.path, call.query, call.body) for call in calls]


def test_the_sdk_creates_lists_changes_tests_and_deletes_webhooks(databricks: Databricks, hook: str) -> None:
    client = sdk(databricks)
    events = [RegistryWebhookEvent(PRODUCTION), RegistryWebhookEvent(COMMENT)]
    made = client.create_webhook(
        events, model_name="wine", http_url_spec=spec(hook), status=RegistryWebhookStatus.TEST_MODE, description="d"
    ).webhook
    assert (made.model_name, made.events, made.status, made.description) == (
        "wine",
        events,
        RegistryWebhookStatus.TEST_MODE,
        "d",
    )
    assert (made.http_url_spec.url, made.http_url_spec.enable_ssl_verification) == (hook, True)
    tested = client.test_registry_webhook(made.id)
    assert tested.status_code == databricks.deliveries[-1].status != 0
    assert tested.body == databricks.deliveries[-1].reply
    changed = client.update_webhook(made.id, status=RegistryWebhookStatus.ACTIVE).webhook
    assert (changed.status, changed.events) == (RegistryWebhookStatus.ACTIVE, events)
    client.delete_webhook(made.id)
    with pytest.raises(ResourceDoesNotExist):
        client.delete_webhook(made.id)


def test_the_sdk_lists_all_webhooks_page_by_page(
    databricks: Databricks, hook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databricks_webhooks, "PAGE", 2)
    names = ["", "wine", "", "wine", ""]
    ids = [databricks.add_webhook(hook, SECRET, [COMMENT], model=name).id for name in names]
    client = sdk(databricks)
    assert [each.id for each in client.list_webhooks()] == ids
    assert [each.id for each in client.list_webhooks(model_name="wine")] == [ids[1], ids[3]]
    assert [each.id for each in client.list_webhooks(events=[RegistryWebhookEvent(PRODUCTION)])] == []
    ours = DatabricksWebhooks(Registry("databricks", databricks.url, PAT))
    assert [each.id for each in ours.all()] == ids


def test_our_commands_ask_what_the_sdk_asks(databricks: Databricks, identity: Identity) -> None:
    """The same acts, once by the sdk and once by the door of the commands: the same requests, in method, path, query
    and body."""
    with Databricks(identity) as other:
        other.pats.add(PAT)
        other.add_version("wine")
        client, ours = sdk(databricks), DatabricksWebhooks(Registry("databricks", other.url, PAT))
        events = [RegistryWebhookEvent(event) for event in WANTED.events]
        theirs = client.create_webhook(
            events,
            model_name="wine",
            description=WANTED.mark,
            status=RegistryWebhookStatus.TEST_MODE,
            http_url_spec=spec(WANTED.url),
        ).webhook.id
        credentials = Credentials(SECRET, "Bearer x")
        made = ours.create(WANTED, credentials).id
        list(client.list_webhooks())
        ours.all()
        client.update_webhook(theirs, status=RegistryWebhookStatus.ACTIVE)
        ours.activate(made)
        client.update_webhook(theirs, events=events, description=WANTED.mark)
        ours.update(made, WANTED, None)
        client.update_webhook(theirs, events=events, description=WANTED.mark, http_url_spec=spec(WANTED.url))
        ours.update(made, WANTED, credentials)
        for ask in (
            lambda: client.test_registry_webhook(theirs, event=RegistryWebhookEvent(COMMENT)),
            lambda: ours.test(made, COMMENT),
        ):
            with pytest.raises(Exception, match="could not be reached"):
                ask()
        client.delete_webhook(theirs)
        ours.delete(made)
        assert asked(other) == [
            (method, path, _with(query, theirs, made), _with(body, theirs, made))
            for method, path, query, body in asked(databricks)
        ]


def _with(fields: Any, old: str, new: str) -> Any:
    return {key: new if value == old else value for key, value in fields.items()} if fields else fields


def test_the_answers_have_the_fields_that_the_older_client_reads(databricks: Databricks, hook: str) -> None:
    def call(method: str, path: str, **fields: Any) -> Any:
        headers = {"Authorization": f"Bearer {PAT}"}
        reply = requests.request(method, f"{databricks.url}{OLD}/{path}", headers=headers, timeout=10, **fields)
        assert reply.status_code == 200, reply.text
        return reply.json()

    made = call("POST", "create", json={**OLD_CREATES, "http_url_spec": {**SPEC, "url": hook}})["webhook"]
    assert set(made) == OLD_READS - {"job_spec"}
    assert call("GET", "list", params={"max_results": 1000})["webhooks"] == [made]
    assert call("GET", "list", params={"events": COMMENT, "max_results": 1000})["webhooks"] == [made]
    assert set(call("POST", "test", json={"id": made["id"]})) == {"status_code", "body"}
    assert call("PATCH", "update", json={"id": made["id"], "status": "ACTIVE"})["webhook"]["status"] == "ACTIVE"
    assert call("DELETE", "delete", json={"id": made["id"]}) == {}
    assert call("GET", "list", params={"max_results": 1000})["webhooks"] == []


def test_the_sdk_reads_a_job(databricks: Databricks) -> None:
    databricks.add_job(7, "Retrain", parameters=["model"])
    job = WorkspaceClient(host=databricks.url, token=PAT).jobs.get(7)
    assert (job.job_id, job.settings and job.settings.name) == (7, "Retrain")
    assert [each.name for each in (job.settings and job.settings.parameters) or []] == ["model"]
