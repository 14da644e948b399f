"""The search for secrets can fail: what is planted is found in each place, whole or in part, in whatever form."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest

from tests.canary.looking import Findings

PLACES = {"rows", "blobs", "queues", "replies", "messages", "log", "telemetry", "command line"}


def test_what_is_planted_is_found_everywhere(findings: Findings) -> None:
    assert set(findings.where(findings.control)) >= PLACES
    assert findings.found.keys() == PLACES | {"debug log"}
    assert findings.found["debug log"]


def test_the_approval_link_is_found_in_the_message_that_it_was_made_for(findings: Findings) -> None:
    assert "messages" in findings.told("approval-link")


def here(text: str) -> Findings:
    return Findings(found={"here": text})


@pytest.mark.parametrize("around", ["{}", ":{}", "x:{}", "xy:{}:", '{{"a": "{}"}}'])
def test_a_secret_is_found_in_whatever_form(around: str) -> None:
    secret = "canary?of/a+secret~"
    raw = around.format(secret).encode()
    coded = (base64.b64encode(raw), base64.urlsafe_b64encode(raw))
    for written in (raw.decode(), quote(raw, safe=""), raw.hex(), *(each.decode() for each in coded)):
        assert here(f"before {written} after").where(secret) == ["here"]
    assert here("canary?of/another+secret~").where(secret) == []


def test_a_secret_of_which_an_end_was_cut_off_is_found() -> None:
    secret = "canary-0123456789abcdef01234567"
    for part in (secret[:-6], secret[6:]):
        for written in (part, part.encode().hex(), base64.b64encode(part.encode()).decode()):
            assert here(f"before {written} after").where(secret) == ["here"]
    assert here(secret[:12]).where(secret) == []
