"""Slack: a message to an incoming webhook. Slack can't be asked whether it came, so it comes at least once, or at most
once with `at_most_once`. Contract: api.slack.com/messaging/webhooks (200 `ok`; `&`, `<`, `>` escaped)."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from shared.attempts import Access, Answer, Attempt, Succeeded
from shared.rest import post
from shared.settings import allowed_url
from shared.templates import Safe

MAX_TEXT = 30_000  # Slack cuts at 40,000
_HALF_ESCAPE = re.compile(r"&[a-z]{0,3}$")  # what is left of `&amp;` where the text was cut


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`url_secret` names the Key Vault secret that holds the webhook's URL."""

    url_secret: str
    text: str
    at_most_once: bool = False


def _escaped(value: str) -> str:
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


TEMPLATED: Mapping[str, Safe] = {"text": _escaped}


def connect(options: Options, access: Access) -> str:
    """Return the webhook's URL."""
    return allowed_url(access.secret(options.url_secret), f"secret {options.url_secret}")


def start(attempt: Attempt) -> Answer:
    """Post the message."""
    text = _HALF_ESCAPE.sub("", attempt.options.text[:MAX_TEXT])
    post(attempt.connection, {"text": text}, "Slack")
    return Succeeded(outcome="Slack took the message")
