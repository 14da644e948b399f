"""`webhooks`: against the stand-in of a Databricks workspace, a real MLflow server, and the running app behind both."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import requests
from typer.testing import CliRunner, Result

from cli.commands import app
from cli.webhooks_wanted import wanted_of
from handlers.current_routes import rules
from local.databricks import Databricks
from local.databricks_webhooks import Webhook
from local.serving import certificate
from local.system import System
from local.worker import Host
from shared.routes_file import parse_routes
from tests.conftest import DEAF, IMPATIENT, TRACKING_URIS
from tests.senders.mlflow_server import MlflowServer

PAT = "dapi-of-an-operator"
DRIFT = 3
ROUTES = """
sources:
  cellar: {{kind: databricks, secret: cellar-webhook, workspace: "{workspace}"}}
  attic:
    {{kind: databricks, secret: cellar-webhook, authorization_secret: attic-authorization, workspace: "{workspace}"}}
  garden: {{kind: mlflow, secret: cellar-webhook, tracking_uri: "{tracking_uri}"}}
  nowhere: {{kind: databricks, secret: cellar-webhook}}
routes:
  - name: red-to-production
    when: {{source: cellar, event: model_version.stage_changed, model: [red, white], to_stage: Production}}
    steps: [{{slack: {{url_secret: mlops-slack, text: "{{model}}"}}}}]
  - name: told-of-all
    when: {{source: cellar, event: comment.created}}
    steps: [{{slack: {{url_secret: mlops-slack, text: "{{comment}}"}}}}]
  - name: of-the-attic
    when: {{source: attic, event: model_version.created, model: "old-*"}}
    steps: [{{slack: {{url_secret: mlops-slack, text: "{{model}}"}}}}]
  - name: champions
    when: {{source: garden, event: [model_version_alias.created, model_version.created]}}
    steps: [{{slack: {{url_secret: mlops-slack, text: "{{model}}"}}}}]
"""


@dataclass
class Setting:
    """The app and one registry, and the commands as an operator gives them."""

    system: System
    worker: Host
    workspace: Databricks
    routes: Path
    app_url: str
    ran: list[str] = field(default_factory=list)

    def run(self, *words: str, typed: str = "") -> Result:
        """Run a command; what it prints never holds a secret."""
        options = ["--url", self.app_url, "webhooks", *words, "--routes", str(self.routes)]
        result = CliRunner().invoke(app, options, input=typed)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        for secret in ("cellar-webhook", "attic-authorization"):
            assert all(version.value not in result.output for version in self.system.vault.secrets[secret])
        return result

    def apply(self, source: str, *words: str, typed: str = "") -> Result:
        """Apply one source's plan without a question."""
        return self.run("apply", "--source", source, "--yes", "--patience", "0", *words, typed=typed)

    def of(self, source: str) -> dict[str, Webhook]:
        """The source's webhooks, by model."""
        mark = f"registry-relay:{source}"
        return {each.model: each for each in self.workspace.webhooks.values() if each.description == mark}

    def writes(self) -> list[Any]:
        """What was asked of the registry beside reading, by the last part of the path and the status in the body."""
        calls = [call for call in self.workspace.faults.log if "registry-webhooks" in call.path]
        return [
            (call.path.rsplit("/", 1)[-1], (call.body or {}).get("status")) for call in calls if call.method != "GET"
        ]


@pytest.fixture(scope="module")
def worker(system: System, mlflow_servers: list[MlflowServer], tmp_path_factory: pytest.TempPathFactory) -> Host:
    """An app of its own, so that secrets may be rotated; it finds the sources, not the registries, in its routes."""
    system.vault.set("cellar-webhook", "the-first-secret-of-the-cellar")
    system.vault.set("attic-authorization", "Bearer what-the-attic-asks-for")
    routes = tmp_path_factory.mktemp("cli") / "routes.yaml"
    routes.write_text(ROUTES.format(workspace="https://adb-1.example.com", tracking_uri=TRACKING_URIS[0]))
    return system.worker({**IMPATIENT, **DEAF, "ROUTES": str(routes), "SECRET_CACHE_SECONDS": "0.2"})


@pytest.fixture
def setting(
    system: System, worker: Host, mlflow_servers: list[MlflowServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Setting]:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate().ca_file)
    monkeypatch.setenv("DATABRICKS_TOKEN", PAT)
    with Databricks(system.identity) as workspace:
        workspace.pats.add(PAT)
        workspace.add_model("red")
        workspace.add_model("white")
        routes = tmp_path / "routes.yaml"
        routes.write_text(ROUTES.format(workspace=workspace.url, tracking_uri=mlflow_servers[0].url))
        yield Setting(system, worker, workspace, routes, worker.url)


# which webhooks a source needs


def needed(when: str, kind: str = "databricks") -> dict[str, tuple[str, ...]]:
    conditions = when.splitlines()
    step = "steps: [{slack: {url_secret: mlops-slack, text: x}}]"
    routes = "\n".join(f"  - {{name: r{number}, when: {{{each}}}, {step}}}" for number, each in enumerate(conditions))
    address = "workspace" if kind == "databricks" else "tracking_uri"
    sources = f"  s: {{kind: {kind}, secret: x, {address}: 'https://example.com'}}\n  t: {{kind: mlflow, secret: x}}"
    text = f"sources:\n{sources}\nroutes:\n{routes}\n"
    return {
        each.model: each.events for each in wanted_of("s", parse_routes(text, "routes.yaml", rules()), "https://a/b")
    }


STAGED = "MODEL_VERSION_TRANSITIONED"


@pytest.mark.parametrize(
    ("when", "wanted"),
    [
        ("event: model_version.stage_changed", {"": (f"{STAGED}_STAGE",)}),
        ("event: model_version.stage_changed, to_stage: Production", {"": (f"{STAGED}_TO_PRODUCTION",)}),
        ("event: model_version.stage_changed, to_stage: None", {"": (f"{STAGED}_STAGE",)}),
        (
            'event: model_version.stage_changed, to_stage: "[PS]*"',
            {"": (f"{STAGED}_TO_PRODUCTION", f"{STAGED}_TO_STAGING")},
        ),
        ("event: transition_request.created, to_stage: Archived", {"": ("TRANSITION_REQUEST_TO_ARCHIVED_CREATED",)}),
        (
            'event: "model_version*", model: a',
            {"a": ("MODEL_VERSION_CREATED", "MODEL_VERSION_TAG_SET", f"{STAGED}_STAGE")},
        ),
        ("event: comment.created, model: [a, b]", {"a": ("COMMENT_CREATED",), "b": ("COMMENT_CREATED",)}),
        ('event: comment.created, model: [a, "b*"]', {"": ("COMMENT_CREATED",)}),
        ("event: registered_model.created, model: a", {"": ("REGISTERED_MODEL_CREATED",)}),
        ("event: model_version_alias.created", {}),
        # two routes of one act: told once
        (
            "event: model_version.stage_changed, model: a, to_stage: Staging\n"
            "event: model_version.stage_changed, model: a",
            {"a": (f"{STAGED}_STAGE",)},
        ),
        (
            "event: model_version.stage_changed, model: a, to_stage: Staging\nevent: model_version.stage_changed",
            {"": (f"{STAGED}_STAGE",)},
        ),
        (
            "event: [comment.created, model_version.created], model: a\nevent: comment.created",
            {"": ("COMMENT_CREATED",), "a": ("MODEL_VERSION_CREATED",)},
        ),
        # not this one's
        ("source: t, event: comment.created", {}),
    ],
)
def test_a_databricks_source_needs_the_narrowest_webhooks_that_serve_its_routes(
    when: str, wanted: dict[str, tuple[str, ...]]
) -> None:
    assert needed(when) == wanted


def test_an_mlflow_source_needs_one_webhook_for_all_that_mlflow_sends_of_it() -> None:
    assert needed('event: "model_version*", model: a', "mlflow") == {
        "": (
            "model_version.created",
            "model_version_tag.set",
            "model_version_tag.deleted",
            "model_version_alias.created",
            "model_version_alias.deleted",
        )
    }
    assert needed("event: comment.created", "mlflow") == {}


# Databricks


def test_webhooks_are_created_in_test_mode_tested_and_activated(setting: Setting) -> None:
    result = setting.apply("cellar")
    assert result.exit_code == 0, result.output
    made = setting.of("cellar")
    assert {model: each.events for model, each in made.items()} == {
        "": ["COMMENT_CREATED"],
        "red": ["MODEL_VERSION_TRANSITIONED_TO_PRODUCTION"],
        "white": ["MODEL_VERSION_TRANSITIONED_TO_PRODUCTION"],
    }
    assert {each.status for each in made.values()} == {"ACTIVE"}
    assert {each.url for each in made.values()} == {f"{setting.worker.url}/api/webhooks/cellar"}
    assert setting.writes() == [("create", "TEST_MODE"), ("test", None), ("update", "ACTIVE")] * 3
    assert [sent.status for sent in setting.workspace.deliveries] == [202] * 3
    assert "COMMENT_CREATED: told-of-all: slack" in result.output, "the app's plan is shown"
    assert "red-to-production: slack  (if model ['red', 'white'], to_stage Production)" in result.output


def test_applied_again_nothing_is_done_and_nothing_has_drifted(setting: Setting) -> None:
    assert setting.run("plan", "--source", "cellar", "--check").exit_code == DRIFT
    assert setting.workspace.webhooks == {}
    setting.apply("cellar")
    before = setting.writes()
    assert setting.apply("cellar").exit_code == 0
    assert setting.run("plan", "--source", "cellar", "--check").exit_code == 0
    assert setting.writes() == before


def test_what_a_webhook_sends_from_then_on_is_taken(setting: Setting) -> None:
    setting.workspace.add_version("red")
    assert setting.apply("cellar").exit_code == 0
    assert setting.apply("attic").exit_code == 0, "with the Authorization that the app asks for"
    tests = len(setting.workspace.deliveries)
    setting.workspace.transition("red", "1", "Staging")
    setting.workspace.transition("red", "1", "Production")
    setting.workspace.settle()
    sent = setting.workspace.deliveries[tests:]
    assert [(each.event, each.status) for each in sent] == [("MODEL_VERSION_TRANSITIONED_TO_PRODUCTION", 202)]
    assert json.loads(sent[0].reply)["plan"] == [{"route": "red-to-production"}]


def _moved(webhook: Webhook) -> None:
    webhook.url = "https://old.example.com/api/webhooks/cellar"


def _disabled(webhook: Webhook) -> None:
    webhook.status = "DISABLED"


def _other_events(webhook: Webhook) -> None:
    webhook.events = ["MODEL_VERSION_CREATED"]


def _unchecked(webhook: Webhook) -> None:
    webhook.verify = False


@pytest.mark.parametrize(
    ("drift", "reason"),
    [
        (_moved, "it sends to https://old.example.com/api/webhooks/cellar, not to"),
        (_disabled, "it is DISABLED, not ACTIVE"),
        (_other_events, "it lacks MODEL_VERSION_TRANSITIONED_TO_PRODUCTION"),
        (_other_events, "it sends MODEL_VERSION_CREATED, which no route needs"),
        (_unchecked, "it does not check the app's certificate"),
    ],
)
def test_drift_is_told_and_mended(setting: Setting, drift: Callable[[Webhook], None], reason: str) -> None:
    setting.apply("cellar")
    webhook = setting.of("cellar")["red"]
    drift(webhook)
    seen = setting.run("plan", "--source", "cellar", "--check")
    assert seen.exit_code == DRIFT
    assert reason in seen.output
    setting.workspace.faults.log.clear()
    assert setting.apply("cellar").exit_code == 0
    assert len(setting.writes()) == (3 if webhook.status == "ACTIVE" and drift in (_moved, _disabled) else 2)
    assert setting.of("cellar")["red"] is webhook, "changed, not made anew"
    assert (webhook.url, webhook.status, webhook.events, webhook.verify) == (
        f"{setting.worker.url}/api/webhooks/cellar",
        "ACTIVE",
        ["MODEL_VERSION_TRANSITIONED_TO_PRODUCTION"],
        True,
    )
    assert setting.run("plan", "--source", "cellar", "--check").exit_code == 0


def test_a_webhook_whose_test_fails_stays_in_test_mode_until_it_is_mended(setting: Setting) -> None:
    result = setting.apply("attic", "--secret-from", "stdin", typed="another-secret-than-the-vaults\nBearer wrong\n")
    assert result.exit_code == 1
    webhook = setting.of("attic")[""]
    assert webhook.status == "TEST_MODE"
    assert f"webhook {webhook.id} stays in TEST_MODE" in result.output
    assert "was answered 401, not 202" in result.output
    assert "another-secret" not in result.output
    assert setting.apply("attic").exit_code == 0
    assert (setting.of("attic")[""].id, webhook.status) == (webhook.id, "ACTIVE")


def test_a_host_that_answers_202_to_anything_is_not_taken_for_the_app(setting: Setting) -> None:
    teams = setting.system.chat.teams_url()
    setting.workspace.faults.add(
        "POST", "/test", before=True, status=200, body={"status_code": 202, "body": "Accepted"}
    )
    result = setting.run(
        "apply", "--source", "attic", "--yes", "--patience", "0", "--public-url", teams.rsplit("/", 2)[0]
    )
    assert result.exit_code == 1
    assert "not as the app answers a test" in result.output
    assert setting.of("attic")[""].status == "TEST_MODE"


def test_webhooks_of_others_are_left_alone_and_told_of_if_they_send_here(setting: Setting) -> None:
    here = f"{setting.worker.url}/api/webhooks/attic"
    made = setting.workspace.add_webhook(here, "the-first-secret-of-the-cellar", ["COMMENT_CREATED"])
    other = setting.workspace.add_webhook("https://other.example.com/hook", "", ["COMMENT_CREATED"], status="DISABLED")
    before = (vars(made).copy(), vars(other).copy())
    result = setting.apply("attic")
    assert f"webhook {made.id} sends here too, without our mark, and is left alone" in result.output
    assert len(setting.workspace.webhooks) == 3
    setting.run("remove", "--source", "attic", "--yes")
    assert (vars(made), vars(other)) == before
    assert set(setting.workspace.webhooks) == {made.id, other.id}
    assert setting.apply("attic", "--adopt").exit_code == 0
    assert setting.of("attic") == {"": made}
    assert (made.events, vars(other)) == (["MODEL_VERSION_CREATED"], before[1])


def test_what_no_route_needs_any_more_is_deleted(setting: Setting) -> None:
    setting.apply("cellar")
    text = setting.routes.read_text()
    setting.routes.write_text(
        text.replace("model: [red, white]", "model: white")
        .replace("  attic:", "  cave:")
        .replace("source: attic", "source: cave")
    )
    gone = setting.workspace.add_webhook(f"{setting.worker.url}/api/webhooks/attic", "", ["COMMENT_CREATED"])
    elsewhere = setting.workspace.add_webhook("https://relay.example.com/api/webhooks/attic", "", ["COMMENT_CREATED"])
    gone.description = elsewhere.description = "registry-relay:attic"
    result = setting.apply("cellar")
    assert result.exit_code == 0, result.output
    assert set(setting.of("cellar")) == {"", "white"}
    assert setting.of("attic") == {"": elsewhere}, "another app's, which has such a source"


def test_one_webhook_that_fails_does_not_stop_the_others(setting: Setting) -> None:
    del setting.workspace.models["red"]
    result = setting.apply("cellar")
    assert result.exit_code == 1
    assert "Registered Model with name=red not found" in result.output
    assert {model: each.status for model, each in setting.of("cellar").items()} == {"": "ACTIVE", "white": "ACTIVE"}


def test_without_a_right_the_reason_is_told_and_the_other_registries_are_looked_at(setting: Setting) -> None:
    setting.workspace.pats.clear()
    result = setting.run("plan", "--source", "cellar")
    assert result.exit_code == 1
    assert "did not accept the credentials (403)" in result.output


def test_a_rotated_secret_is_told_without_a_break(setting: Setting) -> None:
    setting.apply("cellar")
    old = setting.system.vault.secrets["cellar-webhook"][-1].id
    setting.system.vault.set("cellar-webhook", "the-next-secret-of-the-cellar")
    setting.workspace.faults.log.clear()
    result = setting.apply("cellar", "--rotate", "--patience", "45")  # the app may have asked the vault just before
    assert result.exit_code == 0, result.output
    assert {each.secret for each in setting.of("cellar").values()} == {"the-next-secret-of-the-cellar"}
    assert [each for each, _ in groupby(setting.writes())] == [("update", None), ("test", None)] * 3, "ACTIVE all along"
    setting.system.vault.disable("cellar-webhook", old)
    assert setting.run("test", "--source", "cellar", "--patience", "10").exit_code == 0


def test_nothing_is_done_before_it_is_confirmed(setting: Setting) -> None:
    result = setting.run("apply", "--source", "cellar", typed="n\n")
    assert result.exit_code == 1
    assert "Do these 3 changes?" in result.output
    assert setting.writes() == []
    setting.apply("cellar")
    assert setting.run("remove", "--source", "cellar", typed="n\n").exit_code == 1
    assert len(setting.of("cellar")) == 3


def test_webhooks_are_listed_with_whose_they_are_and_tested(setting: Setting) -> None:
    assert setting.run("test", "--source", "cellar").exit_code == 1, "there are none yet"
    setting.apply("cellar")
    setting.workspace.add_webhook("https://other.example.com/hook", "", ["COMMENT_CREATED"])
    listed = json.loads(setting.run("list", "--source", "cellar", "--json").stdout)
    assert sorted((each["source"], each["model"]) for each in listed) == [
        ("", ""),
        ("cellar", ""),
        ("cellar", "red"),
        ("cellar", "white"),
    ]
    assert "https://other.example.com/hook" in setting.run("list", "--source", "cellar").output
    tested = setting.run("test", "--source", "cellar")
    assert tested.exit_code == 0
    assert "COMMENT_CREATED: told-of-all: slack" in tested.output


def test_a_source_without_an_address_is_told_of(setting: Setting) -> None:
    result = setting.run("plan", "--source", "nowhere")
    assert result.exit_code == 1
    assert "the source has no `workspace` in the routes file" in result.output


def test_a_token_of_the_environment_goes_to_no_other_workspace(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_HOST", "https://another.example.com")
    with_identity = setting.run("plan", "--source", "cellar")
    assert with_identity.exit_code == 0, "as the operator's own identity instead"
    setting.workspace.identity.faults.add("*", "/msi/token", times=None, status=500)
    monkeypatch.setenv("DATABRICKS_HOST", setting.workspace.url)
    assert setting.run("plan", "--source", "cellar").exit_code == 0
    setting.workspace.identity.faults.clear()


# MLflow


def test_a_webhook_of_a_real_mlflow_server_is_made_tested_activated_and_mended(
    setting: Setting, mlflow_server: MlflowServer
) -> None:
    webhooks = f"{mlflow_server.url}/api/2.0/mlflow/webhooks"

    def all_webhooks() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = requests.get(webhooks, timeout=30).json().get("webhooks", [])
        return found

    def of_garden() -> list[dict[str, Any]]:
        return [each for each in all_webhooks() if each.get("description") == "registry-relay:garden"]

    before = all_webhooks()
    mlflow_server.listen("https://relay.example.com/", "a-secret-of-somebody-else", ["PROMPT_TAG.DELETED"])
    [other] = [each for each in all_webhooks() if each not in before]
    result = setting.apply("garden")
    assert result.exit_code == 0, result.output
    [made] = of_garden()
    assert made["status"] == "ACTIVE"
    assert "model_version_alias.created: champions: slack" in result.output
    assert setting.run("plan", "--source", "garden", "--check").exit_code == 0
    url = f"{webhooks}/{made['webhook_id']}"
    requests.patch(url, json={"status": "DISABLED", "url": "https://old.example.com/"}, timeout=30).raise_for_status()
    drifted = setting.run("plan", "--source", "garden", "--check")
    assert drifted.exit_code == DRIFT
    assert "it is DISABLED, not ACTIVE" in drifted.output
    assert setting.apply("garden").exit_code == 0
    [mended] = of_garden()
    assert (mended["status"], mended["url"]) == ("ACTIVE", f"{setting.worker.url}/api/webhooks/garden")
    wrong = setting.apply("garden", "--rotate", "--secret-from", "stdin", typed="not-the-secret-of-the-vault\n")
    assert (wrong.exit_code, "left ACTIVE, but the test of" in wrong.output) == (1, True)
    assert setting.apply("garden", "--rotate").exit_code == 0
    assert setting.run("remove", "--source", "garden", "--yes").exit_code == 0
    assert of_garden() == []
    assert other in all_webhooks(), "that of somebody else is as it was"
    requests.delete(f"{webhooks}/{other['webhook_id']}", timeout=30).raise_for_status()
