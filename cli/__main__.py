"""`python -m cli`."""

from cli.commands import app

app(prog_name="python -m cli")
