"""Each threat of the model names tests that exist."""

from __future__ import annotations

import ast
import re

import pytest

from infra.checks.bicep import INFRA

ROOT = INFRA.parent
DOCUMENT = (ROOT / "docs" / "threat-model.md").read_text()


def rows_below(heading: str) -> list[list[str]]:
    table = DOCUMENT.split(f"## {heading}")[1].split("\n## ")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table if line.startswith("| ")][2:]


THREATS = rows_below("Each threat")
ADDRESSES = rows_below("Where an address comes from")


def all_test_functions() -> set[str]:
    found = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        if "node_modules" not in path.parts:
            tree = ast.parse(path.read_text())
            found |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    return {name for name in found if name.startswith("test_")}


@pytest.fixture(scope="module")
def existing() -> set[str]:
    return all_test_functions()


@pytest.mark.parametrize("threat", THREATS, ids=[row[0] for row in THREATS])
def test_a_threat_has_a_control_and_tests_that_exist(threat: list[str], existing: set[str]) -> None:
    _, control, proof = threat
    named = re.findall(r"`(test_\w+)`", proof)
    assert control
    assert named
    assert [name for name in named if name not in existing] == []


@pytest.mark.parametrize("address", ADDRESSES, ids=[row[0] for row in ADDRESSES])
def test_a_way_for_an_address_has_a_check_and_tests_that_exist(address: list[str], existing: set[str]) -> None:
    _, _, check, proof = address
    named = re.findall(r"`(test_\w+)`", proof)
    assert check
    assert named
    assert [name for name in named if name not in existing] == []
    assert [path for path in re.findall(r"`(\w+/[\w/]+\.py)`", check) if not (ROOT / path).is_file()] == []


def test_the_model_has_its_threats() -> None:
    assert len(THREATS) > 50
    assert len(ADDRESSES) > 15


@pytest.mark.parametrize("name", ["SECURITY.md", "docs/threat-model.md", "docs/deploy.md", "docs/monitoring.md"])
def test_links_within_the_documents_lead_somewhere(name: str) -> None:
    path = ROOT / name
    for target, anchor in re.findall(r"\]\(([\w./-]*)(?:#([\w-]+))?\)", path.read_text()):
        document = path if not target else (path.parent / target).resolve()
        assert document.is_file(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", ["SECURITY.md", "docs/deploy.md", "docs/monitoring.md"])
def test_make_targets_and_scripts_of_the_documents_exist(name: str) -> None:
    text = (ROOT / name).read_text()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", text)) <= targets
    scripts = set(re.findall(r"\binfra/[\w/.-]+\.(?:sh|yml|bicepparam|bicep|json)", text))
    # `qa` is the reader's own
    assert [each for each in scripts if not (ROOT / each).is_file() and "qa." not in each] == []
    assert all((ROOT / each).stat().st_mode & 0o111 for each in scripts if each.endswith(".sh"))
