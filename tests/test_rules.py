"""The rules of the tree: who may import whom, and where settings and azure.functions are touched."""

from __future__ import annotations

import ast
import json
import os
import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from handlers.sources import SOURCES
from handlers.targets import TARGETS, target_module

ROOT = Path(__file__).parent.parent
APP = [ROOT / "function_app.py", *sorted((ROOT / "handlers").rglob("*.py")), *sorted((ROOT / "shared").rglob("*.py"))]
IDS = [str(path.relative_to(ROOT)) for path in APP]


def imports(path: Path) -> Iterator[str]:
    """Yield the name of each module that a file imports, at its top or inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            module = node.module or ""
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", APP, ids=IDS)
def test_imports_go_from_function_app_to_handlers_to_shared_and_never_back(path: Path) -> None:
    first = path.relative_to(ROOT).parts[0]
    forbidden = {
        "shared": ("handlers", "function_app", "local", "tests"),
        "handlers": ("function_app", "local", "tests"),
    }
    wrong = [name for name in imports(path) if name.split(".")[0] in forbidden.get(first, ("local", "tests"))]
    assert not wrong


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("cli", ("function_app", "local", "infra", "examples", "soak", "bench", "tests")),
        ("local", ("function_app", "handlers", "infra", "examples", "soak", "bench", "tests")),
        ("infra", ("function_app", "handlers", "examples", "soak", "bench", "tests")),
        ("examples", ("function_app", "handlers", "infra", "soak", "bench", "tests")),
        ("soak", ("function_app", "handlers", "infra", "examples", "bench", "tests")),
    ],
)
def test_what_stands_around_the_app_imports_in_one_direction_too(folder: str, forbidden: tuple[str, ...]) -> None:
    files = [path for path in (ROOT / folder).rglob("*.py") if "node_modules" not in path.parts]
    assert files
    assert not [(path.name, name) for path in files for name in imports(path) if name.split(".")[0] in forbidden]


@pytest.mark.parametrize("path", APP, ids=IDS)
def test_sources_and_targets_import_no_neighbours(path: Path) -> None:
    for folder in ("handlers.sources", "handlers.targets"):
        if path.parent == ROOT / folder.replace(".", "/") and path.name != "__init__.py":
            assert not [name for name in imports(path) if name.startswith(folder)]


@pytest.mark.parametrize("path", APP, ids=IDS)
def test_azure_functions_is_imported_in_function_app_alone(path: Path) -> None:
    used = any(name.startswith("azure.functions") for name in imports(path))
    assert used == (path.name == "function_app.py")


@pytest.mark.parametrize("path", APP, ids=IDS)
def test_settings_alone_reads_the_environment(path: Path) -> None:
    reads = re.search(r"\bos\.(environ|getenv)\b|from os import", path.read_text()) is not None
    assert reads == (path.name == "settings.py")


HEAVY = ("azure.", "msrest", "requests", "urllib3", "yaml")


@pytest.mark.parametrize("path", APP, ids=IDS)
def test_shapes_alone_hands_shapes_to_msgspec(path: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    named = [(ast.unparse(call.func), [keyword.arg for keyword in call.keywords], len(call.args)) for call in calls]
    wrong = [
        name
        for name, keywords, given in named
        if name.startswith("msgspec.")
        and (name.endswith(("convert", "Decoder")) or (name.endswith("decode") and (given > 1 or "type" in keywords)))
    ]
    assert bool(wrong) == (path.name == "shapes.py")


@pytest.mark.parametrize("path", APP, ids=IDS)
def test_heavy_packages_are_imported_where_they_are_used(path: Path) -> None:
    top = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [alias.name for node in top if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in top if isinstance(node, ast.ImportFrom)]
    allowed = {"function_app.py": ("azure.functions",), "routes_file.py": ("yaml",), "routes_lines.py": ("yaml",)}
    assert not [name for name in names if name.startswith(HEAVY) and name not in allowed.get(path.name, ())]


def test_no_installed_package_is_called_like_a_folder_of_ours() -> None:
    for name in ("shared", "handlers"):
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        assert Path(spec.origin).is_relative_to(ROOT)


def test_every_target_has_its_file_its_row_its_test_and_its_line_in_the_readme() -> None:
    files = {path.stem for path in (ROOT / "handlers" / "targets").glob("*.py")} - {"__init__"}
    tests = {path.stem.removeprefix("test_") for path in (ROOT / "tests/handlers/targets").glob("test_*.py")}
    readme = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert files == set(TARGETS)
    assert files <= tests
    assert files <= readme


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_has_what_a_target_needs(name: str) -> None:
    module = target_module(name)
    assert set(module.TEMPLATED) <= set(module.Options.__struct_fields__)
    assert callable(module.connect)
    assert callable(module.start)
    assert "Waiting(" not in Path(str(module.__file__)).read_text() or callable(module.check)


def test_every_source_has_its_file_and_its_row() -> None:
    files = {path.stem for path in (ROOT / "handlers" / "sources").glob("*.py")} - {"__init__"}
    assert files == set(SOURCES)


def test_every_setting_is_named_in_the_example() -> None:
    found = re.findall(r'"([A-Z][A-Z_]{4,})"', (ROOT / "shared" / "settings.py").read_text())
    read = {name for name in found if not name.startswith("WEBSITE_")}  # which Azure sets
    text = (ROOT / "function_app.py").read_text()
    read |= set(re.findall(r"%([A-Z_]+)%", text)) | {"AzureWebJobsStorage"}
    example = set(json.loads((ROOT / "local.settings.json.example").read_text())["Values"])
    assert read <= example
    assert example - read == {"FUNCTIONS_WORKER_RUNTIME", "PYTHON_THREADPOOL_THREAD_COUNT"}, "which the host reads"


def test_every_setting_is_told_in_the_readme() -> None:
    example = json.loads((ROOT / "local.settings.json.example").read_text())["Values"]
    readme = (ROOT / "README.md").read_text()
    assert not [name for name in example if f"`{name}`" not in readme]


def test_tests_that_share_costly_things_run_in_one_process(request: pytest.FixtureRequest) -> None:
    if "PYTEST_XDIST_WORKER" not in os.environ:
        pytest.skip("there is but one process")
    assert request.node.nodeid.endswith("@tests/test_rules.py"), "the group that tests/conftest.py gives"


def test_the_python_is_one_that_the_project_supports() -> None:
    assert (3, 11) <= sys.version_info[:2] <= (3, 13)
