"""`doctor`: what the app finds and what is found of webhooks, in one table, with one exit status."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.commands import app
from local.databricks import Databricks
from local.serving import certificate
from local.system import System
from local.worker import Host
from tests.conftest import DEAF, IMPATIENT

PAT = "dapi-of-an-operator"
SECRET = "a-signing-secret-of-the-surgery"
ROUTES = """
sources:
  surgery: {{kind: databricks, secret: surgery-webhook, workspace: "{workspace}"}}
routes:
  - name: tell
    when: {{source: surgery, event: comment.created}}
    steps: [{{slack: {{url_secret: surgery-slack, text: "{{comment}}"}}}}]
"""


@dataclass
class Surgery:
    """An app, its registry, and the doctor called on them."""

    system: System
    worker: Host
    workspace: Databricks
    routes: Path

    def run(self, *words: str) -> Result:
        options = ["--url", self.worker.url, "--key", self.system.function_key, *words, "--routes", str(self.routes)]
        result = CliRunner().invoke(app, options)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert SECRET not in result.output
        return result

    def webhooks(self, *words: str) -> list[dict[str, str]]:
        """What is found of webhooks."""
        found: list[dict[str, str]] = json.loads(self.run("doctor", "--json", *words).stdout)
        return [each for each in found if each["check"] == "webhook"]

    def apply(self, *words: str) -> None:
        assert self.run("webhooks", "apply", "--yes", "--patience", "0", *words).exit_code == 0


@pytest.fixture(scope="module")
def workspace(system: System) -> Iterator[Databricks]:
    with Databricks(system.identity) as running:
        running.pats.add(PAT)
        yield running


@pytest.fixture(scope="module")
def surgerys_worker(system: System, workspace: Databricks, tmp_path_factory: pytest.TempPathFactory) -> Host:
    system.vault.set("surgery-webhook", SECRET)
    system.vault.set("surgery-slack", system.chat.slack_url())
    routes = tmp_path_factory.mktemp("surgery") / "routes.yaml"
    routes.write_text(ROUTES.format(workspace=workspace.url))
    return system.worker({**IMPATIENT, **DEAF, "ROUTES": str(routes), "SECRET_CACHE_SECONDS": "0.2"})


@pytest.fixture
def surgery(
    system: System, surgerys_worker: Host, workspace: Databricks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Surgery]:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate().ca_file)
    monkeypatch.setenv("DATABRICKS_TOKEN", PAT)
    routes = tmp_path / "routes.yaml"
    routes.write_text(ROUTES.format(workspace=workspace.url))
    yield Surgery(system, surgerys_worker, workspace, routes)
    workspace.webhooks.clear()


def test_the_webhook_is_missing_then_made_and_its_signature_agrees(surgery: Surgery) -> None:
    [missing] = surgery.webhooks()
    assert (missing["status"], missing["seen"]) == ("wrong", "create: there is none")
    assert missing["advice"] == "python -m cli webhooks apply"
    surgery.apply()
    tests = len(surgery.workspace.deliveries)
    [there] = surgery.webhooks()
    assert (there["status"], there["subject"]) == ("ok", "surgery, all models")
    assert [sent.status for sent in surgery.workspace.deliveries[tests:]] == [202], "a live test call"


def _disabled(webhook: Any) -> None:
    webhook.status = "DISABLED"


def _elsewhere(webhook: Any) -> None:
    webhook.url = "https://old.example.com/"


def _deaf(webhook: Any) -> None:
    webhook.events = ["MODEL_VERSION_CREATED"]


def _another_secret(webhook: Any) -> None:
    webhook.secret = "a-secret-that-is-not-in-the-vault"


@pytest.mark.parametrize(
    ("spoil", "seen", "cure"),
    [
        (_disabled, "it is DISABLED, not ACTIVE", ()),
        (_elsewhere, "it sends to https://old.example.com/", ()),
        (_deaf, "it lacks COMMENT_CREATED", ()),
        (_another_secret, "the test of COMMENT_CREATED was answered 401, not 202", ("--rotate",)),
    ],
)
def test_a_webhook_that_went_wrong_is_found_and_gone_when_it_is_mended(
    surgery: Surgery, spoil: Any, seen: str, cure: tuple[str, ...]
) -> None:
    surgery.apply()
    [webhook] = surgery.workspace.webhooks.values()
    spoil(webhook)
    [found] = surgery.webhooks()
    assert found["status"] == "wrong"
    assert seen in found["seen"]
    assert " ".join(["python -m cli webhooks apply", *cure]) in found["advice"]
    surgery.apply(*cure)
    assert [each["status"] for each in surgery.webhooks()] == ["ok"]


def test_what_the_app_finds_is_shown_and_decides_the_exit_status(surgery: Surgery) -> None:
    surgery.apply()
    well = surgery.run("doctor")
    assert well.exit_code == 0, well.output
    assert "0 wrong" in well.output
    surgery.system.vault.set("surgery-webhook", "2-few-bytes")
    newest = surgery.system.vault.secrets["surgery-webhook"][-1].id
    ill = surgery.run("doctor", "--no-webhooks")
    surgery.system.vault.disable("surgery-webhook", newest)
    assert ill.exit_code == 1
    assert "shorter than 16 bytes" in ill.output
    assert surgery.run("doctor", "--no-webhooks").exit_code == 0


def test_without_access_to_the_registry_webhooks_are_wrong_only_if_they_were_asked_for(surgery: Surgery) -> None:
    surgery.workspace.pats.clear()
    [unseen] = surgery.webhooks()
    [asked] = surgery.webhooks("--webhooks")
    surgery.workspace.pats.add(PAT)
    assert (unseen["status"], asked["status"]) == ("warning", "wrong")
    assert "did not accept the credentials (403)" in unseen["seen"]
    assert surgery.webhooks("--no-webhooks") == []


def test_without_the_key_the_doctor_says_nothing(surgery: Surgery) -> None:
    result = CliRunner().invoke(app, ["--url", surgery.worker.url, "--key", "wrong", "doctor", "--no-webhooks"])
    assert result.exit_code == 1
    assert "RELAY_KEY" in result.output
