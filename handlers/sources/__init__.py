"""Who calls us: one file for each kind of sender, and the table of them."""

from __future__ import annotations

from handlers.sources import databricks, databricks_jobs, mlflow
from shared.deliveries import SourceKind

SOURCES: dict[str, SourceKind] = {
    "databricks": databricks.KIND,
    "databricks_jobs": databricks_jobs.KIND,
    "mlflow": mlflow.KIND,
}
