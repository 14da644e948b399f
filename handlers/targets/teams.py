"""Microsoft Teams: an Adaptive Card to a Workflows URL (the Office 365 connectors and their MessageCard are gone).

Teams can't be asked whether the card came, so it comes at least once, or at most once with `at_most_once`.
Contract: the Workflows template "Post to a channel when a webhook request is received" (202, 28 KB at most).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from shared.attempts import Access, Answer, Attempt, Succeeded
from shared.findings import Finding, defect, ok, warning
from shared.rest import post
from shared.templates import Safe

MAX_TEXT_BYTES, MAX_TITLE_BYTES = 24_000, 2_000  # the card around them has to fit into 28 KB too
# an underscore within a word is text; a backslash there would only be seen
_MARKDOWN = re.compile(r"([\\`*\[\]~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`url_secret` names the Key Vault secret that holds the Workflows URL; `text` may use Markdown."""

    url_secret: str
    text: str
    title: str = ""
    at_most_once: bool = False


def _escaped(value: str) -> str:
    return _MARKDOWN.sub(r"\\\1", " ".join(value.split()))


TEMPLATED: Mapping[str, Safe] = {"text": _escaped, "title": _escaped}


def connect(options: Options, access: Access) -> str:
    """Return the Workflows URL."""
    return access.secret_url(options.url_secret)


def examine(options: Options, access: Access) -> Iterator[Finding]:
    """Yield whether the URL is of a kind that Teams has retired; nothing is posted."""
    host = urlsplit(connect(options, access)).hostname or ""
    advice = "create a Workflow in Teams (Post to a channel when a webhook request is received), and put its URL there"
    if host == "outlook.office.com" or host.endswith((".webhook.office.com", ".office365.com")):
        seen = f"secret {options.url_secret} holds the URL of an Office 365 connector, and those are retired"
        yield defect("URL", seen, advice)
    elif host.endswith(".logic.azure.com"):
        seen = (
            f"secret {options.url_secret} holds a URL at logic.azure.com, where Power Automate's ended in November 2025"
        )
        yield warning("URL", seen, "copy the flow's URL anew, unless it is that of a Logic App of your own")
    else:
        yield ok("URL", f"secret {options.url_secret} holds a URL of {host}; nothing was posted")


def start(attempt: Attempt) -> Answer:
    """Post the card."""
    post(attempt.connection, _message(attempt.options), "Teams")
    return Succeeded(outcome="Teams took the card")


def preview(attempt: Attempt) -> dict[str, Any]:
    """Return the request."""
    return {"request": f"POST {{URL in secret {attempt.options.url_secret}}}", "body": _message(attempt.options)}


def _message(options: Options) -> dict[str, Any]:
    blocks = [{"type": "TextBlock", "text": _cut(options.text, MAX_TEXT_BYTES), "wrap": True}]
    if options.title:
        title = _cut(options.title, MAX_TITLE_BYTES)
        blocks.insert(0, {"type": "TextBlock", "text": title, "size": "medium", "weight": "bolder", "wrap": True})
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": blocks,
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
    return {"type": "message", "attachments": [attachment]}


def _cut(text: str, most: int) -> str:
    """Cut by what the text takes as JSON, where a character outside ASCII takes six bytes or twelve."""
    while len(json.dumps(text)) > most:
        text = text[: len(text) * 9 // 10]
        if (len(text) - len(text.rstrip("\\"))) % 2:
            text = text[:-1]  # half of an escape
        text += "…"
    return text
