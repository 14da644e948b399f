"""`check`: every problem with its place, what a right file needs, and a schema that is true."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from azure.storage.blob import BlobServiceClient

from cli.schema import routes_schema
from handlers.current_routes import rules
from handlers.targets import TARGETS
from local.system import System
from shared.errors import RoutesError
from shared.routes_file import parse_routes
from tests.cli.terminal import run

ROOT = Path(__file__).parents[2]
SCHEMA = routes_schema()
RIGHT = """\
sources:
  wine-dev: {kind: databricks, secret: wine-dev-webhook, token_secret: dbx-pat, max_age: 2h}
  models: {kind: mlflow, secret: models-webhook}
routes:
  - name: to-production
    when: {source: wine-dev, event: "model_version.*", model: "wine*", tags: {ok: ["yes", "true"]}}
    steps:
      - azure_devops_release: {organization: ml, project: P, definition: 12, pat_secret: the-pat}
      - id: tell
        slack: {url_secret: mlops-slack, text: "{model}"}
      - http: {url: "https://api.example.com:8443/x", bearer_secret: the-pat}
    on_failure:
      - slack: {url_secret: mlops-slack, text: "{failed.reason}"}
"""


def test_a_right_file_tells_what_it_needs(tmp_path: Path) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text(RIGHT)
    found = json.loads(run("check", str(file), "--json").out)
    assert found["secrets"] == {
        "dbx-pat": ["source wine-dev (token_secret)"],
        "mlops-slack": ["route to-production, tell (url_secret)", "route to-production, slack (url_secret)"],
        "models-webhook": ["source models (secret)"],
        "the-pat": [
            "route to-production, azure_devops_release (pat_secret)",
            "route to-production, http (bearer_secret)",
        ],
        "wine-dev-webhook": ["source wine-dev (secret)"],
    }
    assert found["hosts"] == {"api.example.com:8443": ["route to-production, http"]}
    assert [route["steps"] for route in found["routes"]] == [["azure_devops_release", "tell", "http"]]
    shown = run("check", ROUTES=str(file))
    assert (shown.status, shown.err) == (0, "")
    for word in (*found["secrets"], *found["sources"], *found["hosts"], "azure_devops_release -> tell -> http"):
        assert word in shown.out


def test_each_problem_is_told_with_file_line_and_key(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(RIGHT.replace("secret: models-webhook", "secret: a_b").replace('"{model}"', '"{modle}"'))
    found = run("check", str(file))
    assert found.status == 1
    assert found.out == ""
    problems = found.err.splitlines()
    assert problems[0].startswith(f"{file}:3: sources.models.secret: ")
    assert problems[1].startswith(f"{file}:10: routes[0].steps[1].slack.text: ")
    assert problems[2:] == [f"2 problems in {file}"]


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"- 1", b"a: &x [*x]", b"{" * 1000, b"sources: !!python/object:x {}", b"\x00"]
)
def test_what_is_no_routes_file_ends_with_a_reason(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "routes.yaml"
    file.write_bytes(content)
    found = run("check", str(file))
    assert found.status == 1
    assert str(file) in found.err
    assert run("check", str(tmp_path)).status == run("check", str(tmp_path / "none")).status == 1


def test_a_blob_is_checked_by_its_url_and_no_secret_of_the_url_is_shown(system: System) -> None:
    service = BlobServiceClient.from_connection_string(system.azurite.connection_string)
    service.create_container("checked").upload_blob("routes.yaml", RIGHT)
    blob = f"{service.url.rstrip('/')}/checked/routes.yaml"
    found = run("check", blob, AzureWebJobsStorage=system.azurite.connection_string)
    assert (found.status, "to-production" in found.out) == (0, True), found.err
    for url in (f"{blob}?sv=2024-01-01&sig=a-secret", f"{blob}.none"):
        found = run("check", url, AzureWebJobsStorage="" if "sig=" in url else system.azurite.connection_string)
        assert (found.status, found.out) == (1, "")
        assert "a-secret" not in found.err
    assert run("check", "http://example.com/routes.yaml").status == 2


def test_the_committed_schema_is_the_one_that_the_structs_make() -> None:
    printed = run("check", "--schema").out
    assert (ROOT / "docs" / "routes.schema.json").read_text() == printed, (
        "make it anew: python -m cli check --schema > docs/routes.schema.json"
    )
    assert json.loads(printed) == SCHEMA
    first = (ROOT / "routes.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=docs/routes.schema.json"


def test_the_schema_is_one_and_knows_every_target() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert set(TARGETS) == set(SCHEMA["definitions"]["step"]["properties"]) - {"id"}


@pytest.mark.parametrize("file", ["routes.yaml", "tests/routes.yaml"])
def test_the_schema_takes_the_files_that_the_app_takes(file: str) -> None:
    jsonschema.validate(yaml.safe_load((ROOT / file).read_text()), SCHEMA)


def _set(*path: Any, value: Any) -> Callable[[Any], None]:
    def change(data: Any) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = value

    return change


WRONG: dict[str, Callable[[Any], None]] = {
    "unknown key": _set("more", value=1),
    "budget": _set("budget", value=0),
    "no sources": _set("sources", value={}),
    "source name": _set("sources", "Wine Dev", value={"kind": "mlflow", "secret": "s"}),
    "kind": _set("sources", "models", "kind", value="sagemaker"),
    "secret": _set("sources", "models", "secret", value="a_b"),
    "token secret": _set("sources", "models", "token_secret", value="a_b"),
    "age": _set("sources", "models", "max_age", value="24 hours"),
    "source key": _set("sources", "models", "url", value="x"),
    "route name": _set("routes", 0, "name", value="To Production"),
    "route key": _set("routes", 0, "wehn", value={}),
    "rounds": _set("routes", 0, "rounds", value=101),
    "when key": _set("routes", 0, "when", "modle", value="x"),
    "event type": _set("routes", 0, "when", "event", value="model_version.moved"),
    "event types": _set("routes", 0, "when", "event", value=[]),
    "require key": _set("routes", 0, "require", value={"steady": True}),
    "no steps": _set("routes", 0, "steps", value=[]),
    "two targets": _set("routes", 0, "steps", 1, "teams", value={"url_secret": "x", "text": "x"}),
    "unknown target": _set("routes", 0, "steps", value=[{"jenkins": {}}]),
    "option": _set("routes", 0, "steps", 0, "azure_devops_release", "definiton", value=12),
    "option type": _set("routes", 0, "steps", 0, "azure_devops_release", "definition", value="twelve"),
    "option bound": _set("routes", 0, "steps", 0, "azure_devops_release", "definition", value=0),
    "option secret": _set("routes", 0, "steps", 1, "slack", "url_secret", value="a_b"),
    "missing option": _set("routes", 0, "steps", 1, "slack", value={"text": "x"}),
    "choice": _set("routes", 0, "steps", 2, "http", "method", value="FETCH"),
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_the_schema_refuses_what_the_app_refuses(change: Callable[[Any], None]) -> None:
    data = yaml.safe_load(RIGHT)
    jsonschema.validate(data, SCHEMA)
    wrong = copy.deepcopy(data)
    change(wrong)
    with pytest.raises(RoutesError):
        parse_routes(yaml.safe_dump(wrong), "routes.yaml", rules())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, SCHEMA)
