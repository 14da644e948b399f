"""How the commands get at registries and secrets. No secret comes from the command line, and none is printed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Literal
from urllib.parse import urlsplit

import typer

from cli.output import refused
from cli.secret import ask_secret
from cli.webhooks_registries import Credentials
from shared.redaction import remember
from shared.registries import Registry
from shared.routes import Source
from shared.vault import MINIMUM_BYTES

SecretFrom = Literal["vault", "prompt", "stdin"]


def registry_of(source: Source, vault: str, sources: Iterable[Source]) -> Registry:
    """Return the source's registry, with what lets the operator in.

    For Databricks that is DATABRICKS_TOKEN, if DATABRICKS_HOST names this workspace or `sources` have no other one; for
    MLflow MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and …_PASSWORD, likewise. Else it is the source's
    `token_secret`; else, for Databricks, the token of `az login` or of whichever Azure identity runs this.
    """
    kind = source.registry_kind
    addresses = {each.address for each in sources if each.kind == source.kind and each.address}
    credential = _from_environment(kind, source.address, addresses)
    if not credential and source.token_secret:
        credential = ask_secret(source.token_secret, vault, "token")
    if credential:
        remember(credential)
    return Registry(kind, source.address.rstrip("/"), credential)


def credentials_of(name: str, source: Source, vault: str, origin: SecretFrom) -> Credentials:
    """Return what the source's webhooks sign with. Ends the command if it can't be had, or the app would refuse it."""
    ask = _from_vault(vault) if origin == "vault" else lambda _, what: ask_secret("", "", f"{what} of {name}")
    secret = ask(source.secret, "secret")
    if len(secret.encode()) < MINIMUM_BYTES:
        raise refused(f"the secret of {name} is shorter than {MINIMUM_BYTES} bytes: the app would refuse it")
    authorization = ask(source.authorization_secret, "Authorization") if source.authorization_secret else ""
    for each in (secret, authorization):
        remember(each)
    return Credentials(secret, authorization)


def _from_vault(vault: str) -> Callable[[str, str], str]:
    return lambda name, what: ask_secret(name, vault, what)


def _from_environment(kind: str, address: str, addresses: set[str]) -> str:
    """A token in the environment is for one registry, and must not go to another."""
    host = os.environ.get("DATABRICKS_HOST" if kind == "databricks" else "MLFLOW_TRACKING_URI", "")
    meant = _host(host) == _host(address) if host else len(addresses) == 1
    if not meant:
        return ""
    if kind == "databricks":
        return os.environ.get("DATABRICKS_TOKEN", "")
    user, password = os.environ.get("MLFLOW_TRACKING_USERNAME", ""), os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
    return os.environ.get("MLFLOW_TRACKING_TOKEN", "") or (f"{user}:{password}" if user and password else "")


def _host(url: str) -> str:
    return urlsplit(url if "://" in url else f"//{url}").netloc.lower()


def check_stdin(origin: SecretFrom, sources: Iterable[str], yes: bool) -> None:
    """Raise BadParameter where the standard input would have to answer several questions."""
    if origin == "stdin" and (len(list(sources)) > 1 or not yes):
        raise typer.BadParameter("--secret-from stdin goes with one --source, and with --yes")
