"""Slack, Teams and approvals: webhook URLs are secrets, and so is the link by which a person decides."""

from __future__ import annotations

from typing import Any

from local.key_vault import FORBIDDEN
from local.ports import free_port
from tests.canary.echoing import CUT, SENT
from tests.canary.planting import Planting

TROUBLE: dict[str, dict[str, Any]] = {
    "401": {"status": 401, "body": "invalid_token"},
    "403": {"status": 403, "body": "action_prohibited"},
    "429": {"status": 429, "body": "rate_limited", "headers": {"Retry-After": "600"}},
    "500": {"status": 500, "body": "<html>error</html>"},
    "302": {"status": 302, "headers": {"Location": "https://login.example.com/"}},
    "dropped": {"drop": True},
    "lost": {"drop": True, "before": False},
}
ECHOES: dict[str, dict[str, Any]] = {
    "echo-page": {"status": 404, "body": f"<html>Cannot {SENT}</html>"},
    "echo-json": {"status": 400, "body": {"error": {"code": "BadRequest", "message": f"no such URL: {SENT}"}}},
    "echo-500": {"status": 500, "body": f"Cannot {SENT}"},
    "echo-cut": {"status": 400, "body": CUT},
}
BAD_URLS = {
    "no-scheme": "hooks.example.com/{}",
    "in-clear": "http://example.com/{}",
    "half-pasted": "https://[{}",
    "bad-port": "https://127.0.0.1:99999/{}",
    "long-label": "https://" + "x" * 70 + ".example.com/{}",
    "unknown-host": "https://{}.invalid/hook",
    "user": "https://someone:{}@127.0.0.1:1/hook",
    "with-newline": "https://127.0.0.1:1/{}\n/hook",
    "with-control": "https://127.0.0.1:1\x01/{}",
}
ENDS = {"lost": "parked", "429": "retry"}
QUESTION = "May {model} go? {approval.link}"


def plant_chat(planting: Planting) -> None:
    """Channels that take messages, and channels that refuse them in all ways."""
    chat = planting.system.chat
    for kind in ("slack", "teams"):
        chat.channels.add(planting.keep(f"good-{kind}", f"{chat.url}/{kind}/{{}}?sig={{}}"))
        options = {"url_secret": f"good-{kind}", "text": "{model}: {comment}"}
        planting.route(f"told-{kind}", kind, options, ends="succeeded")
        for trouble, fault in TROUBLE.items():
            _failing(planting, kind, trouble, fault)
    for trouble, fault in ECHOES.items():
        _failing(planting, "slack", trouble, fault)
    _failing(planting, "slack", "control", {"status": 400, "body": f"no such thing: {planting.control}"})
    _failing(planting, "teams", "gone", {})  # answered with the name of the workflow that is gone


def plant_bad_urls(planting: Planting) -> None:
    """URLs to which nothing can be sent, and one that the vault does not give away."""
    for what, form in BAD_URLS.items():
        planting.keep(f"url-{what}", form)
    planting.keep("url-nobody-listens", f"http://127.0.0.1:{free_port()}/slack/{{}}")
    for what in (*BAD_URLS, "nobody-listens"):
        planting.route(f"url-{what}", "slack", {"url_secret": f"url-{what}", "text": "hello"})
    planting.keep("vault-says-no")
    planting.system.vault.faults.add("GET", "/vault-says-no/", times=None, status=403, body=FORBIDDEN)
    planting.route("vault-says-no", "slack", {"url_secret": "vault-says-no", "text": "hello"})


def plant_approvals(planting: Planting) -> None:
    """A question that waits for a person, and one whose channel answers with the question, link and all."""
    planting.route("asked", "approval", {}, ends="waiting", first=[_asking("good-slack")])
    what, body = "asked-echo", {"error": {"code": "BadRequest", "message": SENT}}
    path = planting.keep(what, f"{planting.system.chat.url}/slack/{{}}")
    planting.system.chat.faults.add("POST", path, times=None, status=400, body=body)
    planting.route(what, "slack", {"url_secret": what, "text": QUESTION}, then=[{"approval": {}}], tell=("slack",))


def _asking(secret: str) -> dict[str, Any]:
    return {"slack": {"url_secret": secret, "text": QUESTION}}


def _failing(planting: Planting, kind: str, trouble: str, fault: dict[str, Any]) -> None:
    name, chat = f"{kind}-{trouble}", planting.system.chat
    path = planting.keep(name, f"{chat.url}/{kind}/{{}}?sig={{}}")
    if trouble != "gone":
        chat.channels.add(path)
        chat.faults.add("POST", path, times=None, **fault)
    options = {"url_secret": name, "text": "{model}: {comment}", "at_most_once": trouble == "lost"}
    planting.route(name, kind, options, ENDS.get(trouble, "dead"), tell=("slack", "teams"))
