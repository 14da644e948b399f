"""What a team does in its MLflow registry, through MLflow's own client; run by the Python that has MLflow.

Usage: python mlflow_acts.py TRACKING_URI WEBHOOK_URL SECRET MODEL. Prints the answer to MLflow's test call as JSON.
"""

from __future__ import annotations

import json
import sys


def main() -> None:
    from mlflow import MlflowClient  # type: ignore[import-not-found]

    tracking_uri, url, secret, model = sys.argv[1:]
    client = MlflowClient(tracking_uri)
    events = ["model_version.created", "model_version_alias.created"]
    webhook = client.create_webhook(name=model, url=url, events=events, secret=secret)
    tested = client.test_webhook(webhook.webhook_id)
    client.create_registered_model(model)
    run = client.create_run(experiment_id="0")
    version = client.create_model_version(model, source=f"{run.info.artifact_uri}/model", run_id=run.info.run_id)
    client.set_registered_model_alias(model, "champion", version.version)
    json.dump({"status": tested.response_status, "body": json.loads(tested.response_body)}, sys.stdout)


if __name__ == "__main__":
    main()
