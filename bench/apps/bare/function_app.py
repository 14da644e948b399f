"""The least that a function app can do: write the body to a queue, and pump a queue to one call. Nothing is verified.

It uses the host as the relay does (queue output, queue trigger, the settings of host.json), so that what the host
costs stands on both sides of a comparison.
"""

from __future__ import annotations

import json
import os
from functools import cache
from typing import TYPE_CHECKING

import azure.functions as func

if TYPE_CHECKING:
    import requests

app = func.FunctionApp()
STORAGE = "AzureWebJobsStorage"


@app.route("bare", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@app.queue_output("message", queue_name="bare", connection=STORAGE)
def take(req: func.HttpRequest, message: func.Out[str]) -> func.HttpResponse:
    """Put the body on the queue as it is."""
    message.set(req.get_body().decode())
    return func.HttpResponse('{"accepted": true}', status_code=202, mimetype="application/json")


@app.route("pump", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
@app.queue_output("message", queue_name="pump", connection=STORAGE)
def take_for_pump(req: func.HttpRequest, message: func.Out[str]) -> func.HttpResponse:
    """Put the body on the queue of the pump."""
    message.set(req.get_body().decode())
    return func.HttpResponse('{"accepted": true}', status_code=202, mimetype="application/json")


@app.queue_trigger("message", queue_name="pump", connection=STORAGE)
def pump(message: func.QueueMessage) -> None:
    """Create and start a release for the message: one call."""
    event = json.loads(message.get_body())
    body = {
        "definitionId": int(os.environ["BENCH_DEFINITION"]),
        "description": event["model_name"],
        "isDraft": False,
        "reason": "none",
        "variables": {
            "modelName": {"value": event["model_name"]},
            "modelVersion": {"value": event.get("version", "")},
        },
    }
    _session().post(os.environ["BENCH_RELEASES_URL"], json=body, timeout=60).raise_for_status()


@cache
def _session() -> requests.Session:
    import requests

    session = requests.Session()
    session.auth = ("", os.environ["BENCH_PAT"])
    return session
