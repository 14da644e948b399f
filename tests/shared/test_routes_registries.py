"""The routes file: gates and steps that need a registry, and loops, each told with file, line and key."""

from __future__ import annotations

import pytest

from handlers.current_routes import rules
from shared.errors import RoutesError
from shared.routes import Routes
from shared.routes_file import parse_routes

SOURCES = """\
sources:
  dev: {kind: databricks, secret: dev-webhook, workspace: "https://adb-1.1.azuredatabricks.net"}
  models: {kind: mlflow, secret: models-webhook}
routes:
"""
STAGED = """\
  - name: %s
    when: {source: dev, event: model_version.stage_changed, to_stage: %s}
    steps: [{registry_transition: {stage: %s}}]
"""
ONE = """\
  - name: one
    when: {source: %s, event: model_version.stage_changed}
    steps: [{slack: {url_secret: mlops-slack, text: x}}]
    %s
"""


def read(text: str) -> Routes:
    return parse_routes(SOURCES + text, "routes.yaml", rules())


def problems(text: str) -> list[str]:
    with pytest.raises(RoutesError) as error:
        read(text)
    return error.value.problems


def test_a_chain_of_routes_is_no_loop() -> None:
    read(STAGED % ("qa", "Staging", "Production") + STAGED % ("live", "Production", "Archived"))


def test_a_route_that_starts_itself_is_refused() -> None:
    (problem,) = problems(STAGED % ("again", "'*'", "Staging"))
    assert problem.startswith("routes.yaml:7: routes[0].steps: a loop: again -> again: ")
    assert "`rounds: N`" in problem


def test_a_loop_over_several_routes_is_told_once_with_its_way() -> None:
    text = STAGED % ("a", "Staging", "Production") + STAGED % ("b", "Production", "Staging")
    (problem,) = problems(text)
    assert "a loop: a -> b -> a: " in problem


def test_a_loop_with_a_bound_is_allowed() -> None:
    bounded = "    rounds: 3\n"
    assert read(STAGED % ("again", "'*'", "Staging") + bounded).routes[0].rounds == 3
    read(STAGED % ("a", "Staging", "Production") + STAGED % ("b", "Production", "Staging") + bounded)


def test_a_step_of_on_failure_may_close_a_loop_too() -> None:
    text = (
        STAGED % ("back", "Production", "Archived") + "    on_failure: [{registry_transition: {stage: Production}}]\n"
    )
    (problem,) = problems(text)
    assert "a loop: back -> back" in problem


@pytest.mark.parametrize("rounds", ["-1", "101", "many", "1.5"])
def test_rounds_are_a_number_with_a_limit(rounds: str) -> None:
    (problem,) = problems(ONE % ("dev", f"rounds: {rounds}"))
    assert "routes[0].rounds" in problem


@pytest.mark.parametrize("key", ["require: {still: true}", "write_status: true"])
def test_what_asks_a_registry_needs_its_address(key: str) -> None:
    read(ONE % ("dev", key))
    for source in ("models", "'*'"):
        (problem,) = problems(ONE % (source, key))
        assert "`models` has no `workspace` or `tracking_uri`" in problem


def test_a_step_that_acts_on_a_registry_needs_one_with_an_address() -> None:
    text = (
        "  - name: one\n    when: {source: models, event: comment.created}\n    steps: [{registry_transition: {%s}}]\n"
    )
    read(text % "stage: Staging, registry: dev")
    for options, message in (
        ("stage: Staging", "`models` has no `workspace`"),
        ("stage: Staging, registry: models", "`models` has no `workspace`"),
        ("stage: Staging, registry: elsewhere", "no source is called 'elsewhere': sources are `dev`, `models`"),
    ):
        (problem,) = problems(text % options)
        assert message in problem


@pytest.mark.parametrize("condition", ["0.9", ">= much", "=> 1", "", ">= 1 or so"])
def test_a_metric_needs_a_condition(condition: str) -> None:
    (problem,) = problems(ONE % ("dev", f"require: {{metrics: {{accuracy: '{condition}'}}}}"))
    assert problem.endswith(f"{condition!r} is no condition such as `>= 0.9`")


def test_a_gate_of_a_wrong_shape_is_named() -> None:
    (problem,) = problems(ONE % ("dev", "require: {stil: true}"))
    assert "routes[0].require.stil: unknown key" in problem


@pytest.mark.parametrize("budget", ["0", "-5", "lots", "1.5", "true"])
def test_a_budget_is_a_number_of_routes(budget: str) -> None:
    (problem,) = problems(ONE % ("dev", "") + f"budget: {budget}\n")
    assert "budget: expected how many routes" in problem


def test_the_budget_is_taken_from_the_file() -> None:
    assert read(ONE % ("dev", "") + "budget: 7\n").budget == 7


def test_no_step_may_be_called_like_the_status() -> None:
    text = ONE % ("dev", "on_failure: [{id: status, slack: {url_secret: mlops-slack, text: x}}]")
    (problem,) = problems(text)
    assert "'status' is taken" in problem


@pytest.mark.parametrize("url", ["http://adb-1.azuredatabricks.net", "adb-1.azuredatabricks.net", "ftp://x"])
def test_a_registry_in_clear_is_refused(url: str) -> None:
    with pytest.raises(RoutesError) as error:
        parse_routes(SOURCES.replace("https://adb-1.1.azuredatabricks.net", url) + ONE % ("dev", ""), "f", rules())
    assert "sources.dev.workspace: it has to be an https:// URL" in error.value.problems[0]
