"""Whatever the routes file holds, it is routes or problems with file and line: never a crash."""

from __future__ import annotations

import copy
import re
from datetime import date, datetime
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from handlers.current_routes import rules
from shared.errors import RoutesError
from shared.routes import Routes
from shared.routes_file import parse_routes

MANY = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
VALID = """\
sources:
  wine-dev: {kind: databricks, secret: wine-dev-webhook, max_age: 30d, workspace: "https://adb-1.1.azuredatabricks.net"}
  models: &m {kind: mlflow, secret: models-webhook, authorization_secret: bearer}
routes:
  - name: first
    when: {source: [wine-dev, "mod*"], event: "*", model: "wine*", to_stage: Production, tags: {approved: "true"}}
    steps:
      - id: tell
        slack: {url_secret: mlops-slack, text: "{model} {tags.approved} {{x}}", at_most_once: true}
      - azure_devops_release:
          organization: ml-governance
          project: ML Governance V2
          definition: 12
          variables: {modelName: "{model}", link: "{steps.tell.link}"}
          artifacts: [{alias: build, version: "7"}]
      - azure_devops_pipeline: {organization: o, project: p, pipeline: 6, wait: true, wait_hours: 1.5}
    on_failure:
      - teams: {url_secret: mlops-teams, text: "{failed.reason}"}
"""


def routes_or_problems(text: str) -> None:
    try:
        routes = parse_routes(text, "routes.yaml", rules())
    except RoutesError as error:
        told = error.problems
    else:
        assert isinstance(routes, Routes)
        return
    assert told
    assert [problem for problem in told if not re.match(r"routes\.yaml(:[1-9]\d*)?: ", problem)] == []


words = st.sampled_from(
    ["", "id", "slack", "teams", "text", "name", "when", "sources", "kind", "*", "{model}", "{", "24h", "\ud800", "é\n"]
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | words
    | st.text(max_size=8)
    | st.binary(max_size=4)
    | st.dates()
    | st.datetimes()
)
keys = words | st.text(max_size=5) | st.integers() | st.booleans() | st.none() | st.floats() | st.dates()
values = st.recursive(
    scalars, lambda child: st.lists(child, max_size=3) | st.dictionaries(keys, child, max_size=3), max_leaves=8
)


def dumped(value: Any) -> str:
    return str(yaml.safe_dump(value, allow_unicode=True))


@MANY
@given(values)
@example({None: None})
@example({"sources": {None: None, date(2026, 1, 1): {}}, "routes": [None]})
@example({"sources": {1.5: 5}, "routes": {datetime(2026, 1, 1): 5}})
def test_any_data_is_routes_or_problems(value: Any) -> None:
    routes_or_problems(dumped(value))


@MANY
@given(values)
def test_any_data_as_sources_or_routes_is_routes_or_problems(value: Any) -> None:
    routes_or_problems(dumped({"sources": value, "routes": value}))


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if not isinstance(value, dict | list):
        return [path]
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return [path, *(place for key, item in items for place in places(item, (*path, key)))]


DATA: dict[str, Any] = yaml.safe_load(VALID)
PLACES = [place for place in places(DATA) if place]


@settings(MANY, max_examples=400)
@given(st.sampled_from(PLACES), values)
def test_any_data_at_any_place_of_good_routes_is_routes_or_problems(place: tuple[Any, ...], value: Any) -> None:
    data = copy.deepcopy(DATA)
    inner = data
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    routes_or_problems(dumped(data))


@MANY
@given(st.sampled_from(PLACES), keys, values)
def test_any_key_at_any_place_of_good_routes_is_routes_or_problems(
    place: tuple[Any, ...], key: Any, value: Any
) -> None:
    data = copy.deepcopy(DATA)
    inner: Any = data
    for part in place[:-1]:
        inner = inner[part]
    if isinstance(inner, dict):
        inner[key] = value
    routes_or_problems(dumped(data))


PIECES = [
    "&a ",
    "*a",
    "*m",
    "!!int ",
    "!!set ",
    "!!bool ",
    "!x ",
    "- ",
    ": ",
    "? ",
    "{",
    "}",
    "[",
    "]",
    "'",
    '"',
    "\t",
    "\n",
    "#",
    "|",
    ">",
    "%",
    "<<: ",
    "2026-99-99",
    "1:99",
    ".nan",
    "~",
    "0x",
    "\x00",
    "\ufeff",
    "\\ud800",
    "---\n",
    "...\n",
    "@",
    "`",
]


@settings(MANY, max_examples=250)
@given(st.integers(0, len(VALID)), st.integers(0, 6), st.lists(st.sampled_from(PIECES), max_size=3).map("".join))
@example(0, 0, "")
def test_good_routes_with_a_piece_put_in_or_left_out_are_routes_or_problems(at: int, without: int, piece: str) -> None:
    routes_or_problems(VALID[:at] + piece + VALID[at + without :])


@MANY
@given(
    st.text() | st.lists(st.sampled_from([*PIECES, "a", "sources", "routes", " ", "\n  "]), max_size=14).map("".join)
)
@example("&a [*a]")
@example("&a {b: *a}")
@example("a: 2026-99-99")
@example("a: !!timestamp x")
@example("a: !!bool x")
@example("\ud800")
def test_any_text_is_routes_or_problems(text: str) -> None:
    routes_or_problems(text)


@pytest.mark.parametrize(
    "text", ["[" * 5000, "{a: " * 2000, "- " * 2000, "? " * 2000, "!" * 5000, "\n" * 5000, "'" * 5001]
)
def test_a_text_that_only_repeats_itself_is_problems(text: str) -> None:
    with pytest.raises(RoutesError):
        parse_routes(text, "routes.yaml", rules())
