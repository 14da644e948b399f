"""The sources of the routes file: who sends, where its registry is, and how old a delivery may be."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from shared.errors import SettingError
from shared.routes import RECONCILE, Source
from shared.routes_lines import Path
from shared.routes_registries import JOBS
from shared.routes_rules import Problems, Rules, one_of
from shared.routes_shapes import check_name, check_secret_name, convert
from shared.settings import allowed_url

_AGE = re.compile(r"([0-9]{1,6})([smhd])")
MAX_AGE_DAYS = 30
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def read_sources(data: dict[Any, Any], rules: Rules, problems: Problems) -> dict[str, Source]:
    """Return the sources whose shape is right, by name."""
    bodies = data.get("sources")
    if not isinstance(bodies, dict) or not bodies:
        problems.add(("sources",), "expected at least one source, such as `models: {kind: mlflow, secret: …}`")
        return {}
    read = {name: _source(name, body, rules, problems) for name, body in bodies.items()}
    return {name: source for name, source in read.items() if source is not None}


def source_names(data: dict[Any, Any]) -> list[str]:
    """Return the sources' names, also of those in which something is wrong."""
    sources = data.get("sources")
    return [name for name in sources if isinstance(name, str)] if isinstance(sources, dict) else []


def _source(name: Any, body: Any, rules: Rules, problems: Problems) -> Source | None:
    path: Path = ("sources", name)
    check_name(path, name, problems)
    if isinstance(body, dict) and "max_age" in body:
        body = {**body, "max_age": _age((*path, "max_age"), body["max_age"], problems)}
    if isinstance(body, dict) and "reconcile" in body:
        body = {**body, "reconcile": _reconcile((*path, "reconcile"), body["reconcile"], problems)}
    source = convert(path, body, Source, problems)
    if source is None:
        return None
    if source.kind not in rules.source_kinds:
        problems.add((*path, "kind"), f"{source.kind!r} is none of {one_of(rules.source_kinds)}")
        return None
    for key in ("secret", "authorization_secret", "token_secret"):
        if key == "secret" or getattr(source, key):
            check_secret_name((*path, key), getattr(source, key), problems)
    for key in ("workspace", "tracking_uri"):
        _check_url((*path, key), getattr(source, key), problems)
    if source.workspace and source.tracking_uri:
        problems.add(path, "a registry has a `workspace` (Databricks) or a `tracking_uri` (MLflow), not both")
    _check_reconcile((*path, "reconcile"), source, problems)
    return msgspec.structs.replace(source, max_age=source.max_age or rules.source_kinds[source.kind])


def _reconcile(path: Path, value: Any, problems: Problems) -> str:
    if value is False:  # which YAML reads an unquoted `off` as
        return "off"
    if value not in RECONCILE:
        problems.add(path, f"{value!r} is none of {one_of(RECONCILE)}")
        return "off"
    return str(value)


def _check_reconcile(path: Path, source: Source, problems: Problems) -> None:
    if source.reconcile == "off":
        return
    if source.kind == JOBS:
        problems.add(path, "a source of jobs has no registry to compare with: leave it out")
    elif not source.address:
        problems.add(path, "needs a registry to ask: add `workspace` or `tracking_uri` to the source")


def _age(path: Path, value: Any, problems: Problems) -> float:
    match = _AGE.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match[1]) == 0:
        problems.add(path, f"{value!r} is no age: give a number and s, m, h or d, such as `24h`")
        return 0.0
    seconds = float(int(match[1]) * _SECONDS[match[2]])
    if seconds > MAX_AGE_DAYS * 86400:
        problems.add(path, f"{value!r} is too long: {MAX_AGE_DAYS}d at most, since the ledger forgets in the end")
    return seconds


def _check_url(path: Path, url: str, problems: Problems) -> None:
    try:
        if url:
            allowed_url(url, "it")
    except SettingError as error:
        problems.add(path, str(error))
