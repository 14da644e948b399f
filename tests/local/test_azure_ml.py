"""Azure ML's stand-in: bodies that the spec does not allow are refused, operations are one at a time, models answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from local.azure_ml import AzureML
from local.azure_ml_model import Workspace
from local.azure_resource_manager import AUDIENCE, AzureResourceManager
from local.identity import VAULT_AUDIENCE, Identity

ENDPOINT, BLUE = "onlineEndpoints/wine", "onlineEndpoints/wine/deployments/blue"
Refusal = tuple[int, str]


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Client:
    """Calls a workspace as its owner would."""

    def __init__(self, ml: AzureML, workspace: Workspace, clock: Clock) -> None:
        self.ml, self.workspace, self.clock = ml, workspace, clock

    def call(self, method: str, path: str, body: Any = None) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.ml.arm.identity.issue(AUDIENCE)}"}
        url = path if path.startswith("http") else f"{self.ml.arm.url}{self.workspace.id}/{path}?api-version=2024-10-01"
        return requests.request(method, url, json=body, headers=headers, timeout=5)

    def settle(self) -> None:
        self.clock.now += 60

    def endpoint(self, **properties: Any) -> requests.Response:
        return self.call("PUT", ENDPOINT, endpoint(**properties))

    def deploy(self, name: str = "blue", **properties: Any) -> requests.Response:
        model = self.workspace.add_model("wine", "1")
        body = deployment(**{"model": model, **properties})
        reply = self.call("PUT", f"{ENDPOINT}/deployments/{name}", body)
        self.settle()
        return reply

    def score(self, given: Any, key: str = "", deployment: str = "") -> requests.Response:
        found = self.workspace.endpoints["wine"]
        headers = {"Authorization": f"Bearer {key or found.keys['primaryKey']}"}
        headers |= {"azureml-model-deployment": deployment} if deployment else {}
        return requests.post(found.scoring_uri, json={"input_data": given}, headers=headers, timeout=5)


@pytest.fixture
def client() -> Iterator[Client]:
    with Identity() as identity:
        arm = AzureResourceManager(identity)
        ml, clock = AzureML(arm), Clock()
        with arm:
            arm.clock = identity.clock = clock
            yield Client(ml, ml.add_workspace("s-1", "models", "quality"), clock)


@pytest.fixture
def served(client: Client) -> Client:
    """The client of a workspace in which an endpoint has a deployment, with all of the traffic."""
    client.endpoint()
    client.settle()
    client.deploy()
    client.endpoint(traffic={"blue": 100})
    client.settle()
    return client


def endpoint(**properties: Any) -> dict[str, Any]:
    return {"location": "westeurope", "properties": {"authMode": "Key", **properties}}


def deployment(**properties: Any) -> dict[str, Any]:
    wanted = {"endpointComputeType": "Managed", "instanceType": "Standard_DS3_v2", **properties}
    return {"location": "westeurope", "tags": {"relay-marker": "m"}, "properties": wanted}


def refusal(reply: requests.Response) -> Refusal:
    return reply.status_code, reply.json()["error"]["code"]


def state(reply: requests.Response) -> str:
    return str(reply.json()["properties"]["provisioningState"])


def test_a_new_endpoint_is_201_with_its_operation_and_is_there_when_that_is_over(client: Client) -> None:
    reply = client.endpoint()
    assert (reply.status_code, state(reply)) == (201, "Creating")
    assert client.call("GET", reply.headers["Azure-AsyncOperation"]).json()["status"] == "InProgress"
    client.settle()
    found = client.call("GET", ENDPOINT)
    assert state(found) == "Succeeded"
    assert found.json()["properties"]["scoringUri"].endswith("/inference/quality/wine/score")
    assert "keys" not in found.json()["properties"]


def test_a_change_is_200_without_a_header_and_its_state_tells_how_it_stands(client: Client) -> None:
    client.endpoint()
    client.settle()
    reply = client.endpoint()
    assert (reply.status_code, state(reply)) == (200, "Updating")
    assert "Azure-AsyncOperation" not in reply.headers
    assert "operationsStatus" in reply.json()["properties"]["properties"]["AzureAsyncOperationUri"]


@pytest.mark.parametrize(
    "body",
    [
        {"properties": {"authMode": "Key"}},
        {"location": "westeurope"},
        endpoint(authMode="None"),
        endpoint(compute="/no/such/compute"),
        endpoint(traffic={"blue": 100}),
        {**endpoint(), "tags": {"number": 1}},
        {**endpoint(), "sku": {"capacity": 1}},
    ],
    ids=["location", "properties", "auth mode", "compute", "absent deployment", "tags", "sku"],
)
def test_an_endpoint_that_the_spec_does_not_allow_is_refused(client: Client, body: dict[str, Any]) -> None:
    reply = client.call("PUT", ENDPOINT, body)
    assert (reply.status_code, sorted(reply.json()["error"])) == (400, ["code", "message"])
    assert not client.workspace.endpoints


@pytest.mark.parametrize(
    "wrong",
    [
        {"endpointComputeType": "Abacus"},
        {"endpointComputeType": "Kubernetes"},
        {"instanceType": ""},
        {"model": "/no/such/model"},
        {"scaleSettings": {"minInstances": 1}},
        {"requestSettings": {"requestTimeout": "5 s"}},
        {"codeConfiguration": {"codeId": "x"}},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_deployment_that_the_spec_does_not_allow_is_refused(client: Client, wrong: dict[str, Any]) -> None:
    client.endpoint()
    client.settle()
    assert client.deploy(**wrong).status_code == 400
    assert not client.ml.starts


@pytest.mark.parametrize(("traffic", "status"), [({"blue": 90}, 400), ({"blue": 101}, 400), ({"blue": 100}, 200)])
def test_traffic_is_a_hundred_in_all(client: Client, traffic: dict[str, int], status: int) -> None:
    client.endpoint()
    client.settle()
    client.deploy()
    assert client.endpoint(traffic=traffic).status_code == status
    client.settle()
    assert client.call("GET", ENDPOINT).json()["properties"]["traffic"] == ({} if status == 400 else traffic)


def test_an_endpoint_does_one_thing_at_a_time(client: Client) -> None:
    client.endpoint()
    assert refusal(client.endpoint()) == (409, "Conflict")
    assert client.deploy().status_code == 409
    assert client.deploy().status_code == 201
    assert [(start.deployment, start.marker) for start in client.ml.starts] == [("blue", "m")]


def test_a_deployment_can_be_told_to_fail(client: Client) -> None:
    client.endpoint()
    client.settle()
    client.ml.failures["deployment"] = ("OutOfQuota", "No cores are left.")
    operation = client.deploy().headers["Azure-AsyncOperation"]
    assert client.call("GET", operation).json()["error"] == {"code": "OutOfQuota", "message": "No cores are left."}
    assert state(client.call("GET", BLUE)) == "Failed"
    assert refusal(client.endpoint(traffic={"blue": 100})) == (400, "InvalidTraffic")
    client.deploy()
    assert state(client.call("GET", BLUE)) == "Succeeded"


def test_a_deployment_with_traffic_is_not_deleted_and_one_without_is(served: Client) -> None:
    assert refusal(served.call("DELETE", BLUE)) == (400, "DeploymentHasTraffic")
    served.endpoint(traffic={"blue": 0})
    served.settle()
    reply = served.call("DELETE", BLUE)
    assert reply.status_code == 202
    assert served.call("GET", reply.headers["Location"]).status_code == 202
    served.settle()
    assert served.call("GET", reply.headers["Location"]).status_code == 204
    assert served.call("GET", BLUE).status_code == 404
    assert served.call("DELETE", BLUE).status_code == 204


def test_a_kubernetes_deployment_needs_an_endpoint_on_an_attached_compute(client: Client) -> None:
    client.endpoint(compute=client.workspace.add_compute("cluster"))
    client.settle()
    assert client.deploy().status_code == 400
    assert client.deploy(endpointComputeType="Kubernetes", instanceType="small").status_code == 201


def test_a_model_version_keeps_its_path(client: Client) -> None:
    path = "models/wine/versions/7"
    first = {"properties": {"modelUri": "azureml://jobs/1", "modelType": "mlflow_model"}}
    assert client.call("GET", path).status_code == 404
    assert client.call("PUT", path, first).status_code == 201
    assert client.call("PUT", path, first).status_code == 200
    assert client.call("PUT", path, {"properties": {"modelUri": "azureml://jobs/2"}}).status_code == 409
    assert client.call("PUT", path.replace("wine", "a.b"), first).status_code == 400
    assert client.call("PUT", path, {"properties": {}}).status_code == 400


def test_the_model_answers_the_sum_of_each_row(served: Client) -> None:
    for given in ([[1, 2], [3, 4]], {"columns": ["a", "b"], "index": [0, 1], "data": [[1, 2], [3, 4]]}):
        reply = served.score(given)
        assert (reply.json(), reply.headers["azureml-model-deployment"]) == ([3, 7], "blue")


def test_a_request_that_can_not_be_scored_is_refused_as_the_service_does(served: Client) -> None:
    assert served.score([[1]], key="wrong").status_code == 401
    assert served.score([["a"]]).status_code == 424
    assert served.score([[1]], deployment="green").status_code == 404
    served.endpoint(traffic={"blue": 0})
    served.settle()
    assert served.score([[1]]).status_code == 404
    assert served.score([[1]], deployment="blue").status_code == 200


def test_each_auth_mode_has_its_own_key(client: Client) -> None:
    client.endpoint()
    assert set(client.call("POST", f"{ENDPOINT}/listKeys").json()) == {"primaryKey", "secondaryKey"}
    assert client.call("POST", f"{ENDPOINT}/token").status_code == 400
    client.settle()
    client.endpoint(authMode="AMLToken")
    token = client.call("POST", f"{ENDPOINT}/token").json()["accessToken"]
    client.settle()
    client.deploy()
    assert client.score([[1]], token, "blue").json() == [1]
    client.endpoint(authMode="AADToken")
    client.settle()
    for audience, status in (("https://ml.azure.com", 200), (VAULT_AUDIENCE, 401)):
        assert client.score([[1]], client.ml.arm.identity.issue(audience), "blue").status_code == status


def test_a_workspace_that_is_not_there_is_not_found(client: Client) -> None:
    client.workspace.id += "-of-nobody"
    assert refusal(client.call("GET", ENDPOINT)) == (404, "ResourceNotFound")
