"""Builds the workbook from the queries: python -m infra.monitoring.workbook > infra/monitoring/workbook.json.

The template puts the id of Application Insights in the place of the placeholder. Contract: the workbook's JSON as the
portal's advanced editor shows it (Notebook/1.0, KqlItem/1.0, KqlParameterItem/1.0).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
INSIGHTS = "__APPLICATION_INSIGHTS__"
COMPONENTS = "microsoft.insights/components"
HEAD = """# Registry Relay

From a registry's delivery to the end of each step. What each alert means and what to do first: `docs/monitoring.md`."""
# heading, query, how it is shown, how wide (percent)
PANELS = (
    ("From deliveries to outcomes", "funnel", "table", 35),
    ("States that steps entered", "outcomes", "barchart", 65),
    ("Search: events, steps, approvals", "event-search", "table", 100),
    ("Steps as they stand", "steps", "table", 100),
    ("Dead and parked", "dead-and-parked", "table", 100),
    ("Routes that fail most", "failing-routes", "table", 100),
    ("From an event to the end of its steps, in seconds", "latency", "table", 50),
    ("How long senders wait, in milliseconds", "answer-times", "timechart", 50),
    ("Deliveries by status", "deliveries", "barchart", 50),
    ("Refused deliveries", "refused-deliveries", "table", 50),
    ("Open events and the oldest due step", "backlog", "timechart", 50),
    ("Secrets", "secrets", "table", 50),
)


def query(name: str) -> str:
    """Return the text of a query."""
    return (HERE / "queries" / f"{name}.kql").read_text()


def workbook() -> dict[str, Any]:
    """Return the whole workbook."""
    items = [{"type": 1, "content": {"json": HEAD}, "name": "head"}, _parameters(), *map(_panel, PANELS)]
    return {
        "version": "Notebook/1.0",
        "items": items,
        "fallbackResourceIds": [INSIGHTS],
        "$schema": "https://github.com/Microsoft/Application-Insights-Workbooks/blob/master/schema/workbook.json",
    }


def _parameters() -> dict[str, Any]:
    durations = [{"durationMs": minutes * 60_000} for minutes in (60, 240, 1440, 4320, 10080, 43200)]
    time_range = {
        "id": "3f6c2b1e-6a0c-4a3d-9b52-0d8f2a6c1e01",
        "version": "KqlParameterItem/1.0",
        "name": "TimeRange",
        "label": "Time range",
        "type": 4,
        "isRequired": True,
        "value": {"durationMs": 86_400_000},
        "typeSettings": {"selectableValues": durations, "allowCustom": True},
    }
    search = {
        "id": "3f6c2b1e-6a0c-4a3d-9b52-0d8f2a6c1e02",
        "version": "KqlParameterItem/1.0",
        "name": "Search",
        "label": "Event, model, version or route",
        "type": 1,
        "value": "",
    }
    content = {
        "version": "KqlParameterItem/1.0",
        "parameters": [time_range, search],
        "style": "pills",
        "queryType": 0,
        "resourceType": COMPONENTS,
    }
    return {"type": 9, "content": content, "name": "parameters"}


def _panel(panel: tuple[str, str, str, int]) -> dict[str, Any]:
    title, name, shown_as, width = panel
    content = {
        "version": "KqlItem/1.0",
        "query": query(name),
        "size": 0,
        "title": title,
        "timeContextFromParameter": "TimeRange",
        "queryType": 0,
        "resourceType": COMPONENTS,
        "visualization": shown_as,
        "noDataMessage": "nothing in this time range",
        **({"gridSettings": {"filter": True}, "showExportToExcel": True} if shown_as == "table" else {}),
    }
    return {"type": 3, "content": content, "customWidth": str(width), "name": name}


def text() -> str:
    """Return the workbook as the file holds it."""
    return json.dumps(workbook(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
