"""`plan`: which routes and why not, gates, and requests; files of any kind; nothing is sent."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from cli.samples import EVENTS, Act, body_of
from handlers.current_routes import rules
from handlers.preview import preview_of
from handlers.targets import TARGETS
from shared.messages import Event
from shared.routes_file import parse_routes
from tests.cli.terminal import Ended, run
from tests.conftest import ROUTES, Relay

DELIVERIES = Path(__file__).parents[1] / "deliveries"
STAGED = ("--type", "model_version.stage_changed", "--source", "wine-dev", "--version", "3", "--to", "Production")


def plan(*words: str, routes: Path = ROUTES, stdin: str = "") -> Ended:
    return run("plan", *words, "--routes", str(routes), stdin=stdin)


def matched(found: Ended) -> dict[str, Any]:
    assert found.status == 0, found.err
    return {entry["route"]: entry for entry in json.loads(found.out)["plan"] if entry["matches"]}


def test_each_route_says_why_or_why_not_and_what_it_would_send() -> None:
    found = plan(*STAGED, "--model", "release-x", "--json")
    entries = {entry["route"]: entry for entry in json.loads(found.out)["plan"]}
    release = entries["release"]
    assert release["steps"][0]["requests"][0]["body"]["variables"] == {
        "modelName": {"value": "release-x"},
        "modelVersion": {"value": "3"},
    }
    assert "{failed.reason}" in release["on_failure"][0]["requests"][0]["body"]["text"]
    assert entries["run"] == {"route": "run", "matches": False, "because": "model is 'release-x', not 'run*'"}
    assert entries["alias-run"]["because"] == (
        "event is 'model_version.stage_changed', not 'model_version_alias.created'"
    )
    assert [name for name, entry in entries.items() if entry["matches"]] == ["release"]
    shown = plan(*STAGED, "--model", "release-x")
    assert shown.status == 0
    for text in ("+ release", "- run: model is 'release-x', not 'run*'", '"modelName"', "{URL in secret mlops-slack}"):
        assert text in shown.out


def test_gates_and_placeholders_of_earlier_steps_are_shown_as_they_are() -> None:
    words = ("--type", "model_version.stage_changed", "--source", "governed", "--to", "Production")
    gated = matched(plan(*words, "--model", "gated-x", "--json"))["gated"]
    assert gated["require"]["metrics"] == {"accuracy": ">= 0.9", "loss": "< 0.5"}
    assert "still" not in gated["require"]
    waits = matched(plan(*STAGED, "--model", "wait-x", "--json"))["run-and-wait"]
    assert waits["steps"][1]["requests"][0]["body"] == {"text": "wait-x is in QA: {steps.azure_devops_pipeline.link}"}


def test_tags_and_aliases_of_the_command_line_decide_as_those_of_an_event() -> None:
    words = ("--type", "model_version_tag.set", "--source", "wine-dev", "--model", "two-x")
    assert set(matched(plan(*words, "--tag", "approved=true", "--tag", "a=b", "--json"))) == {
        "first-of-two",
        "second-of-two",
    }
    assert not matched(plan(*words, "--tag", "approved=no", "--json"))
    champion = ("--type", "model_version_alias.created", "--source", "models", "--alias", "champion", "--json")
    assert "alias-run" in matched(plan(*champion, "--model", "m", "--version", "1"))


def test_a_value_that_may_not_go_into_a_pipeline_is_refused_with_status_1() -> None:
    found = plan(*STAGED, "--model", "run$(id)")
    assert found.status == 1
    assert "refused:" in found.out
    assert "'$'" in found.out


@pytest.mark.parametrize("file", sorted(DELIVERIES.glob("mlflow-*.json")), ids=lambda file: file.name[:9])
def test_recorded_deliveries_and_their_bodies_make_the_event_that_the_app_makes(file: Path, tmp_path: Path) -> None:
    recorded = json.loads(file.read_text())
    raw = tmp_path / "body.json"
    raw.write_bytes(base64.b64decode(recorded["body_b64"]))
    of_record = json.loads(plan("--event", str(file), "--source", "models", "--json").out)
    of_body = json.loads(plan("--event", str(raw), "--source", "models", "--json").out)
    body = json.loads(raw.read_text())
    assert of_record["event"]["type"] == f"{body['entity']}.{body['action']}"
    assert of_record["event"]["delivery"] == recorded["headers"]["X-MLflow-Delivery-Id"]
    assert of_record["event"]["id"] == of_body["event"]["id"]
    assert of_record["plan"] == of_body["plan"]


@pytest.mark.parametrize("name", EVENTS)
def test_the_only_source_of_a_kind_need_not_be_named(name: str, tmp_path: Path) -> None:
    routes = tmp_path / "routes.yaml"
    routes.write_text(
        "sources: {d: {kind: databricks, secret: s}, m: {kind: mlflow, secret: s}, "
        "j: {kind: databricks_jobs, secret: s}}\n"
        'routes: [{name: all, when: {event: "*"}, steps: [{slack: {url_secret: s, text: "{type} of {source}"}}]}]\n'
    )
    kind = EVENTS[name][0]
    found = plan("--event", "-", "--json", routes=routes, stdin=json.dumps(body_of(name, Act())))
    assert json.loads(found.out)["event"]["source"] == {"databricks": "d", "mlflow": "m"}.get(kind, "j")
    assert set(matched(found)) == {"all"}


def test_an_event_and_a_story_may_be_planned_again(relay: Relay, model: str, tmp_path: Path) -> None:
    event = relay.stage_change(f"run-{model}")
    relay.ended(event)
    story = run("events", "show", event, "--json", relay=relay).out
    for text in (story, json.dumps(json.loads(story)["details"])):
        found = plan("--event", "-", "--json", stdin=text)
        assert json.loads(found.out)["event"]["id"] == event
        assert set(matched(found)) == {"run"}


def test_a_test_call_is_told_as_one(tmp_path: Path) -> None:
    body = {**body_of("COMMENT_CREATED", Act()), "text": "A test webhook trigger"}
    found = plan("--event", "-", "--source", "wine-dev", stdin=json.dumps(body))
    assert found.status == 0
    assert "starts nothing" in found.out


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{",
        "{}",
        '{"a": ' * 20_000,
        '{"event": "COMMENT_CREATED", "model_name": "a"}',
        '{"event": "COMMENT_CREATED", "event_timestamp": NaN, "model_name": "a", "version": "1"}',
        '{"event": "no such name", "model_name": "a"}',
        '{"event": "X", "model_name": "a", "model_name": "b"}',
        '{"entity": "model_version", "action": "created", "timestamp": "then", "data": {}}',
        '{"event_type": "x", "run": {}, "job": {}}',
        '{"body_b64": "***"}',
        '{"body_b64": "e30=", "headers": 1}',
        '{"id": 1, "type": 2, "timestamp": "x"}',
        "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
        "x" * 5_000_000,
    ],
    ids=range(17),
)
def test_what_is_no_event_ends_with_a_reason(text: str) -> None:
    found = plan("--event", "-", "--source", "wine-dev", stdin=text)
    assert found.status == 1
    assert len(found.err) > 10


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--type", "model_version.created", "--event", "-"),
        ("--type", "model_version.craeted", "--source", "wine-dev"),
        ("--type", "model_version.created", "--source", "nowhere"),
        ("--type", "model_version.created"),
        ("--type", "model_version.created", "--source", "wine-dev", "--tag", "x"),
    ],
)
def test_wrong_usage_ends_with_status_2(words: tuple[str, ...]) -> None:
    assert plan(*words).status == 2


def test_a_file_that_can_not_be_read_and_routes_that_are_wrong_end_with_status_1(tmp_path: Path) -> None:
    assert plan("--event", str(tmp_path / "none.json")).status == 1
    routes = tmp_path / "routes.yaml"
    routes.write_text("sources: {}\n")
    found = plan(*STAGED, routes=routes)
    assert (found.status, found.err.splitlines()[-1]) == (1, f"1 problem in {routes}")


def test_azure_devops_shows_the_final_yaml_of_a_run_that_does_not_start(relay: Relay, model: str) -> None:
    before = len(relay.system.devops.starts)
    found = plan(*STAGED, "--model", f"run-{model}", "--preview")
    assert found.status == 0, found.out
    assert "final YAML:" in found.out
    assert f"model_name: 'run-{model}'" in found.out
    calls = relay.system.devops.faults.calls("POST", "pipelines/6/preview")
    assert calls[-1].body["previewRun"] is True
    assert calls[-1].body["templateParameters"]["model_name"] == f"run-{model}"
    assert not [start for start in relay.system.devops.starts[before:] if model in str(start.parameters)]


def test_azure_devops_says_what_is_wrong_with_a_run(relay: Relay, model: str) -> None:
    found = plan(*STAGED, "--model", f"misspelt-{model}", "--preview", "--json")
    assert found.status == 1
    previews = json.loads(found.out)["previews"]
    assert "Unexpected parameter 'modelname'" in previews["run-misspelt.azure_devops_pipeline"]["error"]


def test_every_target_tells_what_it_would_send() -> None:
    routes = parse_routes(ROUTES.read_text(), ROUTES.name, rules())
    told: dict[str, Any] = {}
    for route in routes.routes:
        when = route.when
        first = {
            name: [value] if isinstance(value, str) else value
            for name, value in (("event", when.event), ("source", when.source), ("model", when.model))
        }
        event = Event(
            id="e" * 64,
            source=first["source"][0].replace("*", "governed"),
            type=first["event"][0],
            delivery="d",
            timestamp=1,
            received=1.0,
            model=first["model"][0].replace("*", "x"),
            version="3",
            to_stage="Staging",
            alias="champion",
            comment="hello",
            tags={"approved": "true", "promote": "yes", "job_id": "77"},
        )
        for entry in preview_of(routes, event):
            for step in entry.get("steps", []):
                told[step["target"]] = told.get(step["target"]) or step.get("requests")
    assert {target for target in TARGETS if not told.get(target)} <= {"http"}  # its routes are in its own test
    assert all(request["request"] for requests in told.values() for request in requests)
