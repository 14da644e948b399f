"""docs/routes.md: made from the code, and true."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from cli.reference import WORDS, reference
from cli.schema import RELAYS_OWN
from handlers.current_routes import rules
from handlers.targets import TARGETS, target_module
from shared.routes import EVENT_TYPES, Require, Source, When
from shared.routes_file import parse_routes

PAGE = Path(__file__).parents[2] / "docs" / "routes.md"
SAID: dict[str, Any] = yaml.safe_load(WORDS.read_text())
SHAPES: dict[str, type] = {"Sources": Source, "When": When, "Require": Require}
SHAPES |= {name: target_module(name).Options for name in TARGETS}
SOURCES = """
sources:
  wine-dev: {kind: databricks, secret: a, workspace: "https://adb-1111111111111111.1.azuredatabricks.net"}
  models: {kind: mlflow, secret: b, tracking_uri: "https://mlflow.example.com"}
routes:
  - name: example
    rounds: 1
    when: {source: wine-dev, event: model_version.stage_changed}
    steps:
"""


def section(name: str) -> str:
    text = PAGE.read_text().split(f"\n{'###' if name in TARGETS else '##'} {name}\n", 1)[1]
    return re.split(r"\n###? ", text, maxsplit=1)[0]


def rows(text: str) -> dict[str, list[str]]:
    found = re.findall(r"^\| `(\w+)` \|(.*)\|$", text, re.MULTILINE)
    return {key: [cell.strip() for cell in rest.split(" | ")] for key, rest in found}


def test_the_reference_is_the_one_that_the_code_makes() -> None:
    assert PAGE.read_text() == reference(), "make it anew: make docs"


@pytest.mark.parametrize("name", SHAPES)
def test_every_key_has_its_row_with_its_default_and_its_meaning(name: str) -> None:
    told = rows(re.split(r"\n`\w+`:\n", section(name))[0])
    fields = [field for field in msgspec.structs.fields(SHAPES[name]) if (name, field.name) not in RELAYS_OWN]
    assert set(told) == {field.name for field in fields}
    for field in fields:
        cells = told[field.name]
        assert (cells[1] == "required") == field.required
        assert len(cells[-1]) > 8, "a meaning"
        if isinstance(field.default, str) and field.default:
            assert cells[1] == f"`{field.default}`"


@pytest.mark.parametrize("name", TARGETS)
def test_a_field_is_said_to_take_placeholders_where_it_does(name: str) -> None:
    told = rows(re.split(r"\n`\w+`:\n", section(name))[0])
    assert {key for key, cells in told.items() if cells[2] in ("any", "checked")} == (
        set(target_module(name).TEMPLATED) - {field for owner, field in RELAYS_OWN if owner == name}
    )


@pytest.mark.parametrize("name", TARGETS)
def test_the_example_of_a_target_is_one_that_the_app_loads(name: str) -> None:
    [example] = re.findall(r"```yaml\n(.*?)```", section(name), re.DOTALL)
    text = SOURCES + "".join(f"      {line}\n" for line in example.splitlines())
    [route] = parse_routes(text, "example.yaml", rules()).routes
    assert name in [step.target for step in route.steps]


def test_every_event_type_is_told() -> None:
    assert re.findall(r"^\| `([\w.]+)` \|", section("Event types"), re.MULTILINE) == list(EVENT_TYPES)


def test_no_words_are_left_of_a_key_that_is_gone() -> None:
    known = {"source", "route", "when", "require", *TARGETS}
    parts = {name for name in SAID if "." in name}
    assert SAID.keys() - parts - known == {"page", "placeholders", "once", "shared", "examples"}
    for name in TARGETS:
        known_keys = {field.name for field in msgspec.structs.fields(SHAPES[name])}
        assert set(SAID[name]) <= known_keys, name
    assert set(SAID["once"]) == set(SAID["examples"]) == set(TARGETS)
