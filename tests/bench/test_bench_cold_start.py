"""The quick form of the cold start: every start is a process that really answers, and every target really acts."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from bench import cold_start
from bench.outside import TARGETS, furnish, routes_here
from bench.report import figures
from handlers import targets
from handlers.current_routes import rules
from local.system import System
from shared.routes_file import parse_routes


@pytest.fixture(scope="module")
def outside() -> Iterator[System]:
    with System() as running:
        furnish(running)
        yield running


@pytest.mark.long
def test_the_table_has_the_library_alone_and_the_app_with_each_kind_of_telemetry(outside: System) -> None:
    report = cold_start.app_report(outside, 1, {"3": sys.executable})
    apps = ["3 app", "3 app, telemetry by OTLP", "3 app, Application Insights"]
    assert [name for name, _ in report.rows] == ["3 azure.functions alone", *apps]
    for name in apps:
        cells = figures(dict(report.rows)[name])
        assert cells["all to 202"].median == sum(cells[lap].median for lap in ("import", "index", "first 202"))
        assert cells["MB at 202"].median >= cells["MB"].median > 0
        assert ("exporters after it" in cells) == (name != "3 app")


def test_the_first_use_of_a_target_is_a_call_of_it_in_each_python(outside: System) -> None:
    names = ["slack", "azure_devops_release"]
    report = cold_start.targets_report(outside, 1, names, {"one": sys.executable, "other": sys.executable})
    assert [name for name, _ in report.rows] == names
    columns = [f"{python} {use}" for python in ("one", "other") for use in ("first use", "next use", "MB more")]
    assert list(report.columns) == columns
    for _, cells in report.rows:
        assert sorted(figures(cells)) == sorted(columns)
    assert len(outside.chat.messages) == len(outside.devops.starts) == 4  # in each Python the first, and the next


def test_there_is_a_route_for_each_target_but_those_that_need_more_than_a_model(outside: System) -> None:
    assert set(TARGETS) == set(targets.TARGETS) - {"copy_model", "transition_request"}
    routes = parse_routes(routes_here(outside).read_text(), "routes.yaml", rules())
    assert {step.target for route in routes.routes for step in route.steps} == set(TARGETS)


def test_a_start_that_fails_is_told_with_its_output(outside: System) -> None:
    settings = {**outside.environment(), "ROUTES": "no-such-routes.yaml"}
    start = cold_start.Start("a start", sys.executable, "app", settings)
    given = [{"source": "wine-dev", "headers": {}, "body": "{}"}]
    with pytest.raises(RuntimeError, match=r"no-such-routes\.yaml"):
        cold_start.child(start, given)
