"""Slack: a message to an incoming webhook. Slack can't be asked whether it came, so it comes at least once, or at most
once with `at_most_once`. Contract: api.slack.com/messaging/webhooks (200 `ok`; `&`, `<`, `>` escaped)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from shared.attempts import Access, Answer, Attempt, Succeeded
from shared.findings import Finding, ok, warning
from shared.rest import post
from shared.settings import LOOPBACK
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
    return access.secret_url(options.url_secret)


def examine(options: Options, access: Access) -> Iterator[Finding]:
    """Yield whether the URL looks like one of Slack's; nothing is posted."""
    host = urlsplit(connect(options, access)).hostname or ""
    if host == "hooks.slack.com" or host in LOOPBACK:
        yield ok("URL", f"secret {options.url_secret} holds a webhook's URL; nothing was posted")
    else:
        advice = "put the URL of a Slack incoming webhook into the secret, unless this service takes the same"
        yield warning("URL", f"secret {options.url_secret} holds a URL of {host}, not of hooks.slack.com", advice)


def start(attempt: Attempt) -> Answer:
    """Post the message."""
    post(attempt.connection, _message(attempt.options), "Slack")
    return Succeeded(outcome="Slack took the message")


def preview(attempt: Attempt) -> dict[str, Any]:
    """Return the request."""
    return {"request": f"POST {{URL in secret {attempt.options.url_secret}}}", "body": _message(attempt.options)}


def _message(options: Options) -> dict[str, str]:
    return {"text": _HALF_ESCAPE.sub("", options.text[:MAX_TEXT])}
