"""Stand-in for Slack incoming webhooks and for Teams Workflows URLs.

Sources: Slack, "Sending messages using incoming webhooks" (bodies and status codes); Teams, "Create incoming
webhooks with Workflows" (message shape, 202, 28 KB). Assumed: what a Workflows URL answers to a wrong shape.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from local.faults import Faults
from local.serving import StandIn

TEAMS_LIMIT_BYTES = 28 * 1024
ADAPTIVE_CARD = "application/vnd.microsoft.card.adaptive"


@dataclass(frozen=True)
class Message:
    """A message that was accepted: `service` is "slack" or "teams", `text` all that a person would read."""

    service: str
    channel: str
    payload: dict[str, Any]
    text: str


class Chat(StandIn):
    """Channels that exist, channels that are archived, and the messages they got."""

    def __init__(self, faults: Faults | None = None) -> None:
        super().__init__(faults)
        self.channels: set[str] = {"general"}
        self.archived: set[str] = set()
        self.messages: list[Message] = []

    def routes(self) -> list[web.RouteDef]:
        """One URL per service and channel."""
        return [web.post("/slack/{channel}", self._slack), web.post("/teams/{channel}", self._teams)]

    def slack_url(self, channel: str = "general") -> str:
        """The webhook URL of a Slack channel."""
        return f"{self.url}/slack/{channel}"

    def teams_url(self, channel: str = "general") -> str:
        """The Workflows URL of a Teams channel."""
        return f"{self.url}/teams/{channel}"

    def _keep(self, service: str, channel: str, payload: dict[str, Any]) -> None:
        self.messages.append(Message(service, channel, payload, "\n".join(_texts(payload))))

    async def _slack(self, request: web.Request) -> web.Response:
        channel, payload = request.match_info["channel"], await _object(request)
        if channel in self.archived:
            return web.Response(status=410, text="channel_is_archived")
        if channel not in self.channels:
            return web.Response(status=404, text="channel_not_found")
        if payload is None:
            return web.Response(status=400, text="invalid_payload")
        if not payload.get("text") and not payload.get("blocks"):
            return web.Response(status=400, text="no_text")
        if not isinstance(payload.get("blocks", []), list):
            return web.Response(status=400, text="invalid_blocks")
        self._keep("slack", channel, payload)
        return web.Response(text="ok")

    async def _teams(self, request: web.Request) -> web.Response:
        channel = request.match_info["channel"]
        if channel in self.archived or channel not in self.channels:
            return _refusal(404, "WorkflowNotFound", f"The workflow '{channel}' could not be found.")
        if len(await request.read()) > TEAMS_LIMIT_BYTES:
            return _refusal(413, "RequestEntityTooLarge", "The request is larger than 28 KB.")
        payload = await _object(request)
        if payload is None or not _is_card_message(payload):
            return _refusal(400, "TriggerInputSchemaMismatch", "The input body does not match the schema.")
        self._keep("teams", channel, payload)
        return web.Response(status=202)


async def _object(request: web.Request) -> dict[str, Any] | None:
    try:
        payload = json.loads(await request.read())
    except ValueError:
        return None
    return payload if isinstance(payload, dict) else None


def _is_card_message(payload: dict[str, Any]) -> bool:
    attachments = payload.get("attachments")
    if payload.get("type") != "message" or not isinstance(attachments, list) or not attachments:
        return False
    return all(_is_card(each) for each in attachments)


def _is_card(attachment: object) -> bool:
    if not isinstance(attachment, dict) or attachment.get("contentType") != ADAPTIVE_CARD:
        return False
    content = attachment.get("content")
    return isinstance(content, dict) and content.get("type") == "AdaptiveCard"


def _texts(part: object) -> Iterator[str]:
    """Every string under a key `text`, in order: Slack and Adaptive Cards agree on that name."""
    if isinstance(part, list):
        for each in part:
            yield from _texts(each)
    elif isinstance(part, dict):
        for key, value in part.items():
            if key == "text" and isinstance(value, str):
                yield value
            else:
                yield from _texts(value)


def _refusal(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"error": {"code": code, "message": message}}, status=status)
