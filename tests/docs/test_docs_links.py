"""Links between documents lead somewhere, and the commands in them exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from cli.commands import app

ROOT = Path(__file__).parents[2]
DOCS = sorted((ROOT / "docs").glob("*.md"))
READMES = [ROOT / name for name in ("README.md", "examples/wine/README.md", "infra/azure-pipelines/README.md")]
ALL = [*DOCS, *READMES]
LINK = re.compile(r"\]\(([^()\s#]*)(?:#([^()\s]+))?\)")
COMMAND = re.compile(r"python3? -m cli ([^`\n|;&)]+)")
MAKE = {*re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)}


def names(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(path: Path) -> set[str]:
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings]
    return {re.sub(r"[^\w -]", "", heading).replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("path", ALL, ids=names)
def test_every_link_within_the_project_leads_somewhere(path: Path) -> None:
    for target, anchor in LINK.findall(path.read_text()):
        if "://" in target or target.startswith("{"):
            continue
        there = (path.parent / target).resolve() if target else path
        assert there.exists(), target
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), f"{target}#{anchor}"


def test_the_index_names_every_document() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    files = {path.name for path in (ROOT / "docs").iterdir() if path.suffix in (".md", ".yaml", ".json")}
    assert {target for target, _ in LINK.findall(index)} >= files - {"README.md"}


@pytest.mark.parametrize("path", ALL, ids=names)
def test_every_command_in_a_document_exists_with_its_options(path: Path) -> None:
    text = path.read_text().replace("\\\n", " ")
    for words in COMMAND.findall(text):
        command, rest = _found(typer.main.get_command(app), shlex.split(words.strip(), comments=True))
        known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        used = {word.split("=")[0] for word in rest if re.match(r"--[a-z]", word)}
        assert used <= known | {"--help"}, words


def _found(command: Any, words: list[str]) -> tuple[Any, list[str]]:
    """The command that the words name, and the words after its name."""
    while True:
        commands = getattr(command, "commands", None)
        if not commands:
            return command, words
        options, words = _leading(words)
        known = {name for parameter in command.params for name in parameter.opts}
        assert {option for option in options if option.startswith("--")} <= known
        if not words or words[0] == "COMMAND":
            return command, []
        name = words[0].rstrip(",.:")
        assert name in commands, f"no command {name}"
        command, words = commands[name], words[1:]


def _leading(words: list[str]) -> tuple[list[str], list[str]]:
    """Options of a group, each with its value, and what follows."""
    count = 0
    while count < len(words) and words[count].startswith("--"):
        count += 2
    return words[:count], words[count:]


@pytest.mark.parametrize("path", ALL, ids=names)
def test_every_make_target_in_a_document_exists(path: Path) -> None:
    text = path.read_text()
    assert set(_made(text)) <= MAKE


def _made(text: str) -> Iterator[str]:
    yield from re.findall(r"(?:^|`|&& )make ([a-z-]+)", text, re.MULTILINE)
