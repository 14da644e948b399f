"""Scores on Azure ML: an answer as expected lets the route go on, any other ends the step and says what came."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from handlers.targets import rules_of_targets
from local.azure_ml import AzureML
from local.azure_ml_model import Deployment, Endpoint, Workspace
from local.azure_resource_manager import error_body
from shared.errors import RoutesError
from shared.routes_file import parse_routes
from shared.routes_rules import Rules
from shared.steps import State, Step
from tests.conftest import Relay

SCORE = r"^/inference/quality/aml-scored/score$"


@pytest.fixture
def ml(relay: Relay) -> Iterator[AzureML]:
    yield relay.system.ml
    relay.system.arm.faults.clear()


@pytest.fixture
def endpoint(ml: AzureML) -> Endpoint:
    """An endpoint with one deployment that has all of the traffic."""
    ml.workspaces.clear()
    workspace: Workspace = ml.add_workspace("00000000-1111-2222-3333-444444444444", "models", "quality")
    uri, body = f"{ml.arm.url}/inference/quality/aml-scored/score", {"properties": {"authMode": "Key"}}
    made = Endpoint(f"{workspace.id}/onlineEndpoints/aml-scored", "aml-scored", body, uri, "Succeeded")
    made.deployments["blue"] = Deployment(f"{made.id}/deployments/blue", "blue", {"properties": {}}, "Succeeded")
    made.traffic = {"blue": 100}
    workspace.endpoints[made.name] = made
    return made


def score(relay: Relay, model: str, kind: str) -> Step:
    name = f"aml-score-{kind}"
    return relay.ended(relay.stage_change(f"{name}-{model}")).steps[f"{name}.azure_ml_score"]


@pytest.mark.parametrize("mode", ["Key", "AMLToken", "AADToken"])
def test_an_answer_as_expected_is_told_with_its_time_and_extract(
    relay: Relay, endpoint: Endpoint, model: str, mode: str
) -> None:
    endpoint.body["properties"]["authMode"] = mode
    step = score(relay, model, "good")
    assert (step.state, step.ref) == (State.SUCCEEDED, "blue")
    assert step.outcome.startswith("aml-scored/blue answered in ")
    assert step.outcome.endswith(" ms: [3, 7.5]")
    assert step.link.startswith("https://ml.azure.com/endpoints/realtime/aml-scored/detail?wsid=/subscriptions/")
    assert endpoint.deployments["blue"].calls == [{"columns": ["a", "b"], "data": [[1, 2], [3, 4.5]]}]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("rows", "expected 3 rows, got 1: [3]"),
        ("values", "expected [4] within 0.5, got: [3]"),
        ("columns", "expected the columns quality, row 0 has no quality: [3]"),
        ("named", "endpoint aml-scored answered 404: NotFound: The deployment green is not there to answer."),
        ("broken", "endpoint aml-scored answered 424: ModelError: The model failed with TypeError: unsupported"),
    ],
)
def test_any_other_answer_ends_the_step_and_says_what_came(
    relay: Relay, endpoint: Endpoint, model: str, kind: str, reason: str
) -> None:
    step = score(relay, model, kind)
    assert (step.state, step.attempts) == (State.DEAD, 1)
    assert step.reason.startswith(reason)
    assert "/realtime/aml-scored/" in step.link


@pytest.mark.parametrize(
    "answer",
    [
        {"predictions": [3.0, 7.5]},
        [3.0000001, 7.5],
    ],
    ids=["mlflow's own form", "within the tolerance"],
)
def test_an_answer_is_read_as_models_give_it(
    relay: Relay, ml: AzureML, endpoint: Endpoint, model: str, answer: Any
) -> None:
    ml.arm.faults.add("POST", SCORE, status=200, body=answer)
    assert score(relay, model, "good").state is State.SUCCEEDED


def test_an_answer_that_is_no_json_ends_the_step(relay: Relay, ml: AzureML, endpoint: Endpoint, model: str) -> None:
    ml.arm.faults.add("POST", SCORE, status=200, body="good")
    assert score(relay, model, "good").reason == "the answer is not JSON: good"


def test_an_endpoint_without_traffic_or_of_another_key_says_so(
    relay: Relay, ml: AzureML, endpoint: Endpoint, model: str
) -> None:
    endpoint.traffic = {"blue": 0}
    assert "no deployment with traffic" in score(relay, model, "good").reason
    ml.arm.faults.add("POST", "/listKeys$", status=200, body={"primaryKey": "rotated"})
    assert "did not accept the credentials (401)" in score(relay, f"again-{model}", "good").reason


def test_an_endpoint_that_can_not_answer_now_is_asked_again(
    relay: Relay, ml: AzureML, endpoint: Endpoint, model: str
) -> None:
    ml.arm.faults.add("POST", SCORE, status=429, body=error_body("TooManyRequests", "slow down"))
    ml.arm.faults.add("POST", SCORE, drop=True)
    step = score(relay, model, "good")
    assert (step.state, step.attempts) == (State.SUCCEEDED, 3)
    assert "429" in str(step.history)
    assert "was lost" in str(step.history)


def test_an_answer_that_comes_too_late_is_asked_for_again(
    relay: Relay, ml: AzureML, endpoint: Endpoint, model: str
) -> None:
    ml.arm.faults.add("POST", SCORE, before=False, slow=1.2)
    step = score(relay, model, "late")
    assert (step.state, step.attempts) == (State.SUCCEEDED, 2)
    assert re.search(r"it took \d\.\d s to answer, 1 s at most was expected", str(step.history))


@pytest.mark.parametrize(
    "uri",
    ["http://10.0.0.7/score", "ftp://127.0.0.1/score", ""],
    ids=["in clear", "another scheme", "none"],
)
def test_a_key_goes_over_tls_only(relay: Relay, ml: AzureML, endpoint: Endpoint, model: str, uri: str) -> None:
    endpoint.scoring_uri = uri
    keys = len(ml.arm.faults.calls("POST", "/aml-scored/listKeys$"))
    step = score(relay, model, "good")
    assert step.state is State.DEAD
    assert step.reason.startswith("the endpoint can't be asked: its scoring URI has to be an https:// URL")
    assert len(ml.arm.faults.calls("POST", "/aml-scored/listKeys$")) == keys


def test_a_redirect_of_the_scoring_uri_is_not_followed(
    relay: Relay, ml: AzureML, endpoint: Endpoint, model: str
) -> None:
    elsewhere = {"Location": f"{ml.arm.url}/inference/quality/elsewhere/score"}
    ml.arm.faults.add("POST", SCORE, status=307, headers=elsewhere)
    assert "answered 307" in score(relay, model, "good").reason
    assert not ml.arm.faults.calls("POST", "/elsewhere/score$")


def test_an_endpoint_that_is_not_there_ends_the_step(relay: Relay, ml: AzureML, endpoint: Endpoint, model: str) -> None:
    ml.workspaces.clear()
    assert score(relay, model, "good").reason == "there is no endpoint aml-scored in workspace quality"


ROUTES = """
sources: {{wine-dev: {{kind: databricks, secret: wine-dev-webhook}}}}
routes:
  - name: wine
    when: {{event: model_version.stage_changed}}
    steps:
      - azure_ml_score: {{resource_group: models, workspace: quality, {options}}}
"""
SUBSCRIPTION = "subscription: 00000000-1111-2222-3333-444444444444"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("subscription: mine, endpoint: wine, input: {}", "`subscription` is an id of 36 characters"),
        (f"{SUBSCRIPTION}, endpoint: 'a/../b', input: {{}}", "'a/../b' is no name: letters, digits, `-` and `_`"),
        (f"{SUBSCRIPTION}, endpoint: wine", "the key `input` is missing"),
        (f"{SUBSCRIPTION}, endpoint: wine, input: {{}}, max_seconds: 90", "Expected `float` <= 60.0"),
        (f"{SUBSCRIPTION}, endpoint: wine, input: {{}}, expect: {{row: 1}}", "unknown key `row`"),
        (f"{SUBSCRIPTION}, endpoint: wine, input: {{a: '{{model}}'}}", "takes no placeholders"),
    ],
)
def test_options_that_make_no_sense_are_refused_at_load(options: str, sentence: str) -> None:
    with pytest.raises(RoutesError) as caught:
        parse_routes(ROUTES.format(options=options), "routes.yaml", Rules({"databricks": 60.0}, rules_of_targets()))
    [problem] = caught.value.problems
    assert problem.startswith("routes.yaml:7: routes[0].steps[0].azure_ml_score")
    assert sentence in problem
