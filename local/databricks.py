"""Stand-in for a Databricks workspace: its model registry with webhooks, its runs with artifacts, its jobs."""

from __future__ import annotations

from aiohttp import web

from local.databricks_artifacts import Artifacts
from local.databricks_jobs import Jobs
from local.databricks_webhooks import Webhooks


class Databricks(Artifacts, Webhooks, Jobs):
    """A workspace. A caller shows a token that the identity stand-in issued for Databricks, or one of `pats`."""

    def routes(self) -> list[web.RouteDef]:
        """The registry with its webhooks, runs with their artifacts, and jobs."""
        registry = [*self.registry_routes(), *self.stage_routes(), *self.webhook_routes()]
        return [*registry, *self.artifact_routes(), *self.job_routes()]
