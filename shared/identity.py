"""Who this app is for Azure: one credential per process, its tokens cached and renewed by azure-identity."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from shared.errors import TransientFailure
from shared.redaction import remember

if TYPE_CHECKING:
    from azure.identity import DefaultAzureCredential

AZURE_DEVOPS_SCOPE = "499b84ac-1321-427f-aa17-267ca6975798/.default"
DATABRICKS_SCOPE = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d/.default"


@cache
def credential() -> DefaultAzureCredential:
    """Return the credential: the managed identity in Azure, `az login` or the environment elsewhere."""
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential()


def token(scope: str) -> str:
    """Return an access token for the scope. Raises TransientFailure when the identity can't be had now."""
    from azure.core.exceptions import AzureError

    try:
        found = credential().get_token(scope).token
    except AzureError as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise TransientFailure(f"no token for {scope}: {first_line}") from None
    remember(found)
    return found
