"""No secret comes out: each is a canary, the app is driven into all kinds of trouble, then everything is searched."""

from __future__ import annotations

from handlers.sources import SOURCES
from handlers.targets import rules_of_targets
from tests.canary.looking import Findings


def test_no_secret_comes_out_anywhere(findings: Findings) -> None:
    places = {what: findings.told(what) - {"debug log"} for what in findings.canaries}
    places["approval-link"] -= {"messages"}  # it is what the message is for; the other one was refused
    assert {what: found for what, found in places.items() if found} == {}


def test_no_secret_comes_out_in_the_log_at_its_lowest_level(findings: Findings) -> None:
    assert [what for what in findings.canaries if "debug log" in findings.told(what)] == []


def test_every_secret_is_one(findings: Findings) -> None:
    known = [secret for secrets in findings.canaries.values() for secret in secrets]
    assert all(len(secret) >= 14 for secret in known)
    assert len(set(known)) == len(known)


def test_the_trouble_came_as_meant(findings: Findings) -> None:
    assert findings.states == findings.meant


def test_each_target_is_driven_with_each_secret_that_it_takes(findings: Findings) -> None:
    rules = rules_of_targets()
    assert findings.targets == {(name, "") for name in rules} | {
        (name, option) for name, each in rules.items() for option in each.secrets
    }


def test_each_kind_of_source_tells_of_something(findings: Findings) -> None:
    assert {kind for kind, _ in findings.sources} == set(SOURCES)
    assert {key for _, key in findings.sources} == {"secret", "authorization_secret", "token_secret"}


def test_each_token_of_the_app_was_looked_for(findings: Findings) -> None:
    assert len([what for what in findings.canaries if what.startswith("token for ")]) == 7
