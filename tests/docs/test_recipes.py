"""Routes files in the documents: each is one that the app loads, and says what is written above it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from handlers.current_routes import rules
from handlers.targets import TARGETS
from shared.routes import Routes
from shared.routes_file import parse_routes

ROOT = Path(__file__).parents[2]
FILES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"```yaml\n((?:#.*\n)*sources:.*?)```", re.DOTALL)
BLOCKS = [(path.name, text) for path in FILES for text in BLOCK.findall(path.read_text())]
IDS = [f"{name}-{number}" for number, (name, _) in enumerate(BLOCKS)]
RECIPES = (ROOT / "docs" / "recipes.md").read_text()


def load(text: str) -> Routes:
    return parse_routes(text, "recipe.yaml", rules())


@pytest.mark.parametrize(("name", "text"), BLOCKS, ids=IDS)
def test_a_routes_file_of_the_documents_is_one_that_the_app_loads(name: str, text: str) -> None:
    found = load(text)
    assert found.routes
    if name == "recipes.md":
        used = {name for route in found.routes for name in found.sources if _may_start(route.when.source, name)}
        assert used | _registries_named(found) == set(found.sources), "a source that nothing uses misleads"


def _may_start(wanted: object, name: str) -> bool:
    return wanted == "*" or name == wanted or (isinstance(wanted, list) and name in wanted)


def _registries_named(found: Routes) -> set[str]:
    steps = [step for route in found.routes for step in (*route.steps, *route.on_failure)]
    return {step.options[key] for step in steps for key in ("registry", "to") if key in step.options}


def test_every_recipe_is_a_whole_routes_file() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", RECIPES, re.DOTALL)
    assert blocks == BLOCK.findall(RECIPES)
    assert len(blocks) > 15


def test_a_recipe_says_which_hosts_have_to_be_allowed() -> None:
    for section in re.split(r"^## ", RECIPES, flags=re.MULTILINE)[1:]:
        for text in BLOCK.findall(section):
            steps = [step for route in load(text).routes for step in (*route.steps, *route.on_failure)]
            for url in [step.options["url"] for step in steps if step.target == "http"]:
                assert f"`{url.split('/')[2]}`" in section.split("```")[0], url


def test_every_target_stands_in_a_recipe() -> None:
    routes = [route for text in BLOCK.findall(RECIPES) for route in load(text).routes]
    used = {step.target for route in routes for step in (*route.steps, *route.on_failure)}
    assert used == set(TARGETS)


def test_the_list_at_the_top_names_every_recipe() -> None:
    listed = re.findall(r"^\* \[(.+?)\]\(#", RECIPES, re.MULTILINE)
    assert listed == re.findall(r"^## (.+)$", RECIPES, re.MULTILINE)
