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


JOBS = """\
  jobs: {kind: databricks_jobs, secret: jobs-user%s}
routes:
  - name: one
    when: {source: %s, event: "%s"}
    steps: [{slack: {url_secret: mlops-slack, text: x}}]
    %s
"""


def with_jobs(extra: str, source: str, event: str, key: str = "") -> str:
    return SOURCES.replace("routes:\n", "") + JOBS % (extra, source, event, key)


def problems_of(text: str) -> list[str]:
    with pytest.raises(RoutesError) as error:
        parse_routes(text, "routes.yaml", rules())
    return error.value.problems


def test_a_source_of_jobs_takes_no_authorization_secret() -> None:
    (problem,) = problems_of(with_jobs(", authorization_secret: jobs-user", "jobs", "job.failed"))
    assert problem.startswith("routes.yaml:4: sources.jobs.authorization_secret: a source of jobs takes none: `secret`")
    parse_routes(with_jobs("", "jobs", "job.failed"), "routes.yaml", rules())


@pytest.mark.parametrize("key", ["require: {still: true}", "write_status: true"])
def test_a_route_that_only_jobs_start_has_no_model_version_to_ask_about_or_to_write_to(key: str) -> None:
    address = ', workspace: "https://adb-1.1.azuredatabricks.net"'
    for source, event in (("jobs", "job.failed"), ("jobs", "*"), ("dev", "job.*")):
        (problem,) = problems_of(with_jobs(address, source, event, key))
        assert (
            f"routes[0].{key.partition(':')[0]}: only jobs start this route, and a job is no model version" in problem
        )
    parse_routes(with_jobs(address, "[jobs, dev]", "*", key), "routes.yaml", rules())


COPY = "  - name: one\n    when: {source: dev, event: comment.created}\n    steps: [{copy_model: {%s}}]\n"


@pytest.mark.parametrize(
    ("options", "key", "message"),
    [
        ("to: elsewhere", "to", "no source is called 'elsewhere'"),
        ("to: models", "to", "`models` has no `workspace` or `tracking_uri`"),
        ("to: dev", "to", "it would be copied to the model itself: give it another `name`, or another `to`"),
        ("to: dev, registry: dev", "to", "it would be copied to the model itself"),
        ("to: dev, name: live, experiment: copies", "experiment", "a path such as `/Shared/copies`"),
        ("to: dev, name: live, stage: Live", "", "'Live' is no stage"),
        ("to: dev, name: live, tags: {relay.marker: x}", "", "set by the relay itself"),
        ("to: dev, name: live, max_megabytes: 0", "max_megabytes", "> 0"),
        ("to: dev, name: live, large: {job: 5}", "large", "`workspace` is missing"),
        ('to: dev, name: live, large: {job: 0, workspace: "https://adb-1.1"}', "large.job", ">= 1"),
        (
            'to: dev, name: live, large: {job: 5, workspace: "http://adb-1.1"}',
            "large",
            "`workspace` has to be an https://",
        ),
        ('to: dev, name: live, large: {job: 5, workspace: "https://x", pat_secret: a_b}', "large.pat_secret", ""),
        ('to: dev, name: live, large: {job: 5, workspace: "https://{model}"}', "large.workspace", "no placeholders"),
    ],
)
def test_a_copy_that_is_not_possible_is_told_with_its_key(options: str, key: str, message: str) -> None:
    (problem,) = problems(COPY % options)
    assert f"routes[0].steps[0].copy_model{'.' if key else ''}{key}: " in problem
    assert message in problem


def test_a_copy_within_a_workspace_is_possible_under_another_name() -> None:
    read(COPY % 'to: dev, name: "{model}-live", experiment: /Shared/copies')
