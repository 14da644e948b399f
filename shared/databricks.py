"""The door to a Databricks workspace: one authorised request. Contract: the REST API as databricks-sdk uses it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from shared import rest
from shared.identity import DATABRICKS_SCOPE, token

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
