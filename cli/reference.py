"""docs/routes.md: the reference of the routes file, made from the structs that the app reads it with.

Types, defaults and bounds come from the code, meanings and examples from docs/routes.words.yaml.
`python -m cli.reference` prints it; `make docs` writes it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from inspect import cleandoc
from pathlib import Path
from typing import Any

from cli.reference_types import default_of, takes, type_of
from cli.schema import routes_schema

WORDS = Path(__file__).parent.parent / "docs" / "routes.words.yaml"
HEADINGS = ("the-file", "sources", "routes", "when", "event-types", "require", "placeholders")


def reference() -> str:
    """Return the whole page. Raises KeyError for what has no words."""
    import yaml

    words, schema = yaml.safe_load(WORDS.read_text(encoding="utf-8")), routes_schema()
    return "\n".join(_Page(words, schema["definitions"]).sections(schema["properties"]["budget"]))


class _Page:
    """The page's sections, from the words and the schema's definitions."""

    def __init__(self, words: Mapping[str, Any], definitions: Mapping[str, Any]) -> None:
        self._words, self._definitions = words, definitions
        self._targets = sorted(definitions["step"]["properties"].keys() - {"id"})

    def sections(self, budget: Mapping[str, Any]) -> Iterator[str]:
        """Yield them in order."""
        page = self._words["page"]
        file = page["file"].replace("{budget}", f"{type_of(budget)}; default `{budget['default']}`")
        yield f"{page['front']}\n{self._contents()}"
        yield f"## The file\n\n{file}"
        yield f"## Sources\n\n{page['source']}\n{self._table('source')}"
        yield f"## Routes\n\n{page['route']}\n{self._table('route')}"
        yield f"## When\n\n{page['when']}\n{self._table('when')}"
        yield f"## Event types\n\n{page['events']}\n{_event_types()}"
        yield f"## Require\n\n{page['require']}\n{self._table('require')}"
        yield f"## Placeholders\n\n{self._placeholders()}{page['placeholders']}"
        yield f"## Targets\n\n{page['targets']}"
        yield from map(self._target, self._targets)

    def _contents(self) -> str:
        own = ", ".join(f"[{name.replace('-', ' ')}](#{name})" for name in HEADINGS)
        targets = ",\n  ".join(f"[{name}](#{name})" for name in self._targets)
        return f"* {own}\n* targets: {targets}\n"

    def _placeholders(self) -> str:
        from shared.messages import EVENT_FIELDS

        rows = [f"| `{{{field}}}` | {self._words['placeholders'][field]} |\n" for field in EVENT_FIELDS]
        return "".join(["| placeholder | stands for |\n| --- | --- |\n", *rows])

    def _target(self, name: str) -> str:
        from handlers.targets import target_module

        module = target_module(name)
        about = cleandoc(module.__doc__ or "").split("\n\n")[0].split("Contract: ")[0].strip()
        once = f"Once: {self._words['once'][name]}"
        example = f"```yaml\n{self._words['examples'][name]}```"
        parts = [
            f"`{part.split('.', 1)[1]}`:\n\n{self._table(part)}"
            for part in self._definitions
            if part.startswith(f"{name}.")
        ]
        table = self._table(name, module.TEMPLATED)
        return "\n\n".join([f"### {name}", about, once, example, "\n".join([table, *parts])])

    def _table(self, name: str, templated: Mapping[str, Any] | None = None) -> str:
        shape = self._definitions[name]
        heads = ["key", "takes", "default", *(["placeholders"] if templated else []), "meaning"]
        lines = [_row(heads), _row(["---"] * len(heads))]
        for key, schema in shape["properties"].items():
            safe = [takes(templated.get(key))] if templated else []
            cells = [f"`{key}`", type_of(schema), default_of(key, schema, shape), *safe, self._meaning(name, key)]
            lines.append(_row(cells))
        return "\n".join(lines) + "\n"

    def _meaning(self, name: str, key: str) -> str:
        own = self._words.get(name, {})
        return str(own[key] if key in own else self._words["shared"][key])


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _event_types() -> str:
    """Return the table of event types: each with what Databricks, MLflow or a job calls it."""
    from cli.samples import EVENTS
    from handlers.sources import databricks, databricks_jobs
    from shared.routes import EVENT_TYPES

    rows = [_row(["type", "Databricks", "MLflow"]), _row(["---"] * 3)]
    for type in EVENT_TYPES:
        names = [name for name, (told, _) in databricks._TYPES.items() if told == type]
        names += [f"jobs.on_{what}" for what, told in databricks_jobs._TYPES.items() if told == type]
        rows.append(_row([f"`{type}`", ", ".join(f"`{name}`" for name in names), "yes" if type in EVENTS else ""]))
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.stdout.write(reference())
