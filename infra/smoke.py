"""Asks a deployed app whether it is well: python -m infra.smoke URL SOURCE [databricks|mlflow] [--once]

/api/health has to be green, then a registry's own test call is sent, signed with the secret in RELAY_SECRET: it has to
be answered 202 with `"test": true` and the plan, and starts nothing. A call with a wrong signature has to be answered
401. Exit status 1 if anything is otherwise, 2 for wrong usage. Health is waited for, but with --once.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
from typing import Any

from cli import signing

TIMEOUT_SECONDS = 60
ATTEMPTS, PAUSE_SECONDS = 10, 15.0  # a new app needs its time; roles too, until they are known everywhere
TESTS: dict[str, dict[str, Any]] = {
    "databricks": {
        "event": "MODEL_VERSION_TRANSITIONED_STAGE",
        "webhook_id": "00000000000000000000000000000000",
        "event_timestamp": 0,
        "model_name": "",
        "text": "A test webhook trigger of a deployment",
    },
    "mlflow": {
        "entity": "registered_model",
        "action": "created",
        "timestamp": "2020-01-01T00:00:00+00:00",
        "data": {
            "name": "example_model",
            "tags": {"example_key": "example_value"},
            "description": "An example registered model",
        },
    },
}


def main() -> int:
    """Ask; print what was answered; return the exit status."""
    given = [each for each in sys.argv[1:] if each != "--once"]
    url, source, kind = [*given, "", "", "databricks"][:3] if len(given) != 2 else [*given, "databricks"]
    secret = os.environ.get("RELAY_SECRET", "")
    if kind not in TESTS or not source or not secret or not url.startswith(("https://", "http://127.0.0.1:")):
        print(__doc__)  # noqa: T201
        return 2
    healthy = _health(url)
    webhook = f"{url.rstrip('/')}/api/webhooks/{source}"
    body = json.dumps(TESTS[kind]).encode()
    status, answer = _post(webhook, body, _headers(kind, secret, body))
    taken = status == 202 and answer.get("test") is True and "plan" in answer
    _tell(taken, f"a signed test call is answered {status} {json.dumps(answer)[:500]}")
    wrong, _ = _post(webhook, body, _headers(kind, secret[::-1] + "?", body))
    _tell(wrong == 401, f"a wrongly signed one is answered {wrong}")
    return 0 if healthy and taken and wrong == 401 else 1


def _health(url: str) -> bool:
    for attempt in range(ATTEMPTS):
        status, answer = _ask(urllib.request.Request(f"{url.rstrip('/')}/api/health"))  # noqa: S310  # checked above
        if status == 200 or "--once" in sys.argv:
            break
        if attempt + 1 < ATTEMPTS:
            time.sleep(PAUSE_SECONDS)
    _tell(status == 200, f"health is answered {status} {json.dumps(answer)[:1000]}")
    return status == 200


def _headers(kind: str, secret: str, body: bytes) -> dict[str, str]:
    return signing.mlflow_headers(secret, body) if kind == "mlflow" else signing.databricks_headers(secret, body)


def _post(url: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
    return _ask(urllib.request.Request(url, body, headers, method="POST"))  # noqa: S310  # checked above


def _ask(request: urllib.request.Request) -> tuple[int, dict[str, Any]]:
    """Return status and JSON of the answer; status 0 if there was none."""
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as reply:  # noqa: S310  # checked above
            return reply.status, _json(reply.read())
    except urllib.error.HTTPError as error:
        return error.code, _json(error.read())
    except OSError as error:
        return 0, {"error": f"{type(error).__name__}: {error}"}


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"text": body[:200].decode(errors="replace")}


def _tell(good: bool, line: str) -> None:
    print(f"{'ok ' if good else 'BAD'} {line}")  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
