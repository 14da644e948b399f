"""What a routes file is checked against, and where what is wrong in it is collected."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from shared.attempts import Caused
from shared.routes_lines import Lines, Path, dotted
from shared.shapes import converted


class TargetRules(msgspec.Struct, frozen=True):
    """What the file may say of a target: its options' shape, which of them take placeholders or name secrets
    (`part.field` within a struct), and what its steps cause in a registry."""

    options: type
    templated: frozenset[str]
    secrets: frozenset[str]
    causes: Callable[[Any], list[Caused]] | None = None

    def secrets_in(self, options: Mapping[str, Any]) -> dict[str, str]:
        """Return the Key Vault secrets that a step's options name, by where they stand: `pat_secret`, or
        `large.pat_secret` for one in a part of its own."""
        found = {}
        for key in sorted(self.secrets):
            part, _, field = key.rpartition(".")
            inner = options.get(part) if part else options
            if isinstance(inner, Mapping) and isinstance(inner.get(field), str) and inner[field]:
                found[key] = inner[field]
        return found

    def caused_by(self, options: Mapping[str, Any]) -> list[Caused]:
        """Return what a step with these options, as the file has them, causes in a registry."""
        return self.causes(converted(options, self.options)) if self.causes else []


class Rules(msgspec.Struct, frozen=True):
    """What this app knows: kinds of source with their default age limit in seconds, and targets."""

    source_kinds: Mapping[str, float]
    targets: Mapping[str, TargetRules]


class Problems:
    """Collects what is wrong, each with file, line and key."""

    def __init__(self, file: str, lines: Lines) -> None:
        self._file, self._lines = file, lines
        self.found: list[str] = []

    def add(self, path: Path, message: str) -> None:
        """Note a problem at the key."""
        self.found.append(f"{self._file}:{self._lines.of(path)}: {dotted(path) or 'the file'}: {message}")


def one_of(names: Iterable[str]) -> str:
    """Return the names as a person lists them."""
    return ", ".join(f"`{name}`" for name in sorted(names))
