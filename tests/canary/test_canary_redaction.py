"""What this process does to words of a service before it keeps them."""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Callable

import pytest

from shared import redaction

SECRET = "canary-0123456789abcdef"
LINK = f"https://relay.example.com/api/approvals/{'e' * 64}.{'f' * 16}.{'0' * 40}"


@pytest.fixture
def redacted(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """`redacted` in a process that knows these secrets, and none else."""
    monkeypatch.setattr(redaction, "_known", deque(maxlen=100))
    for secret in (SECRET, f"relay:{SECRET}-too", "https://hooks.example.com/services/T0/canary-of-a-path"):
        redaction.remember(secret)
    return redaction.redacted


@pytest.mark.parametrize("kept", range(8, len(SECRET)))
def test_of_a_secret_that_was_cut_off_nothing_is_left(redacted: Callable[[str], str], kept: int) -> None:
    assert redacted(f"You sent: {SECRET[:kept]}") == "You sent: ***"
    coded = base64.b64encode(f"relay:{SECRET}-too".encode()).decode()
    assert redacted(f"You sent: Basic {coded[: kept + 8]}") == "You sent: Basic ***"


def test_a_password_is_kept_back_without_its_user(redacted: Callable[[str], str]) -> None:
    assert redacted(f"relay is not {SECRET}-too!") == "relay is not ***!"


@pytest.mark.parametrize("words", ["no route to https://hooks.example.com", "these services", "by relay", "canary-"])
def test_words_that_begin_like_a_secret_stay(redacted: Callable[[str], str], words: str) -> None:
    assert redacted(words) == words


def test_a_link_to_an_approval_leads_nowhere(redacted: Callable[[str], str]) -> None:
    for kept in (LINK, LINK[:-5]):
        assert redacted(f"You sent: {kept}") == f"You sent: {LINK[:-40]}***"
