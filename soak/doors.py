"""The services that all workers call under one address: routes and ledger keep it, so no worker can have its own.

Whose request it is, its token tells: each worker has an identity of its own, and the stand-in knows each token's.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from aiohttp import web

from local.system import WORKSPACE, System
from soak.outside import furnish
from soak.storage_proxy import Caller, Proxy
from soak.windows import arm_window, databricks_window

ROUTES = Path(__file__).with_name("routes.yaml")


class Doors:
    """The proxies before Azure Resource Manager and Databricks, and the routes file that names them."""

    def __init__(self, system: System) -> None:
        self._identity = system.identity
        self._arm = Proxy(system.arm.url, arm_window, self._caller)
        self._databricks = Proxy(system.databricks.url, databricks_window, self._caller)
        self._callers: dict[str, Caller] = {}
        self._stack = ExitStack()
        furnish(system)

    def __enter__(self) -> Self:
        with self._stack as stack:
            for proxy in (self._arm, self._databricks):
                stack.enter_context(proxy)
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="relay-soak-routes-")))
            self.routes = folder / ROUTES.name
            self.routes.write_text(ROUTES.read_text().replace(WORKSPACE, self._databricks.url))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def admit(self, caller: Caller) -> dict[str, str]:
        """Return the settings with which a worker comes through here, known by the client id of its identity."""
        name = f"worker-{len(self._callers)}"
        self._callers[name] = caller
        return {"AZURE_RESOURCE_MANAGER_URL": self._arm.url, "AZURE_CLIENT_ID": name}

    def _caller(self, request: web.Request) -> Caller | None:
        bearer = request.headers.get("Authorization", "").partition(" ")[2]
        token = self._identity.tokens.get(bearer)
        return self._callers.get(token.client_id or "") if token else None
