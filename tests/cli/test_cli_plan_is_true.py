"""A plan's requests are those that the services then receive, whatever the delivery holds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.samples import Act, body_of
from handlers.preview import MARKER
from local.faults import Call
from local.system import ORGANIZATION, PROJECT, System
from tests.cli.terminal import run
from tests.conftest import IMPATIENT, Relay, until

ROUTES = """
sources: {wine-dev: {kind: databricks, secret: wine-dev-webhook}}
routes:
  - name: all
    when: {event: "*"}
    steps:
      - azure_devops_release:
          organization: ml-governance
          project: ML Governance V2
          definition: 13
          artifacts: [{alias: app, version: "7"}]
          variables: {modelName: "{model}", modelVersion: "v{version}"}
          description: "{comment} {text}"
      - azure_devops_pipeline:
          organization: ml-governance
          project: ML Governance V2
          pipeline: 6
          branch: main
          marker_parameter: relay_marker
          parameters: {model_name: "{model}", model_version: "{version}"}
      - slack: {url_secret: mlops-slack, text: "{{literal}} {model}: {comment} {text}"}
      - teams: {url_secret: mlops-teams, title: "{model}", text: "{comment}"}
      - databricks_job: {workspace: DATABRICKS, job: 7, parameters: {model: "{model}"}, event_message: true}
      - http:
          url: "RECEIVER/plan/{model}/v{version}"
          method: PUT
          body: {model: "{model}", said: ["{comment}", {deep: "{text}"}]}
          headers: {X-Team: wine}
          idempotency_header: Idempotency-Key
          bearer_secret: http-bearer
"""
COMMENTS = [
    "plain",
    '"}], "model": "x',
    "<b>&amp;</b> _a_ *b* [x](y)",
    "\\ \n \t",
    "🍷 é \u202e",
    "{model} {{x}} {marker}",
    "x" * 29_000,
]
_MARKER = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Relay, Path]]:
    with System() as system:
        system.vault.set("http-bearer", "a-bearer-token-of-a-test")
        system.receiver.demand("plan", bearer="a-bearer-token-of-a-test")
        system.databricks.add_job(7)
        system.devops.add_definition(ORGANIZATION, PROJECT, 13, name="With artifact", artifacts=("app",))
        routes = tmp_path_factory.mktemp("plan") / "routes.yaml"
        routes.write_text(ROUTES.replace("RECEIVER", system.receiver.url).replace("DATABRICKS", system.databricks.url))
        yield Relay(system, system.worker({**IMPATIENT, "ROUTES": str(routes)})), routes


def planned(body: dict[str, Any], routes: Path) -> tuple[str, dict[str, dict[str, Any]]]:
    found = run("plan", "--event", "-", "--routes", str(routes), "--json", stdin=json.dumps(body))
    assert found.status == 0, found.err
    told = json.loads(found.out)
    return told["event"]["id"], {step["target"]: step["requests"][0] for step in told["plan"][0]["steps"]}


def received(relay: Relay, model: str) -> dict[str, Call]:
    """The first call of each step that tells of the model."""
    system = relay.system
    calls = {
        "azure_devops_release": system.devops.faults.calls("POST", "/_apis/Release/releases"),
        "azure_devops_pipeline": system.devops.faults.calls("POST", "/_apis/pipelines/6/runs"),
        "slack": system.chat.faults.calls("POST", "/slack/"),
        "teams": system.chat.faults.calls("POST", "/teams/"),
        "databricks_job": system.databricks.faults.calls("POST", "run-now"),
        "http": system.receiver.faults.calls("PUT", "/plan/"),
    }
    return {name: next(call for call in of if model in json.dumps(call.body)) for name, of in calls.items()}


def unmarked(body: Any) -> Any:
    """A marker is made with a key that only the ledger has: a plan names it."""
    return json.loads(_MARKER.sub(MARKER, json.dumps(body)))


@pytest.mark.parametrize("comment", COMMENTS, ids=range(len(COMMENTS)))
def test_what_is_planned_is_what_is_received(place: tuple[Relay, Path], model: str, comment: str) -> None:
    relay, routes = place
    body = body_of("COMMENT_CREATED", Act(model=f"plan {model}", version="3", comment=comment))
    event, requests = planned(body, routes)
    assert relay.databricks(body).json()["event"] == event
    until(lambda: relay.row(event, "all.http").get("state") == "succeeded")
    calls = received(relay, model)
    assert calls.keys() == requests.keys()
    for name, call in calls.items():
        assert unmarked(call.body) == requests[name]["body"], name
    for name in ("azure_devops_release", "azure_devops_pipeline"):
        assert requests[name]["request"] == f"POST {calls[name].path.removeprefix('/vsrm')}"  # a host of its own
    assert requests["databricks_job"]["request"] == f"POST {relay.system.databricks.url}{calls['databricks_job'].path}"


def test_an_http_request_is_planned_with_its_headers_and_no_secret(place: tuple[Relay, Path], model: str) -> None:
    relay, routes = place
    body = body_of("COMMENT_CREATED", Act(model=model, version="3"))
    event, requests = planned(body, routes)
    relay.databricks(body)
    until(lambda: relay.row(event, "all.http").get("state") == "succeeded")
    (got,) = [each for each in relay.system.receiver.received if model in each.path]
    planned_request = requests["http"]
    assert planned_request["request"] == f"{got.method} {relay.system.receiver.url}{got.path}"
    headers = {name.lower(): value for name, value in planned_request["headers"].items()}
    assert headers.pop("authorization") == "Bearer {secret http-bearer}"
    assert headers.keys() == {"content-type", "x-team", "idempotency-key"}
    assert {name: got.headers[name] for name in headers} == headers
    assert "a-bearer-token-of-a-test" not in json.dumps(requests)
