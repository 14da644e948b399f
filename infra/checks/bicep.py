"""Reads Bicep with tree-sitter's grammar: enough to look resources, settings and parameters up. It does not compile."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

INFRA = Path(__file__).resolve().parent.parent
TEMPLATES = [INFRA / "main.bicep", *sorted((INFRA / "modules").glob("*.bicep"))]
_PARSER = Parser(Language(tree_sitter_bicep.language()))


@dataclass(frozen=True)
class Resource:
    """A resource of a template. `body` is its object, for `properties_of`."""

    template: Path
    symbol: str
    type: str
    api_version: str
    is_existing: bool
    body: Node


def parse(path: Path) -> Node:
    """Return a template's syntax tree."""
    return _PARSER.parse(path.read_bytes()).root_node


def errors(node: Node) -> Iterator[str]:
    """Yield where the grammar could make nothing of the text."""
    if node.type == "ERROR" or node.is_missing:
        yield f"line {node.start_point.row + 1}: {text(node)[:60]!r}"
    for child in node.children:
        yield from errors(child)


def resources(path: Path) -> Iterator[Resource]:
    """Yield the resources that a template declares."""
    for node in _declarations(path, "resource_declaration"):
        kind, _, version = _string(node).partition("@")
        is_existing = any(text(child) == "existing" for child in node.children)
        yield Resource(path, _name(node), kind, version, is_existing, next(_found(node, "object")))


def modules(path: Path) -> Iterator[tuple[str, Path, dict[str, Node]]]:
    """Yield name, file and given parameters of each module that a template uses."""
    for node in _declarations(path, "module_declaration"):
        given = properties_of(next(_found(node, "object"))).get("params")
        yield _name(node), path.parent / _string(node), properties_of(given) if given else {}


def parameters(path: Path) -> dict[str, Node]:
    """Return a template's parameters with their declarations."""
    return {_name(node): node for node in _declarations(path, "parameter_declaration")}


def described(path: Path) -> dict[str, bool]:
    """Return for each parameter and output of a template whether it has a description."""
    found, decorated = {}, False
    for node in parse(path).children:
        if node.type == "decorators":
            decorated = "@description(" in text(node)
        elif node.type in ("parameter_declaration", "output_declaration"):
            found[_name(node)] = decorated or "@description(" in text(node)
            decorated = False
    return found


def variable(path: Path, name: str) -> Node:
    """Return the value of a template's variable. Raises KeyError if there is none."""
    for node in _declarations(path, "variable_declaration"):
        if _name(node) == name:
            return [child for child in node.named_children if child.type not in ("decorators", "identifier")][-1]
    raise KeyError(name)


def properties_of(node: Node) -> dict[str, Node]:
    """Return the properties of an object, by name; what follows the name is the value."""
    found = {}
    for child in node.named_children:
        if child.type == "object_property":
            key, value = child.named_children[0], child.named_children[-1]
            found[text(key).strip("'")] = value
    return found


def texts(node: Node) -> list[str]:
    """Return the items of an array as their source texts, strings without their quotes."""
    return [text(child).strip("'") for child in node.named_children if child.type != "comment"]


def text(node: Node) -> str:
    """Return a node's source text."""
    return (node.text or b"").decode()


def parameters_file(path: Path) -> tuple[Path, dict[str, Any]]:
    """Return the template that a .bicepparam file is for, and its values. Takes literals only: ValueError else."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("//")]
    using, *given = re.split(r"^(?=param )", "\n".join(lines), flags=re.MULTILINE)
    match = re.fullmatch(r"\s*using '([^']+)'\s*", using)
    if match is None:
        raise ValueError(f"{path.name}: `using '…'` has to come first")
    values = {}
    for part in given:
        name, _, literal = part.removeprefix("param ").partition("=")
        values[name.strip()] = _literal(literal.strip())
    return path.parent / match[1], values


def _literal(source: str) -> Any:
    """Read a Bicep literal by way of JSON: quotes are doubled, keys quoted, commas put at the ends of lines."""
    lines = [line.strip() for line in source.splitlines() if line.strip()]
    lines = [re.sub(r"^(\w+):", r'"\1":', line) for line in lines]
    lines = [re.sub(r"'([^']*)'", lambda match: json.dumps(match[1]), line) for line in lines]
    opens = [line[-1] in "[{" for line in lines]
    closes = [line[0] in "]}" for line in lines]
    ended = [line if opens[i] or i + 1 == len(lines) or closes[i + 1] else f"{line}," for i, line in enumerate(lines)]
    return json.loads("".join(ended))


def _declarations(path: Path, kind: str) -> Iterator[Node]:
    yield from (node for node in parse(path).children if node.type == kind)


def _found(node: Node, kind: str) -> Iterator[Node]:
    for child in node.named_children:
        if child.type == kind:
            yield child
        elif child.type not in ("object", "decorators"):
            yield from _found(child, kind)


def _string(node: Node) -> str:
    return text(next(_found(node, "string"))).strip("'")


def _name(node: Node) -> str:
    return text(next(child for child in node.named_children if child.type == "identifier"))
