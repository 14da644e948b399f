"""The queries, the workbook and the alerts speak of what the app writes, and of nothing else."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.checks.bicep import INFRA, properties_of, text, texts, variable
from infra.monitoring import workbook
from shared.steps import State

DOCS = INFRA.parent / "docs"
SHARED = sorted((INFRA.parent / "shared").glob("*.py"))
QUERIES = sorted((INFRA / "monitoring" / "queries").glob("*.kql"))
IDS = [path.stem for path in QUERIES]
ALERTS = INFRA / "modules" / "alerts.bicep"
CONTRACT: dict[str, Any] = json.loads((INFRA / "monitoring" / "dimensions.json").read_text())
DIMENSIONS: dict[str, Any] = CONTRACT["dimensions"]
CASTS = {"text": {"tostring"}, "integer": {"toint", "tostring"}, "number": {"todouble"}}


def values_of(dimension: str) -> set[str]:
    """All values that the contract allows a dimension, whatever the record tells of."""
    values = DIMENSIONS[dimension]["values"]
    return set(values) if isinstance(values, list) else {each for group in values.values() for each in group}


def rules() -> dict[str, dict[str, str]]:
    """The alert rules of the template, each property as its source text."""
    found = {}
    for node in variable(ALERTS, "rules").named_children:
        rule = {name: text(value).strip("'") for name, value in properties_of(node).items()}
        found[rule["name"]] = rule
    return found


def query_of(rule: dict[str, str]) -> str:
    match = re.fullmatch(r"loadTextContent\('\.\./monitoring/queries/([\w-]+)\.kql'\)", rule["query"])
    assert match is not None, rule["query"]
    return match[1]


def test_every_kind_of_record_has_dimensions_that_are_described() -> None:
    assert set(CONTRACT["records"]) == set(DIMENSIONS["relay.what"]["values"])
    used = {name for names in CONTRACT["records"].values() for name in names}
    assert used | {"relay.what"} == set(DIMENSIONS)
    assert all(entry["meaning"] and entry["type"] in CASTS for entry in DIMENSIONS.values())
    assert set(DIMENSIONS["relay.outcome"]["values"]) <= set(CONTRACT["records"])


def told() -> Iterator[tuple[str, list[str]]]:
    """What the code tells: each kind of record with the dimensions that the call names; "**" for the others."""
    for path in [INFRA.parent / "function_app.py", *(INFRA.parent / "handlers").rglob("*.py"), *SHARED]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "tell":
                assert isinstance(node.args[0], ast.Constant), f"{path.name}: the kind of record is a text"
                names = [f"relay.{each.arg}" if each.arg else "**" for each in node.keywords if each.arg != "level"]
                yield str(node.args[0].value), [*names, *(["**"] if len(node.args) > 2 else [])]


def test_the_code_tells_what_the_contract_says_and_the_contract_what_the_code_tells() -> None:
    records: dict[str, list[str]] = CONTRACT["records"]
    kinds: dict[str, set[str]] = {}
    for kind, names in told():
        assert set(names) <= {*records[kind], "**"}, kind
        kinds.setdefault(kind, set()).update(names)
    assert set(kinds) == set(records)
    assert {kind for kind, names in kinds.items() if "**" not in names and names != set(records[kind])} == set()


def test_the_states_of_steps_are_those_of_the_ledger() -> None:
    assert set(DIMENSIONS["relay.outcome"]["values"]["step"]) == {state.value for state in State}


@pytest.mark.parametrize("path", QUERIES, ids=IDS)
def test_a_query_asks_for_dimensions_that_the_app_writes_and_converts_each_to_its_type(path: Path) -> None:
    query = path.read_text()
    asked = re.findall(r"(\w*)\(customDimensions\['([^']+)'\]\)", query)
    assert len(asked) == query.count("customDimensions"), "each dimension is converted where it is read"
    assert set(re.findall(r"relay\.[a-z_]+", query)) == {name for _, name in asked}
    assert [name for cast, name in asked if cast not in CASTS[DIMENSIONS[name]["type"]]] == []


@pytest.mark.parametrize("path", QUERIES, ids=IDS)
def test_a_query_looks_for_values_that_the_app_writes(path: Path) -> None:
    query = path.read_text()
    for dimension, short in (("relay.what", "what"), ("relay.outcome", "outcome")):
        reads = rf"(?:\b{short}|\(customDimensions\['{re.escape(dimension)}'\]\)) "
        compared = re.findall(rf"{reads}== '(\w+)'", query)
        listed = re.findall(rf"{reads}in \(([^)]*)\)", query)
        looked_for = {*compared, *(value for each in listed for value in re.findall(r"'(\w+)'", each))}
        assert looked_for <= values_of(dimension)


@pytest.mark.parametrize("path", QUERIES, ids=IDS)
def test_a_query_reads_dimensions_only_of_the_records_it_has_picked(path: Path) -> None:
    query = path.read_text()
    records: dict[str, list[str]] = CONTRACT["records"]
    picked = {kind for kind in records if f"'{kind}'" in query}
    asked = set(re.findall(r"customDimensions\['([^']+)'\]", query)) - {"relay.what"}
    assert asked <= {name for kind in picked for name in records[kind]}


def test_every_query_is_of_use() -> None:
    shown = {name for _, name, _, _ in workbook.PANELS}
    asked = {query_of(rule) for rule in rules().values()}
    assert shown.isdisjoint(asked)
    assert shown | asked == set(IDS)


def test_the_workbook_is_the_one_that_is_built_from_the_queries() -> None:
    assert (INFRA / "monitoring" / "workbook.json").read_text() == workbook.text()


def test_each_panel_of_the_workbook_asks_a_query_as_its_file_has_it() -> None:
    items = json.loads((INFRA / "monitoring" / "workbook.json").read_text())["items"]
    asked = {item["name"]: item["content"]["query"] for item in items if item["type"] == 3}
    assert len(asked) == len(workbook.PANELS)
    assert all(query == workbook.query(name) for name, query in asked.items())


def test_the_workbook_has_the_parameters_that_its_queries_and_panels_take() -> None:
    document = json.loads((INFRA / "monitoring" / "workbook.json").read_text())
    given = {each["name"] for item in document["items"] if item["type"] == 9 for each in item["content"]["parameters"]}
    panels = [item["content"] for item in document["items"] if item["type"] == 3]
    taken = {name for panel in panels for name in re.findall(r"\{(\w+)\}", panel["query"])}
    assert taken | {panel["timeContextFromParameter"] for panel in panels} == given


def test_the_template_puts_the_workbook_and_the_tiles_queries_in() -> None:
    template = (INFRA / "modules" / "views.bicep").read_text()
    assert f"replace(loadTextContent('../monitoring/workbook.json'), '{workbook.INSIGHTS}', insightsId)" in template
    tiles = re.findall(r"loadTextContent\('\.\./monitoring/queries/([\w-]+)\.kql'\)", template)
    assert len(tiles) == 2
    assert set(tiles) <= set(IDS)


@pytest.mark.parametrize("name", rules())
def test_an_alert_measures_and_splits_by_columns_that_its_query_has(name: str) -> None:
    rule = rules()[name]
    assert query_of(rule) == f"alert-{name}"
    query = workbook.query(query_of(rule))
    for column in filter(None, (rule["column"], rule["splitBy"])):
        assert re.search(rf"\b{column} = ", query), f"the query has no column {column}"
    assert (rule["aggregation"] == "Count") == (rule["column"] == "")


@pytest.mark.parametrize("name", rules())
def test_an_alert_with_a_measure_can_be_cut_into_its_window(name: str) -> None:
    rule = rules()[name]
    minutes = {"PT5M": 5, "PT15M": 15, "PT6H": 360}
    assert minutes[rule["frequency"]] <= minutes[rule["window"]], "else what happens between two windows is not seen"
    assert rule["severity"] in {"0", "1", "2", "3", "4"}


def test_what_stays_wrong_is_told_each_time_and_what_passes_resolves_itself() -> None:
    lasting = {name for name, rule in rules().items() if rule["resolves"] == "false"}
    assert lasting == {"dead-or-parked", "poison", "budget", "unreported"}


def test_the_docs_say_of_each_alert_what_to_do_first() -> None:
    sections = re.findall(r"^## `([\w-]+)`", (DOCS / "monitoring.md").read_text(), re.MULTILINE)
    assert sorted(sections) == sorted(rules())


def test_the_contract_is_told_in_the_docs() -> None:
    named = set(re.findall(r"`(relay\.\w+)`", (DOCS / "monitoring.md").read_text()))
    assert named == set(DIMENSIONS)


def test_every_rule_of_the_template_goes_to_the_action_group() -> None:
    template = ALERTS.read_text()
    assert "[for item in rules: {" in template
    assert texts(variable(ALERTS, "rules")), "there are rules"
    assert re.search(r"actionGroups: concat\(\[\s*people\.id\s*\], actionGroupIds\)", template)
