"""The door to a Databricks workspace: one authorised request. Contract: the REST API as databricks-sdk uses it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared import rest
from shared.errors import SettingError
from shared.identity import DATABRICKS_SCOPE, token
from shared.settings import allowed_url

SERVICE = "Databricks"


@dataclass(frozen=True)
class Workspace:
    """A workspace by its URL, with a personal access token or (if empty) as this app's identity."""

    url: str
    pat: str = field(default="", repr=False)

    def request(
        self,
        method: str,
        path: str,
        payload: Any = None,
        *,
        params: Mapping[str, str] | None = None,
        allowed: Collection[int] = (),
        passing: Collection[int] = (),
    ) -> Any:
        """Return the JSON that the workspace answers; `path` begins with `/api/`. Raises a Failure."""
        headers = {"Authorization": f"Bearer {self.pat or token(DATABRICKS_SCOPE)}"}
        reply = rest.request(
            method,
            f"{self.url}{path}",
            SERVICE,
            payload=payload,
            headers=headers,
            params=params,
            allowed=allowed,
            passing=passing,
        )
        return reply.json()


def workspace_at(url: str, pat: str) -> Workspace:
    """Return the workspace at an option's URL. Raises SettingError for one that no token may go to."""
    return Workspace(allowed_url(url, "`workspace`"), pat)


def require_workspace(url: str) -> None:
    """Raise ValueError, as a target's Options do, for a URL that no token may go to."""
    try:
        workspace_at(url, "")
    except SettingError as error:
        raise ValueError(str(error)) from None
