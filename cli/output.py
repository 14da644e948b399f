"""How things are shown: tables and colours for a person, JSON for a program, errors on the error output."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

COLOURS = {
    "succeeded": "green",
    "dead": "red",
    "parked": "yellow",
    "in_doubt": "yellow",
    "superseded": "yellow",
    "unrouted": "dim",
}
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def console() -> Console:
    """Return where tables and trees go; what is read by a program is not wrapped."""
    from rich.console import Console

    is_terminal = Console().is_terminal
    return Console(highlight=False, soft_wrap=not is_terminal, width=None if is_terminal else 400)


def print_json(value: Any) -> None:
    """Print a value as JSON that a person can read, too."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def plain(text: Any) -> str:
    """Show a text from outside as it is: no markup, no control characters."""
    from rich.markup import escape

    return escape("".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in str(text)))


def coloured(state: str) -> str:
    """Return a state in its colour, as markup."""
    return f"[{COLOURS.get(state, 'cyan')}]{plain(state)}[/]"


def moment(seconds: float) -> str:
    """Return a time in seconds since 1970 as UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def refused(reason: str) -> typer.Exit:
    """Tell why not, and return what ends the command with exit status 1."""
    from shared.redaction import redacted

    typer.echo(redacted(reason), err=True)  # what answers may repeat what it was sent
    return typer.Exit(1)
