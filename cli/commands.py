"""The commands of operators, put together; each concern has a file of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.check import check
from cli.client import Place
from cli.doctor import doctor
from cli.events import events
from cli.plan import plan
from cli.routes import routes
from cli.send import send
from cli.webhooks import webhooks

HELP = """Operate Registry Relay: check and plan routes, see and replay events, send samples.

`events` and `routes` speak to the running app: its URL in RELAY_URL, a function key in RELAY_KEY, or RELAY_AUDIENCE
where App Service authentication stands in front. Exit status: 0 fine, 1 refused or failed, 2 wrong usage.
"""

app = typer.Typer(no_args_is_help=True, help=HELP, pretty_exceptions_enable=False)
app.command("check")(check)
app.command("plan")(plan)
app.command("doctor")(doctor)
app.command("send")(send)
app.add_typer(events, name="events")
app.add_typer(routes, name="routes")
app.add_typer(webhooks, name="webhooks")


@app.callback()
def place(
    context: typer.Context,
    url: Annotated[
        str, typer.Option(envvar="RELAY_URL", help="Where the app is, such as https://x.azurewebsites.net.")
    ] = "",
    key: Annotated[str, typer.Option(envvar="RELAY_KEY", help="A function key; better in the environment.")] = "",
    entra: Annotated[
        str,
        typer.Option(
            envvar="RELAY_AUDIENCE",
            help="Application id (URI or client id) of the App Service authentication in front: asked as your account.",
        ),
    ] = "",
) -> None:
    """Note where the app is, for the commands that speak to it."""
    context.obj = Place(url, key, entra)


place.__doc__ = HELP
