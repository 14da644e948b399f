"""Reads a routes file as the app does, for commands that need no running app."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import refused

if TYPE_CHECKING:
    from shared.routes import Routes

ROUTES = "routes.yaml"
RoutesFile = Annotated[str, typer.Option("--routes", envvar="ROUTES", help="The routes file, or a blob's URL.")]


def read_routes(name: str) -> Routes:
    """Return the routes of a file or blob URL. An invalid one ends the command: each problem is told, exit status 1."""
    from handlers.current_routes import rules
    from shared.errors import RoutesError
    from shared.routes_file import parse_routes

    text = _blob(name) if "://" in name else _file(name)
    try:
        return parse_routes(text, name.split("?")[0], rules())
    except RoutesError as error:
        for problem in error.problems:
            typer.echo(problem, err=True)
        count = len(error.problems)
        raise refused(f"{count} problem{'s' * (count != 1)} in {name.split('?')[0]}") from None


def _file(name: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise refused(f"{name} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise refused(f"{name} can't be read: it is not UTF-8") from None


def _blob(url: str) -> str:
    from azure.core.exceptions import AzureError

    from cli.client import safe_url
    from shared import storage

    shown = url.split("?")[0]
    try:
        return storage.read_blob_url(safe_url(url, "the URL of the routes file"))
    except UnicodeDecodeError:
        raise refused(f"{shown} can't be read: it is not UTF-8") from None
    except (AzureError, ValueError) as error:
        raise refused(f"{shown} can't be read: {type(error).__name__}") from None
