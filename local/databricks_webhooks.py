"""Webhooks of the workspace model registry: kept, matched with each act, signed and sent.

By documentation: events, statuses, http_url_spec, the signature, the three bodies in tests/deliveries; that a
registered model's creation is told registry-wide only; that a list without `model_name` shows those of all models.
Checked with databricks-registry-webhooks 0.1.2 and databricks-sdk 0.156: both paths, all requests, the answers' fields,
pages of a list; a JSON body on DELETE is the former's way. Assumed: the texts and fields of the other bodies; one
delivery per event that a webhook lists, so an act may come under its generic and its specific name; pages of 200.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import uuid
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from local.databricks_registry import MLFLOW, SOMEBODY
from local.databricks_registry_model import Act, listed
from local.databricks_sending import Sent
from local.databricks_stages import Stages
from local.databricks_wire import fields_of, invalid, missing, text_of
from local.faults import Faults
from local.identity import Identity

EVENTS = (
    "MODEL_VERSION_CREATED",
    "MODEL_VERSION_TRANSITIONED_STAGE",
    "TRANSITION_REQUEST_CREATED",
    "COMMENT_CREATED",
    "REGISTERED_MODEL_CREATED",
    "MODEL_VERSION_TAG_SET",
    "MODEL_VERSION_TRANSITIONED_TO_STAGING",
    "MODEL_VERSION_TRANSITIONED_TO_PRODUCTION",
    "MODEL_VERSION_TRANSITIONED_TO_ARCHIVED",
    "TRANSITION_REQUEST_TO_STAGING_CREATED",
    "TRANSITION_REQUEST_TO_PRODUCTION_CREATED",
    "TRANSITION_REQUEST_TO_ARCHIVED_CREATED",
)
STATUSES = ("ACTIVE", "TEST_MODE", "DISABLED")
PAGE = 200
_SPECIFIC = {
    "MODEL_VERSION_TRANSITIONED_STAGE": "MODEL_VERSION_TRANSITIONED_TO_{}",
    "TRANSITION_REQUEST_CREATED": "TRANSITION_REQUEST_TO_{}_CREATED",
}


@dataclass
class Webhook:
    """A webhook as it was created. `secret` and `authorization` are never shown again."""

    id: str
    events: list[str]
    model: str
    status: str
    description: str
    url: str
    secret: str
    authorization: str
    verify: bool
    created: int
    updated: int

    def body(self) -> dict[str, Any]:
        """As the API shows it."""
        named = {"model_name": self.model} if self.model else {}
        return {
            **named,
            "id": self.id,
            "events": self.events,
            "status": self.status,
            "description": self.description,
            "creation_timestamp": self.created,
            "last_updated_timestamp": self.updated,
            "http_url_spec": {"url": self.url, "enable_ssl_verification": self.verify},
        }


class Webhooks(Stages):
    """Acts are told to the webhooks that want to know, each delivery tried once, in the background."""

    def __init__(self, identity: Identity, faults: Faults | None = None) -> None:
        super().__init__(identity, faults)
        self.webhooks: dict[str, Webhook] = {}

    def announce(self, event: str, model: str, user: str = SOMEBODY, **details: Any) -> Act:
        """Note an act and tell each webhook of it that wants to know."""
        act = super().announce(event, model, user, **details)
        for webhook in self.webhooks.values():
            if webhook.status == "ACTIVE" and _concerns(webhook, act):
                for name in _names(act):
                    if name in webhook.events:
                        self._tell(webhook, body_of(name, webhook, act))
        return act

    def _tell(self, webhook: Webhook, body: dict[str, Any]) -> Future[Sent]:
        raw, headers = json.dumps(body).encode(), {}
        if webhook.secret:
            headers["X-Databricks-Signature"] = hmac.new(webhook.secret.encode(), raw, hashlib.sha256).hexdigest()
        if webhook.authorization:
            headers["Authorization"] = webhook.authorization
        return self.send_later(webhook.url, body["event"], body, raw, headers, webhook.verify)

    def webhook_routes(self) -> list[web.RouteDef]:
        """The same under the path of today and that of the preview."""
        routes = []
        for base in (f"{MLFLOW}/registry-webhooks", "/api/2.0/preview/mlflow/registry-webhooks"):
            routes += [
                web.post(f"{base}/create", self._create_webhook),
                web.get(f"{base}/list", self._list_webhooks),
                web.patch(f"{base}/update", self._update_webhook),
                web.delete(f"{base}/delete", self._delete_webhook),
                web.post(f"{base}/test", self._test_webhook),
            ]
        return routes

    def add_webhook(
        self, url: str, secret: str, events: list[str], *, model: str = "", status: str = "ACTIVE"
    ) -> Webhook:
        """Furnish the registry with a webhook."""
        now = self.now()
        webhook = Webhook(uuid.uuid4().hex, list(events), model, status, "", url, secret, "", True, now, now)
        self.webhooks[webhook.id] = webhook
        return webhook

    async def _create_webhook(self, request: web.Request) -> web.Response:
        fields = await fields_of(request)
        spec = fields.get("http_url_spec")
        if not isinstance(spec, dict) or not spec.get("url"):
            raise invalid("http_url_spec with its url is needed: job_spec is not played here.")
        model = str(fields.get("model_name") or "")
        if model and model not in self.models:
            raise missing(f"Registered Model with name={model} not found")
        webhook = self.add_webhook("", "", [], model=model)
        try:
            _change(webhook, {"status": "ACTIVE", **fields})
            _check_scope(webhook)
        except Exception:
            del self.webhooks[webhook.id]
            raise
        return web.json_response({"webhook": webhook.body()})

    async def _list_webhooks(self, request: web.Request) -> web.Response:
        model, events = request.query.get("model_name", ""), set(request.query.getall("events", []))
        found = [
            webhook.body()
            for webhook in self.webhooks.values()
            if model in ("", webhook.model) and (not events or events & set(webhook.events))
        ]
        begin = int(request.query.get("page_token") or 0)
        end = begin + min(int(request.query.get("max_results") or PAGE), PAGE)
        more = {"next_page_token": str(end)} if end < len(found) else {}
        return web.json_response({"webhooks": found[begin:end], **more})

    async def _update_webhook(self, request: web.Request) -> web.Response:
        fields = await fields_of(request)
        webhook = self._webhook_of(fields)
        _change(webhook, fields)
        webhook.updated = self.now()
        return web.json_response({"webhook": webhook.body()})

    async def _delete_webhook(self, request: web.Request) -> web.Response:
        del self.webhooks[self._webhook_of(await fields_of(request)).id]
        return web.json_response({})

    async def _test_webhook(self, request: web.Request) -> web.Response:
        fields = await fields_of(request)
        webhook = self._webhook_of(fields)
        event = str(fields.get("event") or webhook.events[0])
        if event not in EVENTS:
            raise invalid(f"Unknown event {event}.")
        # Assumed: the shape of a test's body.
        body = {
            "event": event,
            "webhook_id": webhook.id,
            "event_timestamp": self.now(),
            "model_name": webhook.model,
            "text": f"A test webhook trigger for {event}.",
        }
        sent = await asyncio.wrap_future(self._tell(webhook, body))
        if not sent.status:
            raise invalid(f"The webhook could not be reached: {sent.reply}")
        return web.json_response({"status_code": sent.status, "body": sent.reply})

    def _webhook_of(self, fields: dict[str, Any]) -> Webhook:
        wanted = text_of(fields, "id")
        if wanted not in self.webhooks:
            raise missing(f"Webhook with id {wanted} not found.")
        return self.webhooks[wanted]


def _change(webhook: Webhook, fields: dict[str, Any]) -> None:
    events, status = fields.get("events", webhook.events), fields.get("status", webhook.status)
    if not isinstance(events, list) or not events or not set(events) <= set(EVENTS):
        raise invalid(f"events have to be some of {', '.join(EVENTS)}.")
    if status not in STATUSES:
        raise invalid(f"status has to be one of {', '.join(STATUSES)}.")
    webhook.events, webhook.status = events, status
    webhook.description = str(fields.get("description", webhook.description))
    spec = fields.get("http_url_spec") or {}
    webhook.url = str(spec.get("url", webhook.url))
    webhook.secret = str(spec.get("secret", webhook.secret))
    webhook.authorization = str(spec.get("authorization", webhook.authorization))
    webhook.verify = bool(spec.get("enable_ssl_verification", webhook.verify))


def _check_scope(webhook: Webhook) -> None:
    if webhook.model and "REGISTERED_MODEL_CREATED" in webhook.events:
        raise invalid("REGISTERED_MODEL_CREATED is for webhooks without a model_name only.")


def _concerns(webhook: Webhook, act: Act) -> bool:
    return webhook.model in ("", act.model)


def _names(act: Act) -> list[str]:
    """The generic and the specific name of an act."""
    specific = _SPECIFIC.get(act.event, "").format(act.to_stage.upper())
    return [name for name in (act.event, specific) if name in EVENTS]


def body_of(name: str, webhook: Webhook, act: Act) -> dict[str, Any]:
    """The body by which a webhook is told of an act under one of its names."""
    body: dict[str, Any] = {
        "event": name,
        "webhook_id": webhook.id,
        "event_timestamp": act.time,
        "model_name": act.model,
    }
    if act.version:
        body["version"] = act.version
    if act.to_stage:
        body["to_stage"] = act.to_stage
    if act.from_stage:
        body["from_stage"] = act.from_stage
    if act.tags:
        body["tags"] = listed(act.tags)
    if act.comment:
        body["comment"] = act.comment
    return {**body, "text": _text(act)}


def _text(act: Act) -> str:
    """What Slack would show. Of these only transitions, tags and comments are documented."""
    where = f"registered model '{act.model}'" + f" version {act.version}" * bool(act.version)
    tags = ", ".join(f"'{key}' => '{value}'" for key, value in act.tags.items())
    return {
        "MODEL_VERSION_TRANSITIONED_STAGE": f"R{where[1:]} transitioned from {act.from_stage} to {act.to_stage}.",
        "MODEL_VERSION_TAG_SET": f"{act.user} set version tag(s) {tags} for {where}.",
        "COMMENT_CREATED": f"A user commented on {where}.",
        "TRANSITION_REQUEST_CREATED": f"{act.user} requested a stage transition to {act.to_stage} for {where}.",
    }.get(act.event, f"{act.user} created {where}.")
