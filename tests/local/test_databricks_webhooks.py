"""The stand-in's registry webhooks: who is told of an act, how it is signed, what a test hands back."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from aiohttp import web

from local.databricks import Databricks
from local.databricks_wire import PAT_USER
from local.identity import Identity
from local.serving import StandIn

PREFIXES = ("/api/2.0/mlflow", "/api/2.0/preview/mlflow")
HEADERS = {"Authorization": "Bearer dapi-of-a-test"}
SECRET = "a-shared-secret-of-a-webhook"


class Receiver(StandIn):
    """Whoever a webhook points to: keeps what comes, with the headers that matter."""

    def __init__(self) -> None:
        super().__init__()
        self.got: list[tuple[dict[str, str], bytes]] = []

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/hook", self._take)]

    async def _take(self, request: web.Request) -> web.Response:
        self.got.append((dict(request.headers), await request.read()))
        return web.json_response({"plan": "it would do this"}, status=202)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(raw) for _, raw in self.got]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def databricks() -> Iterator[Databricks]:
    with Identity() as identity, Databricks(identity) as workspace:
        workspace.pats.add("dapi-of-a-test")
        workspace.add_version("wine", stage="None")
        yield workspace


def call(databricks: Databricks, method: str, path: str, **kwargs: Any) -> requests.Response:
    return requests.request(method, databricks.url + path, headers=HEADERS, timeout=5, **kwargs)


def create(databricks: Databricks, receiver: Receiver, prefix: str = PREFIXES[0], **fields: Any) -> dict[str, Any]:
    spec = {"url": f"{receiver.url}/hook", "secret": SECRET, "authorization": "Bearer a-token"}
    body = {"events": ["MODEL_VERSION_TRANSITIONED_STAGE"], "http_url_spec": spec, **fields}
    reply = call(databricks, "POST", f"{prefix}/registry-webhooks/create", json=body)
    assert reply.status_code == 200, reply.text
    webhook: dict[str, Any] = reply.json()["webhook"]
    return webhook


def test_a_delivery_is_signed_and_bears_the_authorization(databricks: Databricks, receiver: Receiver) -> None:
    webhook = create(databricks, receiver)
    databricks.transition("wine", "1", "Production")
    databricks.settle()
    [(headers, raw)] = receiver.got
    assert headers["X-Databricks-Signature"] == hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()
    assert headers["Authorization"] == "Bearer a-token"
    assert json.loads(raw)["webhook_id"] == webhook["id"]
    assert "secret" not in webhook["http_url_spec"]
    assert "authorization" not in webhook["http_url_spec"]


def do_all(databricks: Databricks) -> None:
    """Do one of each act that is documented with its body, as the documentation's examples have it."""
    databricks.transition("wine", "1", "Production")
    databricks.announce(
        "MODEL_VERSION_TAG_SET", "wine", PAT_USER, version="1", tags={"key1": "value1", "key2": "value2"}
    )
    comment = {"name": "wine", "version": "1", "comment": "Raw text"}
    call(databricks, "POST", "/api/2.0/mlflow/comments/create", json=comment)


def test_bodies_have_the_documented_fields(
    databricks: Databricks, receiver: Receiver, documented: dict[str, Any]
) -> None:
    create(databricks, receiver, events=[name for name in documented if name.isupper()])
    do_all(databricks)
    databricks.settle()
    bodies = {body["event"]: body for body in receiver.bodies}
    assert set(bodies) == {name for name in documented if name.isupper()}
    for name, body in bodies.items():
        example = documented[name]
        assert {key: type(value) for key, value in body.items()} == {key: type(example[key]) for key in example}
    stage = bodies["MODEL_VERSION_TRANSITIONED_STAGE"]
    assert stage["text"] == "Registered model 'wine' version 1 transitioned from None to Production."
    assert bodies["MODEL_VERSION_TAG_SET"]["tags"] == documented["MODEL_VERSION_TAG_SET"]["tags"]


def test_an_act_is_told_under_each_of_its_names_that_a_webhook_lists(
    databricks: Databricks, receiver: Receiver
) -> None:
    names = {"MODEL_VERSION_TRANSITIONED_STAGE", "MODEL_VERSION_TRANSITIONED_TO_PRODUCTION"}
    create(databricks, receiver, events=[*names, "MODEL_VERSION_TRANSITIONED_TO_STAGING"])
    databricks.transition("wine", "1", "Production")
    databricks.settle()
    assert {body["event"] for body in receiver.bodies} == names
    databricks.transition("wine", "1", "None")
    databricks.settle()
    assert receiver.bodies[-1]["event"] == "MODEL_VERSION_TRANSITIONED_STAGE"
    assert len(receiver.bodies) == 3


def test_a_webhook_of_a_model_is_told_of_that_model_only(databricks: Databricks, receiver: Receiver) -> None:
    databricks.add_version("beer")
    create(databricks, receiver, model_name="wine")
    databricks.transition("beer", "1", "Production")
    databricks.transition("wine", "1", "Production")
    databricks.settle()
    assert [body["model_name"] for body in receiver.bodies] == ["wine"]


def test_a_new_model_is_told_registry_wide_only(databricks: Databricks, receiver: Receiver) -> None:
    spec = {"url": f"{receiver.url}/hook", "secret": SECRET}
    wrong = {"events": ["REGISTERED_MODEL_CREATED"], "model_name": "wine", "http_url_spec": spec}
    assert call(databricks, "POST", f"{PREFIXES[0]}/registry-webhooks/create", json=wrong).status_code == 400
    assert databricks.webhooks == {}
    create(databricks, receiver, events=["REGISTERED_MODEL_CREATED", "MODEL_VERSION_CREATED"])
    call(databricks, "POST", "/api/2.0/mlflow/registered-models/create", json={"name": "beer"})
    call(databricks, "POST", "/api/2.0/mlflow/model-versions/create", json={"name": "beer", "source": "dbfs:/b"})
    databricks.settle()
    made = sorted((body["event"], body.get("version")) for body in receiver.bodies)
    assert made == [("MODEL_VERSION_CREATED", "1"), ("REGISTERED_MODEL_CREATED", None)]


@pytest.mark.parametrize("status", ["TEST_MODE", "DISABLED"])
def test_only_an_active_webhook_is_told_of_acts(databricks: Databricks, receiver: Receiver, status: str) -> None:
    webhook = create(databricks, receiver, status=status)
    databricks.transition("wine", "1", "Staging")
    change = {"id": webhook["id"], "status": "ACTIVE"}
    assert call(databricks, "PATCH", f"{PREFIXES[0]}/registry-webhooks/update", json=change).status_code == 200
    databricks.transition("wine", "1", "Production")
    databricks.settle()
    assert [body["to_stage"] for body in receiver.bodies] == ["Production"]


def test_the_test_call_hands_back_what_the_receiver_answered(databricks: Databricks, receiver: Receiver) -> None:
    webhook = create(databricks, receiver, status="TEST_MODE")
    asked = {"id": webhook["id"], "event": "COMMENT_CREATED"}
    reply = call(databricks, "POST", f"{PREFIXES[0]}/registry-webhooks/test", json=asked).json()
    assert reply["status_code"] == 202
    assert json.loads(reply["body"]) == {"plan": "it would do this"}
    [body] = receiver.bodies
    assert body["event"] == "COMMENT_CREATED"
    assert body["text"].startswith("A test webhook trigger")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_webhooks_are_listed_and_deleted_under_both_paths(
    databricks: Databricks, receiver: Receiver, prefix: str
) -> None:
    webhook = create(databricks, receiver, prefix, model_name="wine")
    base = f"{prefix}/registry-webhooks"
    listed = call(databricks, "GET", f"{base}/list", params={"model_name": "wine"}).json()["webhooks"]
    assert [each["id"] for each in listed] == [webhook["id"]]
    where = {"json": {"id": webhook["id"]}} if "preview" in prefix else {"params": {"id": webhook["id"]}}
    assert call(databricks, "DELETE", f"{base}/delete", **where).status_code == 200
    assert call(databricks, "DELETE", f"{base}/delete", **where).status_code == 404


def test_a_delivery_that_is_refused_or_reaches_nobody_is_tried_once(databricks: Databricks, receiver: Receiver) -> None:
    create(databricks, receiver)
    receiver.faults.add("POST", "/hook", status=503)
    databricks.transition("wine", "1", "Staging")
    databricks.settle()
    receiver.stop()
    databricks.transition("wine", "1", "Production")
    databricks.settle()
    assert [sent.status for sent in databricks.deliveries] == [503, 0]
    assert receiver.got == []
