"""YAML with line numbers: plain values, and for each key the line on which it stands."""

from __future__ import annotations

from typing import Any

import yaml
from yaml import composer

Path = tuple[Any, ...]
"""Where something stands: `("routes", 0, "when", "model")`."""


class Lines:
    """The line of each key and list item of a YAML text."""

    def __init__(self) -> None:
        self._lines: dict[Path, int] = {}

    def note(self, path: Path, mark: Any) -> None:
        """Remember that the path's key stands at the mark."""
        self._lines[path] = mark.line + 1

    def of(self, path: Path) -> int:
        """Return the line of the path or, where it stands nowhere (a missing key), of what should hold it."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)


def load_with_lines(text: str) -> tuple[Any, Lines]:
    """Return the value of one YAML document and its lines.

    Raises yaml.YAMLError for what is not YAML, uses tags, anchors that nest, or a key twice in one mapping.
    """
    try:
        return _loaded(_QuickLoader(text))
    except (yaml.YAMLError, RecursionError, UnicodeError):
        loader = yaml.SafeLoader(text)  # its words tell more of what is wrong, and its marks more exactly where
    try:
        return _loaded(loader)
    except RecursionError:
        raise yaml.MarkedYAMLError(problem="nested too deep", problem_mark=loader.get_mark()) from None


class _QuickLoader(composer.Composer, yaml.CSafeLoader):
    """PyYAML's safe loader with libyaml's parser, five times as fast.

    What nests is composed in Python, which raises RecursionError where yaml.CSafeLoader alone would end the process.
    """

    def __init__(self, text: str) -> None:
        yaml.CSafeLoader.__init__(self, text)
        composer.Composer.__init__(self)


def _loaded(loader: Any) -> tuple[Any, Lines]:
    lines = Lines()
    try:
        root = loader.get_single_node()
        if root is None:
            return None, lines
        _check_node(root, frozenset(), {})
        return _value(loader, root, (), lines), lines
    finally:
        loader.dispose()


def dotted(path: Path) -> str:
    """Return the path as a person writes it: `routes[0].when.model`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.lstrip(".")


def _value(loader: Any, node: Any, path: Path, lines: Lines) -> Any:
    if isinstance(node, yaml.MappingNode):
        return _mapping(loader, node, path, lines)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines.note((*path, index), item.start_mark)
        return [_value(loader, item, (*path, index), lines) for index, item in enumerate(node.value)]
    return _scalar(loader, node)


def _scalar(loader: Any, node: Any) -> Any:
    try:
        value = loader.construct_object(node)
        hash(value)  # a scalar tagged as a set is one
        if isinstance(value, str):
            value.encode()
    except yaml.YAMLError:
        raise
    except Exception:  # the constructors of dates, numbers and the like raise whatever they meet
        kind = node.tag.rsplit(":", 1)[-1]
        raise yaml.MarkedYAMLError(problem=f"{node.value[:40]!r} is no {kind}", problem_mark=node.start_mark) from None
    return value


_PLAIN = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


def _check_node(node: Any, above: frozenset[int], bears_alias: dict[int, bool]) -> bool:
    """Tell whether an alias stands in the node. Refuse tags on collections, and an alias in what another repeats."""
    if isinstance(node, yaml.ScalarNode):
        return False
    if node.tag not in _PLAIN:
        raise yaml.MarkedYAMLError(problem=f"the tag {node.tag!r} is not for this file", problem_mark=node.start_mark)
    if id(node) in above or bears_alias.get(id(node)):
        raise yaml.MarkedYAMLError(problem="an alias stands in what another repeats", problem_mark=node.start_mark)
    if id(node) in bears_alias:
        return True
    children = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
    found = [_check_node(child, above | {id(node)}, bears_alias) for child in children]
    bears_alias[id(node)] = any(found)
    return any(found)


def _mapping(loader: Any, node: Any, path: Path, lines: Lines) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise yaml.MarkedYAMLError(problem="a key has to be a text", problem_mark=key_node.start_mark)
        if key_node.tag == "tag:yaml.org,2002:merge":
            problem = "`<<` is not for this file: write the keys out, or repeat a whole value by an alias"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
        key = _scalar(loader, key_node)
        if key in found:
            raise yaml.MarkedYAMLError(problem=f"the key {key!r} stands twice", problem_mark=key_node.start_mark)
        lines.note((*path, key), key_node.start_mark)
        found[key] = _value(loader, value_node, (*path, key), lines)
    return found
