"""The command line, with the function key in its environment, says what was wrong and never the key."""

from __future__ import annotations

from tests.canary.command_line import ANSWERS
from tests.canary.looking import Findings

FAILING = {"wrong key", "key with newline", "key beyond latin", "nobody", "no event", *ANSWERS}


def test_the_command_line_prints_no_secret(findings: Findings) -> None:
    assert [what for what in findings.canaries if "command line" in findings.told(what)] == []


def test_the_command_line_failed_where_it_was_meant_to(findings: Findings) -> None:
    assert {name for name, status in findings.exits.items() if status} == FAILING
    assert len(findings.exits) == len(FAILING) + 4


def test_the_command_line_told_of_what_happened(findings: Findings) -> None:
    printed = findings.found["command line"]
    for told in ("slack-401", "score-key-answered", "RELAY_KEY", "can't be reached", "no-such-event"):
        assert told in printed
