"""Azure ML's stand-in serves MLflow models for real: the model that was saved is the one that answers."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from local.azure_ml import AzureML
from local.azure_ml_container import PYTHON
from local.azure_ml_model import Workspace
from local.azure_resource_manager import AUDIENCE, AzureResourceManager
from local.identity import Identity

SAVE = """
import json, sys
import mlflow, pandas as pd
from mlflow.models import infer_signature
from sklearn.linear_model import LinearRegression

rows = pd.DataFrame({"a": [1.0, 2.0, 3.0, 5.0], "b": [0.5, 0.0, 4.0, 1.0]})
model = LinearRegression().fit(rows, [2.0, 3.5, 1.0, 7.0])
signature = infer_signature(rows, model.predict(rows))
mlflow.sklearn.save_model(model, sys.argv[1], signature=signature, pip_requirements=["scikit-learn"])
print(json.dumps(model.predict(rows).tolist()))
"""
GIVEN = {"columns": ["a", "b"], "index": [0, 1, 2, 3], "data": [[1.0, 0.5], [2.0, 0.0], [3.0, 4.0], [5.0, 1.0]]}


class Served:
    """A workspace whose datastore `models` holds the saved model, and what the model itself predicts for GIVEN."""

    def __init__(self, ml: AzureML, workspace: Workspace, predictions: list[float]) -> None:
        self.ml, self.workspace, self.predictions = ml, workspace, predictions

    def call(self, method: str, path: str, body: Any = None) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.ml.arm.identity.issue(AUDIENCE)}"}
        url = path if path.startswith("http") else f"{self.ml.arm.url}{self.workspace.id}/{path}?api-version=2024-10-01"
        return requests.request(method, url, json=body, headers=headers, timeout=5)

    def deploy(self, path: str) -> dict[str, Any]:
        """Register what is at the path, deploy it, wait until that is over; return how the operation ended."""
        model = self.workspace.add_model("wine", path.replace("/", "-"), f"azureml://datastores/models/paths/{path}")
        body = {
            "location": "westeurope",
            "properties": {"endpointComputeType": "Managed", "instanceType": "Standard_DS3_v2", "model": model},
        }
        reply = self.call("PUT", "onlineEndpoints/wine/deployments/blue", body)
        uri = reply.json()["properties"]["properties"]["AzureAsyncOperationUri"]
        return self.ended(uri)

    def ended(self, uri: str) -> dict[str, Any]:
        deadline = time.monotonic() + 60
        while (standing := self.call("GET", uri).json())["status"] == "InProgress":
            assert time.monotonic() < deadline, "the operation does not end"
            time.sleep(0.05)
        return dict(standing)

    def score(self, body: Any) -> requests.Response:
        found = self.workspace.endpoints["wine"]
        headers = {"Authorization": f"Bearer {found.keys['primaryKey']}", "azureml-model-deployment": "blue"}
        return requests.post(found.scoring_uri, json=body, headers=headers, timeout=10)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    store = tmp_path_factory.mktemp("datastore")
    command = [str(PYTHON), "-c", SAVE, str(store / "wine" / "1")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    with Identity() as identity:
        arm = AzureResourceManager(identity)
        ml = AzureML(arm)
        with arm:
            workspace = ml.add_workspace("s-1", "models", "quality")
            workspace.datastores["models"] = store
            ready = Served(ml, workspace, json.loads(done.stdout.splitlines()[-1]))
            ml.seconds = 0.0
            ready.call("PUT", "onlineEndpoints/wine", {"location": "westeurope", "properties": {"authMode": "Key"}})
            assert ready.deploy("wine/1")["status"] == "Succeeded"
            yield ready
        ml.stop()


def test_a_deployed_mlflow_model_answers_with_its_own_predictions(served: Served) -> None:
    reply = served.score({"input_data": GIVEN})
    assert (reply.status_code, reply.headers["azureml-model-deployment"]) == (200, "blue")
    assert reply.json() == pytest.approx(served.predictions, abs=1e-9)
    assert len(set(served.predictions)) == 4


@pytest.mark.parametrize(
    "body",
    [
        {"input_data": {"columns": ["a", "c"], "data": [[1.0, 2.0]]}},
        {"input_data": {"columns": ["a", "b"], "data": [["red", "white"]]}},
        {"data": [[1.0, 2.0]]},
    ],
    ids=["a column that the model does not know", "texts for numbers", "no input_data"],
)
def test_what_the_model_can_not_take_is_424_with_its_complaint(served: Served, body: dict[str, Any]) -> None:
    reply = served.score(body)
    assert reply.status_code == 424
    assert reply.json()["error"]["code"] == "ModelError"
    assert reply.json()["error"]["message"].startswith("The model failed with ")


def test_a_deployment_whose_files_are_missing_fails_with_the_end_of_its_log(served: Served) -> None:
    ended = served.deploy("wine/2")
    assert (ended["status"], ended["error"]["code"]) == ("Failed", "UserContainerCrash")
    assert "No such artifact" in ended["error"]["message"]
    assert served.score({"input_data": GIVEN}).status_code == 404

    assert served.deploy("wine/1")["status"] == "Succeeded", "a replay of the good one serves again"
    assert served.score({"input_data": GIVEN}).json() == pytest.approx(served.predictions, abs=1e-9)


def test_a_path_can_not_lead_out_of_its_datastore(served: Served) -> None:
    model = served.workspace.add_model("wine", "outside", "azureml://datastores/models/paths/../../etc")
    assert served.workspace.files_of(model) is None


def test_a_model_that_is_in_no_datastore_of_ours_is_played_by_the_sum_of_each_row(served: Served) -> None:
    model = served.workspace.add_model("wine", "elsewhere", "azureml://jobs/1/outputs/model")
    assert served.workspace.files_of(model) is None
