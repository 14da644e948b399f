"""A person who answers the scenario's question, and the links by which that can be done."""

from __future__ import annotations

import re
from collections.abc import Callable

import requests

from local.system import System

LINK = re.compile(r"http://127\.0\.0\.1:[0-9]+/api/approvals/[0-9a-f.]+")
Noted = Callable[[requests.Response], requests.Response]


def decide(system: System, said: Noted) -> dict[str, str]:
    """Reject, after some wrong answers; return what is secret of all links that were sent, whoever took them."""
    [link] = [_link_in(message.text) for message in system.chat.messages if "May asked go?" in message.text]
    assert said(requests.get(link, timeout=30)).status_code == 200
    assert said(requests.post(link, data={"decision": "reject"}, timeout=30)).status_code == 400
    assert said(requests.get(f"{link[:-8]}00000000", timeout=30)).status_code == 404
    answer = {"decision": "reject", "name": "Ada", "comment": "not yet"}
    assert said(requests.post(link, data=answer, timeout=30)).status_code == 200
    assert said(requests.get(link, timeout=30)).status_code == 200
    return {"approval-link": _signature(link), "refused-approval-link": _signature(_refused(system))}


def _refused(system: System) -> str:
    """The link in the message that its channel answered with."""
    sent = [str(call.body) for call in system.chat.faults.calls("POST")]
    return _link_in(next(text for text in sent if "May asked-echo go?" in text))


def _link_in(text: str) -> str:
    found = LINK.search(text)
    assert found
    return found[0]


def _signature(link: str) -> str:
    return link.rpartition(".")[2]
