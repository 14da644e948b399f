"""Where a secret comes from: Key Vault, a hidden prompt, or the standard input. Never the command line."""

from __future__ import annotations

import sys

import typer

from cli.client import safe_url
from cli.output import refused


def ask_secret(name: str, vault: str, what: str) -> str:
    """Return the secret of that name in the vault or, without a name, what is typed or piped in.

    Raises Exit (1) if the vault does not give it, BadParameter if nothing is given.
    """
    if name:
        return _from_vault(name, vault)
    typed = typer.prompt(what, hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
    secret = str(typed).rstrip("\r\n")
    if not secret:
        raise typer.BadParameter(f"no {what} was given: pipe it in, or name it with an option and --vault")
    return secret


def _from_vault(name: str, vault: str) -> str:
    if not vault:
        raise typer.BadParameter("a secret's name needs --vault, or KEY_VAULT_URL in the environment")
    from azure.core.exceptions import AzureError
    from azure.keyvault.secrets import SecretClient

    from shared.identity import credential
    from shared.settings import is_loopback

    url = safe_url(vault, "--vault")
    try:
        with SecretClient(url, credential(), verify_challenge_resource=not is_loopback(url), retry_total=1) as client:
            return client.get_secret(name).value or ""
    except (AzureError, ValueError) as error:
        first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise refused(f"Key Vault does not give secret {name!r}: {first}") from None
