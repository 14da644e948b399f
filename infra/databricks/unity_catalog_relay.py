"""Tells Registry Relay of changes to Unity Catalog models: the task of a Databricks job, in one file of its own.

Unity Catalog has no webhooks. Its *model update triggers* start a job; this is that job's task (a Python script). It
signs one delivery per update as MLflow 3 does, so that on the relay's side it is a source of kind `mlflow`.

    trigger:    {"model": {"securable_name": "main.wine", "condition": "MODEL_ALIAS_SET", "aliases": ["champion"]}}
    parameters: ["--url", "https://YOUR-APP.azurewebsites.net/api/webhooks/catalog", "--secret", "relay/catalog",
                 "--updates", "{{job.trigger.model.updates}}", "--run", "{{job.run_id}}",
                 "--time", "{{job.start_time.timestamp_ms}}"]

A deployment job gives, in the place of --updates: "--model", "{{job.parameters.model_name}}", "--version",
"{{job.parameters.model_version}}".

What becomes of an update: with an alias `model_version_alias.created`, with a version `model_version.created`, else
`registered_model.created`; the model is called by its full name, `catalog.schema.model`. The secret comes from the
secret scope (`SCOPE/KEY`), or from the environment variable RELAY_SECRET. Exit status: 0 if the relay has taken every
update, 1 if it has not, 2 if the parameters make no sense. The same run sends the same deliveries: when the task is
retried or repaired, what the relay has already taken is no new event.

Confirmed by documentation: the trigger, `{{job.trigger.model.updates}}` (a JSON list of {full_name, version,
alias_name}), `{{job.run_id}}`, `{{job.start_time.…}}`, a deployment job's two parameters. Assumed: that a task gets
the updates as text that is valid JSON, and (Databricks Runtime 13.3 or later) `databricks.sdk.runtime.dbutils`.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import logging
import os
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Sequence
from datetime import datetime, timezone
from http.client import HTTPException
from typing import Any, NamedTuple
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 30
MINIMUM_SECRET_BYTES = 16
MAX_WAIT_SECONDS = 300.0
log = logging.getLogger("unity_catalog_relay")


class WrongParametersError(Exception):
    """The task's parameters or secret make no sense. The message says what would."""


class Delivery(NamedTuple):
    """One signed request: `id` and `body` stay the same however often it is sent."""

    id: str
    body: bytes
    about: str


class Answer(NamedTuple):
    """What the relay answered; `status` is 0 if it could not be reached."""

    status: int
    text: str
    retry_after: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Send what the task's parameters tell of; return the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        given = _parser().parse_args(arguments)
        secret = _secret(given.secret)
        _require_address(given.url)
        deliveries = [_delivery(update, given.run, given.time) for update in _updates(given)]
        delays = [float(part) for part in given.retry_delays.split(",")]
    except (WrongParametersError, ValueError) as error:
        log.error("%s", error)
        return 2
    taken = [_is_taken(given.url, delivery, secret, delays) for delivery in deliveries]
    return 0 if all(taken) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Tells Registry Relay of changes to Unity Catalog models.")
    parser.add_argument("--url", required=True, help="the webhook URL of the relay's source")
    parser.add_argument("--secret", default="", help="SCOPE/KEY in Databricks' secrets; else RELAY_SECRET is read")
    parser.add_argument("--updates", help="{{job.trigger.model.updates}}")
    parser.add_argument("--model", help="a model's full name, in the place of --updates")
    parser.add_argument("--version", default="")
    parser.add_argument("--alias", default="")
    parser.add_argument("--run", required=True, help="{{job.run_id}}")
    parser.add_argument("--time", required=True, type=int, help="{{job.start_time.timestamp_ms}}")
    parser.add_argument("--retry-delays", default="2,5,15,30,60,120", help="seconds between attempts")
    return parser


def _require_address(url: str) -> None:
    parts = urlsplit(url)
    here = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")
    if not parts.hostname or not (parts.scheme == "https" or here):
        raise WrongParametersError(f"--url has to be the https:// URL of the relay's webhook, not {url!r}")


def _secret(place: str) -> bytes:
    scope, _, key = place.partition("/")
    if place and not (scope and key):
        raise WrongParametersError(f"--secret has to be SCOPE/KEY, not {place!r}")
    secret = _from_scope(scope, key) if place else os.environ.get("RELAY_SECRET", "")
    if len(secret.encode()) < MINIMUM_SECRET_BYTES:
        where = f"secret {place}" if place else "RELAY_SECRET (no --secret was given)"
        raise WrongParametersError(f"{where} is missing, or shorter than {MINIMUM_SECRET_BYTES} bytes")
    return secret.encode()


def _from_scope(scope: str, key: str) -> str:
    try:
        from databricks.sdk.runtime import dbutils

        return str(dbutils.secrets.get(scope=scope, key=key))
    except Exception as error:  # what a cluster raises for a scope that isn't there is nowhere written down
        raise WrongParametersError(f"secret {scope}/{key} can't be read: {type(error).__name__}: {error}") from None


def _updates(given: argparse.Namespace) -> list[dict[str, Any]]:
    if bool(given.model) == bool(given.updates):
        raise WrongParametersError("give --updates or --model: was the job started by a model update trigger?")
    if given.model:
        return [{"full_name": given.model, "version": given.version, "alias_name": given.alias}]
    try:
        updates = json.loads(given.updates)
    except ValueError:
        updates = None
    if not isinstance(updates, list) or not updates or not all(_is_update(each) for each in updates):
        raise WrongParametersError(
            f"--updates has to be a JSON list of objects with `full_name`, not {given.updates[:200]!r}: "
            "was the job started by a model update trigger?"
        )
    return updates


def _is_update(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("full_name"), str) and bool(value["full_name"])


def _delivery(update: dict[str, Any], run: str, milliseconds: int) -> Delivery:
    """Return the delivery of an update. It depends on the update and the job's run alone."""
    name, version, alias = update["full_name"], str(update.get("version") or ""), str(update.get("alias_name") or "")
    entity, data = "registered_model", {"name": name}
    if version:
        entity, data = "model_version", {"name": name, "version": version}
    if alias:
        entity, data = "model_version_alias", {"name": name, "alias": alias, "version": version}
    happened = datetime.fromtimestamp(milliseconds / 1000, timezone.utc).isoformat()  # noqa: UP017  # Python 3.10
    body = json.dumps({"entity": entity, "action": "created", "timestamp": happened, "data": data}).encode()
    identifier = str(uuid.uuid5(uuid.NAMESPACE_URL, f"databricks-job-run:{run}:{body.decode()}"))
    return Delivery(identifier, body, " ".join(filter(None, (f"{entity}.created of {name}", version, alias))))


def _is_taken(url: str, delivery: Delivery, secret: bytes, delays: Sequence[float]) -> bool:
    """Send until the relay has answered for good; tell whether it has taken the delivery."""
    for delay in (*delays, None):
        answer = _send(url, delivery, secret)
        if answer.status == 202:
            log.info("taken: %s (delivery %s): %s", delivery.about, delivery.id, answer.text)
            return True
        can_pass = answer.status in (0, 408, 429) or answer.status >= 500
        if not can_pass or delay is None:
            break
        wait = min(max(delay, _seconds(answer.retry_after)), MAX_WAIT_SECONDS)
        log.warning("%s; trying again in %g s", _told(answer), wait)
        time.sleep(wait)
    log.error("NOT taken: %s (delivery %s): %s", delivery.about, delivery.id, _told(answer))
    return False


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would turn the POST into a GET, and the delivery would be lost."""

    def redirect_request(self, *_: Any) -> None:
        """Follow none: the redirect itself is the answer."""


def _send(url: str, delivery: Delivery, secret: bytes) -> Answer:
    # the time is that of this attempt: the relay takes no delivery that is older than five minutes
    sent = str(int(time.time()))
    mac = hmac.new(secret, f"{delivery.id}.{sent}.".encode() + delivery.body, hashlib.sha256).digest()
    headers = {
        "Content-Type": "application/json",
        "X-MLflow-Delivery-Id": delivery.id,
        "X-MLflow-Timestamp": sent,
        "X-MLflow-Signature": f"v1,{base64.b64encode(mac).decode()}",
    }
    request = urllib.request.Request(url, delivery.body, headers, method="POST")  # noqa: S310  # checked above
    try:
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=TIMEOUT_SECONDS) as reply:
            return Answer(reply.status, reply.read(2000).decode(errors="replace"))
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.read(2000).decode(errors="replace"), error.headers.get("Retry-After") or "")
    except (OSError, HTTPException) as error:
        return Answer(0, f"{type(error).__name__}: {error}")


def _told(answer: Answer) -> str:
    if not answer.status:
        return f"the relay could not be reached: {answer.text}"
    hint = {
        401: ": is the source's name in --url right, and the secret the same as in the relay's Key Vault?",
        422: ": the clock of this cluster or of the relay is wrong",
    }.get(answer.status, "")
    return f"the relay answered {answer.status} {answer.text}{hint}"


def _seconds(retry_after: str) -> float:
    return float(retry_after) if retry_after.isdigit() else 0.0


if __name__ == "__main__":
    exit_status = main()
    if exit_status:  # a task that ends by SystemExit counts as failed, whatever the status
        sys.exit(exit_status)
