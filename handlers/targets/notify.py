"""Any of Apprise's hundred services, by its URL: https://github.com/caronc/apprise/wiki lists them.

None can be asked whether a message came, so it comes at least once, or at most once with `at_most_once`. Apprise says
no more of a failure than its log does: a status of the service there is taken for what it means, all else leaves in
doubt whether the message came. With several URLs, those that took the message don't get it again.
Contract: Apprise 2.2 (AppriseResult, `log_level`; warnings read `… error=STATUS.`).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal
from urllib.parse import unquote

import msgspec

from shared import outbound
from shared.attempts import Access, Answer, Attempt, Succeeded
from shared.errors import AmbiguousFailure, Failure, PermanentFailure, TransientFailure
from shared.findings import Finding, ok
from shared.templates import Safe

MAX_URLS = 10
MAX_TEXT = 10_000
ALL_SECONDS = 90.0  # for all URLs together: less than STEP_LEASE_SECONDS
# they reach the screen and the log of the machine that the app runs on, not a person
_LOCAL = ("blink1", "dbus", "gio", "glib", "gnome", "kde", "macosx", "qt", "syslog", "windows")
_STATUS = re.compile(r"error=([1-5][0-9]{2})\b")
_PASSING = ("408", "425", "429")
_NO_BREAK = "\u2060"


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`url_secret` names the Key Vault secret that holds an Apprise URL, or several with spaces between."""

    url_secret: str
    text: str
    title: str = ""
    type: Literal["info", "success", "warning", "failure"] = "info"
    at_most_once: bool = False


def _plain(value: str) -> str:
    """Take from a value what calls people or makes links somewhere: which service reads it is not known here."""
    text = "".join(char for char in value if char.isprintable() or char == "\n")
    text = text.replace("<", "\u2039").replace(">", "\u203a").replace("@", f"@{_NO_BREAK}")
    return text.replace("](", f"]{_NO_BREAK}(")


TEMPLATED: Mapping[str, Safe] = {"text": _plain, "title": _plain}


@dataclass(frozen=True)
class Service:
    """One URL that Apprise understood: `plugin` sends, `url` is a secret."""

    name: str
    plugin: Any = field(repr=False)
    url: str = field(repr=False)


def connect(options: Options, access: Access) -> list[Service]:
    """Return the services. Raises PermanentFailure for a URL that Apprise can't use, without showing it."""
    urls = access.secret(options.url_secret).split()
    if not 1 <= len(urls) <= MAX_URLS:
        raise PermanentFailure(f"secret {options.url_secret!r} has to hold 1 to {MAX_URLS} Apprise URLs")
    return [_service(url, number, len(urls), options.url_secret) for number, url in enumerate(urls, 1)]


def examine(options: Options, access: Access) -> Iterator[Finding]:
    """Yield which services the secret names. Raises PermanentFailure for a URL that Apprise can't use."""
    names = ", ".join(service.name for service in connect(options, access))
    yield ok("services", f"secret {options.url_secret} names {names}; nothing was sent")


def start(attempt: Attempt) -> Answer:
    """Send to each service that has not taken it yet, and note which have."""
    sent: list[int] = list(attempt.progress.get("sent", []))
    failures = []
    for number, service in enumerate(attempt.connection):
        if number in sent:
            continue
        try:
            _send(service, attempt.options)
        except Failure as failure:
            failures.append(failure)
            continue
        sent.append(number)
        attempt.save({"sent": sent})
    if failures:
        raise _gravest(failures)
    names = ", ".join(service.name for service in attempt.connection)
    return Succeeded(outcome=f"{names} took the message")


def preview(attempt: Attempt) -> dict[str, Any]:
    """Return what Apprise is given."""
    return {"request": f"Apprise to {{URLs in secret {attempt.options.url_secret}}}", "body": _message(attempt.options)}


def _message(options: Options) -> dict[str, str]:
    return {"body": options.text[:MAX_TEXT], "title": options.title[:MAX_TEXT], "notify_type": options.type}


def _gravest(failures: list[Failure]) -> Failure:
    """The one to go by: doubt first, since `at_most_once` has to end there; then what may yet succeed."""
    order = (AmbiguousFailure, TransientFailure, PermanentFailure)
    return min(failures, key=lambda failure: order.index(type(failure)))


def _service(url: str, number: int, count: int, secret: str) -> Service:
    apprise = _apprise()
    asset = apprise.AppriseAsset(
        async_mode=False, storage_mode="memory", http_redirects=False, service_timeout=min(30.0, ALL_SECONDS / count)
    )
    scheme = url.partition("://")[0].lower()
    plugin = None if scheme in _LOCAL else apprise.Apprise.instantiate(url, asset=asset)
    if plugin is None:
        raise PermanentFailure(f"secret {secret!r}: URL {number} is none that Apprise can send to from here")
    # what the URL may say of these would send twice, to elsewhere, or hide a failure
    plugin.retry, plugin.redirects, plugin.optional = 0, False, False
    return Service(str(plugin.service_name), plugin, url)


def _send(service: Service, options: Options) -> None:
    apprise = _apprise()
    sender = apprise.Apprise()
    sender.add(service.plugin)
    with outbound.guarded():
        result = sender.notify(**_message(options), body_format="text", log_level=logging.INFO)
    if not result:
        raise _failure(service, [(entry.level, _without(service.url, entry.message)) for entry in result.logs()])


def _failure(service: Service, entries: list[tuple[str, str]]) -> Failure:
    """Return what Apprise's log says of a failure. A message in several parts may have come in part."""
    told = [message for level, message in entries if level not in ("INFO", "DEBUG")]
    reason = f"{service.name}: {told[-1] if told else 'Apprise does not say why'}"[:500]
    in_part = any(message.startswith("Sent") for level, message in entries if level == "INFO")
    codes = {code for message in told for code in _STATUS.findall(message)}
    if in_part or not codes or any(code.startswith("5") for code in codes):
        return AmbiguousFailure(reason)
    return TransientFailure(reason) if codes & set(_PASSING) else PermanentFailure(reason)


def _without(url: str, message: str) -> str:
    """Take every part of the URL out of a message: each may be the secret one."""
    for part in sorted(set(_parts(url)), key=len, reverse=True):
        message = message.replace(part, "…")
    return " ".join(message.split())


def _parts(url: str) -> Iterator[str]:
    for text in (url, unquote(url)):
        yield from (part for part in re.split(r"[^A-Za-z0-9_.+-]+", text.partition("://")[2]) if len(part) > 3)


@cache
def _apprise() -> Any:
    import apprise

    logger = logging.getLogger("apprise")
    logger.propagate = False  # what it logs may hold parts of the URL
    logger.setLevel(logging.INFO)  # or it tells its result nothing of what was sent
    return apprise
