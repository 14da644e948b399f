"""The doctor, at the running app: each thing that can be wrong is made wrong, found, put right, and found no more."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.data.tables import TableClient

from handlers.doctor.examination import AT_ONCE, Check, run_all
from local.azure_devops_wire import error_body
from local.key_vault import FORBIDDEN
from local.system import DEFINITION, ORGANIZATION, PIPELINE, PROJECT, WORKSPACE, System
from local.worker import Host
from shared.findings import Finding, ok
from shared.storage import creating
from tests.conftest import DEAF, IMPATIENT, Relay
from tests.test_openapi import SCHEMA, answer

SUBSCRIPTION, GROUP = "00000000-1111-2222-3333-0000000d0c70", "doctor"
JOB = 4711
ROUTES = f"""
sources:
  clinic: {{kind: databricks, secret: doctor-webhook, workspace: "{WORKSPACE}"}}
routes:
  - name: devops
    when: {{event: model_version.stage_changed}}
    steps:
      - azure_devops_release: {{organization: {ORGANIZATION}, project: {PROJECT}, definition: {DEFINITION}}}
      - azure_devops_pipeline:
          organization: {ORGANIZATION}
          project: {PROJECT}
          pipeline: {PIPELINE}
          parameters: {{model_name: "{{model}}", model_version: "{{version}}"}}
    on_failure:
      - slack: {{url_secret: doctor-slack, text: "{{failed.reason}}"}}
  - name: models
    when: {{event: model_version.created}}
    steps:
      - databricks_job: {{workspace: "{WORKSPACE}", job: {JOB}, parameters: {{model: "{{model}}"}}}}
      - azure_ml_deployment:
          {{subscription: {SUBSCRIPTION}, resource_group: {GROUP}, workspace: ward, endpoint: bed, traffic: 100}}
      - azure_ml_score:
          {{subscription: {SUBSCRIPTION}, resource_group: {GROUP}, workspace: ward, endpoint: bed, input: {{a: [1]}}}}
      - aks_rollout:
          {{subscription: {SUBSCRIPTION}, resource_group: {GROUP}, cluster: theatre, name: patient, image: an.io/image}}
      - teams: {{url_secret: doctor-teams, text: "{{model}}"}}
      - notify: {{url_secret: doctor-notify, text: "{{model}}"}}
  - name: outside
    when: {{event: comment.created}}
    steps:
      - slack: {{url_secret: doctor-slack, text: "{{approval.link}}"}}
      - approval: {{approvers: ["*@example.com"]}}
      - http: {{url: "https://nowhere.example.com/hook"}}
"""


class Clinic:
    """The doctor of an app of its own."""

    def __init__(self, system: System, worker: Host) -> None:
        self.system, self.worker = system, worker

    def findings(self) -> dict[str, list[dict[str, str]]]:
        """What the doctor finds, by its check."""
        key = {"x-functions-key": self.system.function_key}
        reply = requests.get(f"{self.worker.url}/api/doctor", headers=key, timeout=110)
        assert reply.status_code == 200, reply.text
        for secret in ("doctor-webhook", "doctor-slack", "doctor-teams", "doctor-notify"):
            assert self.system.secret(secret) not in reply.text
        found: dict[str, list[dict[str, str]]] = {}
        for each in reply.json()["findings"]:
            assert (each["status"] == "ok") == (each["advice"] == ""), each
            found.setdefault(each["check"], []).append(each)
        return found

    def of(self, check: str, subject: str = "") -> dict[str, str]:
        """What the doctor finds of one thing."""
        [found] = [each for each in self.findings()[check] if subject in each["subject"]]
        return found


@pytest.fixture(scope="module")
def doctors_worker(system: System, tmp_path_factory: pytest.TempPathFactory) -> Host:
    system.vault.set("doctor-webhook", "a-signing-secret-of-the-clinic")
    system.vault.set("doctor-slack", system.chat.slack_url())
    system.vault.set("doctor-teams", system.chat.teams_url())
    system.vault.set("doctor-notify", "json://user-of-the-clinic:a-password-of-it@hooks.example.com/")
    routes = tmp_path_factory.mktemp("doctor") / "routes.yaml"
    routes.write_text(ROUTES)
    return system.worker({**IMPATIENT, **DEAF, "ROUTES": str(routes)})


@pytest.fixture
def clinic(relay: Relay, doctors_worker: Host) -> Iterator[Clinic]:
    """All as it should be, as far as a case does not make it otherwise."""
    system = relay.system
    system.databricks.add_job(JOB, "Physician", parameters=["model"])
    system.ml.add_workspace(SUBSCRIPTION, GROUP, "ward")
    system.aks.add_cluster(SUBSCRIPTION, GROUP, "theatre").power = "Running"
    yield Clinic(system, doctors_worker)
    system.vault.clock = system.databricks.clock
    system.devops.classic_releases_disabled = False
    system.devops.may_not_release.clear()


def test_what_is_as_it_should_be_is_said_so(clinic: Clinic) -> None:
    found = clinic.findings()
    for check in ("settings", "routes", "queue", "table", "blob", "secret", "registry", "waiting"):
        assert {each["status"] for each in found[check]} == {"ok"}, found[check]
    assert {each["subject"] for each in found["secret"]} == {
        "doctor-webhook",
        "doctor-slack",
        "doctor-teams",
        "doctor-notify",
    }
    for check in (
        "azure_devops_release definition",
        "azure_devops_pipeline pipeline",
        "databricks_job job",
        "azure_ml_deployment workspace",
        "aks_rollout cluster",
        "slack URL",
        "teams URL",
        "notify services",
    ):
        assert [each["status"] for each in found[check]] == ["ok"], found[check]
    assert found["azure_devops_pipeline pipeline"][0]["subject"] == "devops.azure_devops_pipeline"


def test_nothing_is_started_and_nothing_is_sent(clinic: Clinic) -> None:
    devops, chat = clinic.system.devops, clinic.system.chat
    before = (len(devops.starts), len(devops.releases), len(chat.messages), len(clinic.system.databricks.job_runs))
    writes = len(clinic.system.arm.faults.calls("PUT")) + len(clinic.system.arm.faults.calls("POST"))
    clinic.findings()
    assert before == (
        len(devops.starts),
        len(devops.releases),
        len(chat.messages),
        len(clinic.system.databricks.job_runs),
    )
    assert writes == len(clinic.system.arm.faults.calls("PUT")) + len(clinic.system.arm.faults.calls("POST"))


def _switched_off(system: System) -> Callable[[], object]:
    system.devops.classic_releases_disabled = True
    return lambda: setattr(system.devops, "classic_releases_disabled", False)


def _no_right_to_release(system: System) -> Callable[[], object]:
    system.devops.may_not_release.add(DEFINITION)
    return system.devops.may_not_release.clear


def _no_definition(system: System) -> Callable[[], object]:
    key = next(key for key in system.devops.definitions if key[1] == DEFINITION)
    definition = system.devops.definitions.pop(key)
    return lambda: system.devops.definitions.__setitem__(key, definition)


def _no_pipeline(system: System) -> Callable[[], object]:
    key = next(key for key in system.devops.pipelines if key[1] == PIPELINE)
    pipeline = system.devops.pipelines.pop(key)
    return lambda: system.devops.pipelines.__setitem__(key, pipeline)


def _may_not_queue(system: System) -> Callable[[], object]:
    body = error_body("AccessDeniedException", "Queue builds is needed.")
    system.devops.faults.add("POST", "/preview", times=None, status=403, body=body)
    return system.devops.faults.clear


def _other_parameters(system: System) -> Callable[[], object]:
    pipeline = next(each for key, each in system.devops.pipelines.items() if key[1] == PIPELINE)
    pipeline.parameters["reviewer"] = None
    return lambda: pipeline.parameters.pop("reviewer")


def _no_job(system: System) -> Callable[[], object]:
    job = system.databricks.jobs.pop(JOB)
    return lambda: system.databricks.jobs.__setitem__(JOB, job)


def _undeclared(system: System) -> Callable[[], object]:
    system.databricks.jobs[JOB].parameters = {"another"}
    return lambda: setattr(system.databricks.jobs[JOB], "parameters", {"model"})


def _no_workspace(system: System) -> Callable[[], object]:
    key = next(key for key in system.ml.workspaces if key.endswith("/ward"))
    workspace = system.ml.workspaces.pop(key)
    return lambda: system.ml.workspaces.__setitem__(key, workspace)


def _stopped_cluster(system: System) -> Callable[[], object]:
    cluster = system.aks.add_cluster(SUBSCRIPTION, GROUP, "theatre")
    cluster.power = "Stopped"
    return lambda: setattr(cluster, "power", "Running")


def _connector(system: System) -> Callable[[], object]:
    system.vault.set("doctor-teams", "https://contoso.webhook.office.com/webhookb2/a-connector-that-is-gone")
    return lambda: system.vault.set("doctor-teams", system.chat.teams_url())


def _moved_flow(system: System) -> Callable[[], object]:
    system.vault.set("doctor-teams", "https://prod-1.westeurope.logic.azure.com:443/workflows/a-flow-that-has-moved")
    return lambda: system.vault.set("doctor-teams", system.chat.teams_url())


def _not_slack(system: System) -> Callable[[], object]:
    system.vault.set("doctor-slack", "https://chat.example.com/hooks/an-address-elsewhere")
    return lambda: system.vault.set("doctor-slack", system.chat.slack_url())


def _locked_out(system: System) -> Callable[[], object]:
    body = {"error_code": "PERMISSION_DENIED", "message": "Invalid access token."}
    system.databricks.faults.add("GET", "/registered-models/get", times=None, status=403, body=body)
    return system.databricks.faults.clear


def _short(system: System) -> Callable[[], object]:
    system.vault.set("doctor-webhook", "2-few-bytes")
    newest = system.vault.secrets["doctor-webhook"][-1].id
    return lambda: system.vault.disable("doctor-webhook", newest)


def _gone(system: System) -> Callable[[], object]:
    kept = system.vault.secrets.pop("doctor-webhook")
    system.vault.set("doctor-webhook", "a-secret-that-is-disabled")
    system.vault.disable("doctor-webhook", system.vault.secrets["doctor-webhook"][-1].id)
    return lambda: system.vault.secrets.__setitem__("doctor-webhook", kept)


def _no_vault_access(system: System) -> Callable[[], object]:
    system.vault.faults.add("GET", "/secrets/doctor-webhook/versions", times=None, status=403, body=FORBIDDEN)
    return system.vault.faults.clear


def _old(system: System) -> Callable[[], object]:
    versions = system.vault.secrets["doctor-webhook"]
    created = [version.created for version in versions]
    for version in versions:
        version.created -= 400 * 86400

    def mend() -> None:
        for version, when in zip(versions, created, strict=True):
            version.created = when

    return mend


def _expiring(system: System) -> Callable[[], object]:
    version = next(each for each in system.vault.secrets["doctor-webhook"] if each.enabled)
    expires = int((datetime.now(UTC) + timedelta(days=5)).timestamp())
    item = {
        "id": f"{system.vault.url}/secrets/doctor-webhook/{version.id}",
        "attributes": {**version.attributes, "exp": expires},
    }
    body = {"value": [item], "nextLink": None}
    system.vault.faults.add("GET", "/secrets/doctor-webhook/versions", times=None, status=200, body=body)
    return system.vault.faults.clear


Case = tuple[Callable[[System], Callable[[], object]], str, str, str, str]
# what may be wrong at the same time is: a whole examination takes its time
CASES: list[list[Case]] = [
    [
        (_switched_off, "azure_devops_release classic releases", "devops", "warning", "is switched off"),
        (_no_pipeline, "azure_devops_pipeline", "devops", "wrong", "404"),
        (_no_job, "databricks_job", "models", "wrong", "Job 4711 does not exist"),
        (_no_workspace, "azure_ml_deployment workspace", "models", "wrong", "there is no workspace ward"),
        (_connector, "teams URL", "models", "wrong", "Office 365 connector"),
        (_not_slack, "slack URL", "devops", "warning", "chat.example.com, not of hooks.slack.com"),
        (_short, "secret", "doctor-webhook", "wrong", "shorter than 16 bytes"),
    ],
    [
        (_no_right_to_release, "azure_devops_release definition", "devops", "wrong", "may not create releases"),
        (_may_not_queue, "azure_devops_pipeline", "devops", "wrong", "did not accept the credentials (403)"),
        (_undeclared, "databricks_job job", "models", "warning", "does not declare the parameters model"),
        (_stopped_cluster, "aks_rollout cluster", "models", "warning", "is Stopped"),
        (_moved_flow, "teams URL", "models", "warning", "logic.azure.com"),
        (_locked_out, "registry", "clinic", "wrong", "did not accept the credentials (403)"),
        (_gone, "secret", "doctor-webhook", "wrong", "has no enabled version"),
    ],
    [
        (_no_definition, "azure_devops_release", "devops", "wrong", "Release definition with ID 12 does not exist"),
        (_other_parameters, "azure_devops_pipeline pipeline", "devops", "warning", "refuses a dry run"),
        (_no_vault_access, "secret", "doctor-webhook", "wrong", "Key Vault could not be asked"),
    ],
    [
        (_old, "secret", "doctor-webhook", "warning", "400 days old"),
    ],
    [
        (_expiring, "secret", "doctor-webhook", "warning", "it expires"),
    ],
]


@pytest.mark.parametrize("cases", CASES, ids=lambda cases: " ".join(case[0].__name__.strip("_") for case in cases))
def test_what_is_wrong_is_found_and_gone_when_it_is_mended(clinic: Clinic, cases: list[Case]) -> None:
    mends = [spoil(clinic.system) for spoil, *_ in cases]
    try:
        found = clinic.findings()
    finally:
        for mend in mends:
            mend()
    after = clinic.findings()
    for _, check, subject, status, seen in cases:
        [told] = [each for each in found[check] if subject in each["subject"]]
        assert (told["status"], told["advice"] != "") == (status, True), told
        assert seen in told["seen"]
        assert {each["status"] for each in after.get(check, []) if subject in each["subject"]} <= {"ok"}


def test_a_host_that_is_not_allowed_and_approvers_without_accounts_are_found(clinic: Clinic) -> None:
    found = clinic.findings()
    assert "nowhere.example.com is not in the setting ALLOWED_HOSTS" in found["http"][0]["seen"]
    assert "nobody could approve" in found["approval link"][-1]["seen"]
    assert found["azure_ml_score endpoint"][0]["status"] == "warning", "an earlier step creates it"


def test_a_storage_account_that_refuses_is_found(relay: Relay, tmp_path: Path) -> None:
    refused = "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=d3Jvbmc=;"
    parts = re.findall(r"(?:Blob|Queue|Table)Endpoint=[^;]+", relay.system.azurite.connection_string)
    settings = {**IMPATIENT, **DEAF, "ROUTES": str(tmp_path / "none.yaml")}
    with_wrong_key = relay.system.worker({**settings, "AzureWebJobsStorage": refused + ";".join(parts)})
    found = Clinic(relay.system, with_wrong_key).findings()
    for check in ("queue", "table", "blob"):
        assert [each["status"] for each in found[check]] == ["wrong"]
        assert "Auth" in found[check][0]["seen"]
    assert "can't be read" in found["routes"][0]["seen"], "nor is there a routes file"
    with_wrong_key.stop()


def test_dead_parked_and_poison_are_counted(relay: Relay, clinic: Clinic, model: str) -> None:
    dead = relay.stage_change(f"nothing-{model}")
    relay.ended(dead)
    poison: TableClient = relay.table("poison")
    row = {"PartitionKey": "doctor", "RowKey": model, "message": "x", "reason": "y", "at": datetime.now(UTC)}
    creating("poison", lambda: poison.upsert_entity(row))
    found = clinic.findings()
    assert found["dead"][0]["status"] == "warning"
    assert "events list --state dead" in found["dead"][0]["advice"]
    assert found["poison"][0]["status"] == "warning"
    poison.delete_entity("doctor", model)


def test_a_stopped_route_is_found(clinic: Clinic) -> None:
    key = {"x-functions-key": clinic.system.function_key}

    def post(what: str, **body: Any) -> None:
        url = f"{clinic.worker.url}/api/routes/outside/{what}"
        assert requests.post(url, json=body, headers=key, timeout=60).status_code == 200

    post("stop", reason="the doctor's test")
    assert "the doctor's test" in clinic.of("stopped", "outside")["seen"]
    post("start")
    assert "outside" not in str(clinic.findings()["stopped"])


def test_the_answer_is_as_documented_also_with_many_routes(relay: Relay) -> None:
    reply = answer(SCHEMA["/api/doctor"]["GET"].Case(), relay, headers={"x-functions-key": relay.system.function_key})
    assert reply.status_code == 200
    assert reply.json()["status"] == "wrong"
    subjects = " ".join(each["subject"] for each in reply.json()["findings"])
    assert "release-of-nothing.azure_devops_release" in subjects
    assert "job-of-nothing.databricks_job" in subjects


def test_what_hangs_or_breaks_hides_nothing_else() -> None:
    leave = threading.Event()

    def hang() -> list[Finding]:
        leave.wait(60)
        return [ok("slow", "at last")]

    def break_down() -> list[Finding]:
        raise KeyError("no such thing")

    quick = [Check("quick", str(number), lambda: [ok("quick", "fine")]) for number in range(3)]
    slow = [Check("slow", str(number), hang) for number in range(AT_ONCE + 2)]  # more than look at once
    found = list(run_all([Check("broken", "it", break_down), *quick, *slow], check_seconds=0.3, all_seconds=1.0))
    leave.set()
    seen = Counter((each.check, each.status, each.seen) for each in found)
    assert seen["quick", "ok", "fine"] == 3
    assert seen["broken", "wrong", "KeyError: 'no such thing'"] == 1
    assert (
        seen["slow", "wrong", "it gave no answer in time"]
        == len(slow) - seen["slow", "wrong", "there was no time left to look at it"]
    )
    assert seen["slow", "wrong", "there was no time left to look at it"] > 0
    assert all(each.advice for each in found if each.status != "ok")
