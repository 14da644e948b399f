"""`send`: a signed sample of any event, to the app or to any URL."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.client import app_url, safe_url
from cli.output import console, plain, print_json, refused
from cli.secret import ask_secret

if TYPE_CHECKING:
    from cli.samples import Act

TIMEOUT_SECONDS = 60


def send(
    context: typer.Context,
    type: Annotated[str, typer.Option(help="The event, as its sender names it; --list lists them.")] = "",
    source: Annotated[str, typer.Option(help="To this source of the app at --url.")] = "",
    to_url: Annotated[str, typer.Option(help="To this URL, instead of --source.")] = "",
    secret_name: Annotated[str, typer.Option(help="The signing secret's name in Key Vault; else it is asked.")] = "",
    authorization_secret_name: Annotated[
        str, typer.Option(help="Name of the secret that the header Authorization has to be.")
    ] = "",
    vault: Annotated[str, typer.Option(envvar="KEY_VAULT_URL", help="The Key Vault, asked as your account.")] = "",
    model: Annotated[str, typer.Option(help="The model that it tells of.")] = "",
    version: Annotated[str, typer.Option(help="… its version.")] = "",
    to: Annotated[str, typer.Option(help="… the stage it goes to.")] = "",
    from_stage: Annotated[str, typer.Option("--from", help="… the stage it comes from.")] = "",
    alias: Annotated[str, typer.Option(help="… its alias.")] = "",
    tag: Annotated[str, typer.Option(help="… its tag, as KEY=VALUE.")] = "",
    comment: Annotated[str, typer.Option(help="… its comment or description.")] = "",
    list_: Annotated[bool, typer.Option("--list", help="List the events.")] = False,
    print_: Annotated[bool, typer.Option("--print", help="Print the body; send nothing.")] = False,
) -> None:
    """Send a signed sample of an event, and print what is answered. It is a real event: routes that match it start.

    The secret comes from Key Vault (--secret-name), else from a hidden prompt or the standard input.

    Example: python -m cli send --type MODEL_VERSION_TRANSITIONED_STAGE --source wine-dev --secret-name wine-dev-webhook
    """
    if list_:
        _list()
        return
    act = _act(model=model, version=version, to_stage=to, from_stage=from_stage, alias=alias, comment=comment, tag=tag)
    kind, body = _sample(type, act)
    if print_:
        print_json(body)
        return
    url = _url(context, source, to_url)
    authorization = authorization_secret_name and ask_secret(authorization_secret_name, vault, "")
    secret = ask_secret(secret_name, vault, "signing secret")
    _post(url, kind, secret, authorization, body)


def _list() -> None:
    from cli.samples import EVENTS

    for name, (kind, _) in EVENTS.items():
        typer.echo(f"{kind:<16} {name}")


def _act(tag: str, **given: str) -> Act:
    from cli.samples import Act

    told: dict[str, Any] = {name: value for name, value in given.items() if value}
    if tag:
        key, equals, value = tag.partition("=")
        if not key or not equals:
            raise typer.BadParameter("--tag has to be KEY=VALUE")
        told["tag"] = (key, value)
    return Act(**told)


def _sample(type: str, act: Act) -> tuple[str, dict[str, Any]]:
    from difflib import get_close_matches

    from cli.samples import EVENTS, body_of

    if type not in EVENTS:
        near = get_close_matches(type, EVENTS, n=1)
        raise typer.BadParameter(f"--type {type!r} is no event: " + (f"{near[0]}?" if near else "see --list"))
    return EVENTS[type][0], body_of(type, act)


def _url(context: typer.Context, source: str, to_url: str) -> str:
    from urllib.parse import quote

    if bool(source) == bool(to_url):
        raise typer.BadParameter("give either --source (and --url), or --to-url")
    return safe_url(to_url, "--to-url") if to_url else f"{app_url(context)}/api/webhooks/{quote(source, safe='')}"


def _post(url: str, kind: str, secret: str, authorization: str, body: dict[str, Any]) -> None:
    import requests

    raw = json.dumps(body).encode()
    headers = {**_headers(kind, secret, raw), **({"Authorization": authorization} if authorization else {})}
    try:
        reply = requests.post(url, data=raw, headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=False)
    except (requests.RequestException, ValueError) as error:
        raise refused(f"it was not answered: {type_of(error)}") from None
    out = console()
    out.print(f"{reply.status_code} {plain(reply.reason)}")
    if "json" in reply.headers.get("Content-Type", ""):
        sys.stdout.write(json.dumps(reply.json(), indent=2) + "\n")
    else:
        out.print(plain(reply.text[:2000]))
    if not 200 <= reply.status_code < 300:
        raise typer.Exit(1)


def type_of(error: Exception) -> str:
    """Name an error's kind only: its text may hold a header."""
    return error.__class__.__name__


def _headers(kind: str, secret: str, raw: bytes) -> dict[str, str]:
    from cli import signing

    if kind == "mlflow":
        return signing.mlflow_headers(secret, raw)
    if kind == "databricks_jobs":
        return signing.databricks_job_headers(secret)
    return signing.databricks_headers(secret, raw)
