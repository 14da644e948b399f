"""Who calls us: one file for each kind of sender, and the table of them."""

from __future__ import annotations

from handlers.sources import databricks, mlflow
from shared.deliveries import SourceKind

SOURCES: dict[str, SourceKind] = {
    "databricks": databricks.KIND,
    "mlflow": mlflow.KIND,
}
