"""Makes the webhook in a running MLflow server and lets MLflow test it; run by the Python that has MLflow.

    python listen.py TRACKING_URI WEBHOOK_URL < SECRET

Prints the answer to MLflow's test call as JSON. The secret comes by standard input: a command's words can be seen by
everybody on the machine.
"""

from __future__ import annotations

import json
import sys


def main() -> None:
    """Make the webhook, test it."""
    from mlflow import MlflowClient  # type: ignore[import-not-found]

    tracking_uri, url = sys.argv[1:]
    client = MlflowClient(tracking_uri)
    events = ["model_version.created", "model_version_alias.created"]
    webhook = client.create_webhook(name="relay", url=url, events=events, secret=sys.stdin.read().strip())
    tested = client.test_webhook(webhook.webhook_id)
    json.dump({"status": tested.response_status, "body": json.loads(tested.response_body)}, sys.stdout)


if __name__ == "__main__":
    main()
