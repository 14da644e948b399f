"""The plan: what an event would start, what not and why; for a test call, what a real event would have to be."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from handlers.current_routes import rules
from handlers.plan import plan_of
from shared.messages import Event
from shared.routes_file import parse_routes

ROUTES = parse_routes(
    """\
sources:
  wine-dev: {kind: databricks, secret: wine-dev-webhook}
  models: {kind: mlflow, secret: models-webhook}
routes:
  - name: to-production
    when:
      {source: wine-dev, event: model_version.stage_changed, model: "wine*", to_stage: Production, tags: {ok: "yes"}}
    steps:
      - azure_devops_release:
          {organization: ml, project: P, definition: 12, variables: {modelName: "{model}"}, pat_secret: the-pat}
      - id: tell
        slack: {url_secret: mlops-slack, text: "{steps.azure_devops_release.link}"}
    on_failure:
      - teams: {url_secret: mlops-teams, text: "{failed.reason}"}
  - name: alias
    when: {source: models, event: model_version_alias.created, alias: [champion, challenger]}
    steps: [{slack: {url_secret: mlops-slack, text: "{alias}"}}]
  - name: all
    when: {source: ["*-dev", models], event: "*"}
    steps: [{slack: {url_secret: mlops-slack, text: "{type}"}}]
  - name: comments
    when: {event: comment.created, model: beer}
    steps: [{slack: {url_secret: mlops-slack, text: "{comment}"}}]
""",
    "routes.yaml",
    rules(),
)
EVENT = Event(
    id="e" * 64,
    source="wine-dev",
    type="model_version.stage_changed",
    delivery="d",
    timestamp=1,
    received=1.0,
    model="wine",
    version="3",
    from_stage="Staging",
    to_stage="Production",
    tags={"ok": "yes"},
)
TEST = msgspec.structs.replace(EVENT, model="", version="", from_stage="", to_stage="", tags={})


def plan(event: Event, test: bool = False) -> dict[str, dict[str, Any]]:
    return {entry["route"]: entry for entry in plan_of(ROUTES, event, test)}


def test_routes_of_the_source_are_told_in_the_files_order_and_no_others() -> None:
    assert list(plan(EVENT)) == ["to-production", "all", "comments"]
    assert list(plan(msgspec.structs.replace(EVENT, source="models"))) == ["alias", "all", "comments"]
    assert list(plan(msgspec.structs.replace(EVENT, source="elsewhere"))) == ["comments"]


def test_a_route_that_matches_shows_its_steps_as_the_file_has_them() -> None:
    assert plan(EVENT)["to-production"] == {
        "route": "to-production",
        "matches": True,
        "steps": [
            {
                "step": "azure_devops_release",
                "target": "azure_devops_release",
                "options": {
                    "organization": "ml",
                    "project": "P",
                    "definition": 12,
                    "variables": {"modelName": "{model}"},
                    "pat_secret": "the-pat",
                },
            },
            {
                "step": "tell",
                "target": "slack",
                "options": {"url_secret": "mlops-slack", "text": "{steps.azure_devops_release.link}"},
            },
        ],
    }


@pytest.mark.parametrize(
    ("change", "because"),
    [
        ({"model": "beer"}, "model is 'beer', not 'wine*'"),
        ({"to_stage": "Staging"}, "to_stage is 'Staging', not 'Production'"),
        ({"tags": {}}, "tag 'ok' is not in the event"),
        ({"tags": {"ok": "no"}}, "tag 'ok' is 'no', not 'yes'"),
        ({"type": "model_version.created"}, "event is 'model_version.created', not 'model_version.stage_changed'"),
    ],
)
def test_a_route_that_does_not_match_says_why_and_shows_no_steps(change: dict[str, Any], because: str) -> None:
    entry = plan(msgspec.structs.replace(EVENT, **change))["to-production"]
    assert entry == {"route": "to-production", "matches": False, "because": because}


def test_the_plan_names_the_routes_that_the_event_really_starts() -> None:
    for type in ("model_version.stage_changed", "comment.created", "databricks.model_renamed"):
        event = msgspec.structs.replace(EVENT, type=type, model="beer")
        told = [name for name, entry in plan(event).items() if entry["matches"]]
        assert told == [route.name for route in ROUTES.matching(event)]


def test_a_test_call_shows_what_a_real_event_would_have_to_be() -> None:
    found = plan(TEST, test=True)
    assert {name: entry["matches"] for name, entry in found.items()} == {
        "to-production": True,
        "all": True,
        "comments": False,
    }
    assert found["to-production"]["if"] == {"model": "wine*", "to_stage": "Production", "tags": {"ok": "yes"}}
    assert [step["step"] for step in found["to-production"]["steps"]] == ["azure_devops_release", "tell"]
    assert found["all"]["if"] == {}
    assert found["comments"]["because"] == "event is 'model_version.stage_changed', not 'comment.created'"


def test_a_test_call_of_an_alias_shows_the_aliases() -> None:
    event = msgspec.structs.replace(TEST, source="models", type="model_version_alias.created", alias="example_alias")
    assert plan(event, test=True)["alias"]["if"] == {"alias": ["champion", "challenger"]}


def test_a_test_call_of_an_unknown_type_would_start_nothing() -> None:
    found = plan(msgspec.structs.replace(TEST, type="databricks.model_renamed"), test=True)
    assert not any(entry["matches"] for entry in found.values())
    assert all(entry["because"] for entry in found.values())


def test_a_real_event_without_a_model_is_not_treated_as_a_test() -> None:
    assert not plan(TEST)["to-production"]["matches"]
    assert "if" not in plan(EVENT)["to-production"]
