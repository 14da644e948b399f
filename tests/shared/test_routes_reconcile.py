"""What a routes file may say of `reconcile`."""

from __future__ import annotations

import pytest

from handlers.current_routes import rules
from shared.errors import RoutesError
from shared.routes_file import parse_routes

WORKSPACE = 'workspace: "https://adb-1111111111111111.1.azuredatabricks.net"'


def parsed(source: str) -> str:
    text = f"sources:\n  wine-dev: {{secret: a-secret, {source}}}\nroutes: []\n"
    return parse_routes(text, "routes.yaml", rules()).sources["wine-dev"].reconcile


@pytest.mark.parametrize("written", ["off", '"off"', "alert", "enqueue"])
def test_a_source_with_a_registry_may_be_reconciled_or_not(written: str) -> None:
    assert parsed(f"kind: databricks, {WORKSPACE}, reconcile: {written}") == written.strip('"')
    assert parsed(f'kind: mlflow, tracking_uri: "https://mlflow.example.com", reconcile: {written}') == written.strip(
        '"'
    )


def test_a_source_is_not_reconciled_unless_it_says_so() -> None:
    assert parsed(f"kind: databricks, {WORKSPACE}") == "off"
    assert parsed("kind: databricks_jobs, reconcile: off") == "off"


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("kind: databricks, reconcile: alert", "add `workspace` or `tracking_uri` to the source"),
        ("kind: mlflow, reconcile: enqueue", "add `workspace` or `tracking_uri` to the source"),
        (f"kind: databricks_jobs, {WORKSPACE}, reconcile: alert", "a source of jobs has no registry"),
        (f"kind: databricks, {WORKSPACE}, reconcile: sometimes", "'sometimes' is none of `alert`, `enqueue`, `off`"),
        (f"kind: databricks, {WORKSPACE}, reconcile: [alert]", "['alert'] is none of"),
        (f"kind: databricks, {WORKSPACE}, reconcile: on", "True is none of `alert`, `enqueue`, `off`"),
    ],
)
def test_what_can_not_be_reconciled_is_refused_with_its_line_and_key(source: str, problem: str) -> None:
    with pytest.raises(RoutesError) as refused:
        parsed(source)
    (found,) = refused.value.problems
    assert found.startswith("routes.yaml:2: sources.wine-dev.reconcile: ")
    assert problem in found
