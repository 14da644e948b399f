"""What deploys the app: the package, the test call, and the scripts, against a stand-in for `az` that notes all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.checks.bicep import INFRA
from tests.conftest import Relay

ROOT = INFRA.parent
AZ = """#!/usr/bin/env python3
import json, os, sys
with open(os.environ["AZ_LOG"], "a") as log:
    log.write(json.dumps(sys.argv[1:]) + "\\n")
told = " ".join(sys.argv[1:])
for part, answer in json.loads(os.environ["AZ_ANSWERS"]).items():
    if part in told:
        print(answer)
        break
"""
ANSWERS = {
    "group exists": "false",
    "list-deleted": "relay-dev-abcdef-kv",
    "outputs.appName": "relay-dev-abcdef",
    "outputs.principalId": "11111111-2222-3333-4444-555555555555",
    "outputs.": "an-output",
    "appsettings list": "routes.yaml",
}


@pytest.fixture
def az(tmp_path: Path) -> dict[str, str]:
    """An environment in which `az` is a stand-in."""
    (tmp_path / "bin").mkdir()
    for name in ("az", "func"):
        command = tmp_path / "bin" / name
        command.write_text(AZ)
        command.chmod(0o755)
    path = f"{tmp_path / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {"PATH": path, "AZ_LOG": str(tmp_path / "log"), "AZ_ANSWERS": json.dumps(ANSWERS), "HOME": str(tmp_path)}


def run(script: str, *arguments: str, env: dict[str, str], status: int = 0, **more: str) -> str:
    command = ["bash", str(INFRA / script), *arguments]
    done = subprocess.run(command, env={**env, **more}, capture_output=True, text=True, timeout=60, input="")
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def commands(env: dict[str, str]) -> list[str]:
    log = Path(env["AZ_LOG"])
    return [" ".join(json.loads(line)) for line in log.read_text().splitlines()] if log.exists() else []


def test_the_package_holds_the_app_and_nothing_else(tmp_path: Path) -> None:
    package = tmp_path / "app.zip"
    subprocess.run([sys.executable, "-m", "infra.package", str(package)], cwd=ROOT, check=True, timeout=60)
    names = set(zipfile.ZipFile(package).namelist())
    assert {"host.json", "function_app.py", "requirements.txt", "routes.yaml", "handlers/receive.py"} <= names
    assert {name.split("/")[0] for name in names if "/" in name} == {"handlers", "shared", "__pycache__"}
    assert not [name for name in names if "settings.json" in name]
    modules = {name for name in names if name.endswith(".py")}
    assert {name for name in names if name.endswith(".pyc")} == {cache_from_source(name) for name in modules}


def test_the_package_is_imported_as_compiled_unless_a_module_was_changed_since(tmp_path: Path) -> None:
    package, app = tmp_path / "app.zip", tmp_path / "app"
    subprocess.run([sys.executable, "-m", "infra.package", str(package)], cwd=ROOT, check=True, timeout=60)
    zipfile.ZipFile(package).extractall(app)
    (app / "shared" / "markers.py").write_text("changed = True\n")
    code = "import shared.errors, shared.markers; print(shared.markers.changed)"
    done = subprocess.run([sys.executable, "-Bvc", code], cwd=app, capture_output=True, text=True, check=True)
    read = {line.split("'")[1] for line in done.stderr.splitlines() if "code object from" in line and "'" in line}
    assert str(app / cache_from_source("shared/errors.py")) in read
    assert str(app / cache_from_source("shared/markers.py")) not in read
    assert done.stdout == "True\n"


def test_the_same_tree_gives_the_same_package(tmp_path: Path) -> None:
    packages = [tmp_path / "1.zip", tmp_path / "2.zip"]
    for package in packages:
        subprocess.run([sys.executable, "-m", "infra.package", str(package)], cwd=ROOT, check=True, timeout=60)
    assert packages[0].read_bytes() == packages[1].read_bytes()


def test_a_deployment_makes_the_group_brings_the_vault_back_provisions_and_publishes(az: dict[str, str]) -> None:
    said = run("deploy.sh", "dev", env=az)
    made = commands(az)
    order = ["group create", "keyvault recover", "deployment group create", "functionapp deployment source config-zip"]
    places = [next(i for i, command in enumerate(made) if command.startswith(start)) for start in order]
    assert places == sorted(places)
    assert "--parameters infra/environments/dev.bicepparam" in made[places[2]]
    assert "--name relay-dev-abcdef" in made[places[3]]
    assert "--build-remote true" in made[places[3]]
    assert "an-output/api/health" in said


def test_a_what_if_changes_nothing(az: dict[str, str]) -> None:
    answers = json.dumps({**ANSWERS, "group exists": "true"})
    run("deploy.sh", "prod", env=az, WHAT_IF="1", AZ_ANSWERS=answers)
    assert [command.split(" --")[0] for command in commands(az)] == ["group exists", "deployment group what-if"]


def test_the_code_alone_can_be_published_by_core_tools(az: dict[str, str]) -> None:
    run("deploy.sh", "dev", env=az, APP_ONLY="1", WITH_FUNC="1")
    made = commands(az)
    assert "azure functionapp publish relay-dev-abcdef --python --build remote" in made
    assert not [command for command in made if command.startswith("deployment group create")]


def test_routes_in_a_blob_are_uploaded_as_the_account_that_deploys(az: dict[str, str]) -> None:
    url = "https://account.blob.core.windows.net/routes/routes.yaml"
    run("deploy.sh", "dev", env=az, APP_ONLY="1", AZ_ANSWERS=json.dumps({**ANSWERS, "appsettings list": url}))
    (upload,) = (command for command in commands(az) if command.startswith("storage blob upload"))
    assert f"--blob-url {url} --file routes.yaml --auth-mode login" in upload


def test_an_unknown_environment_is_refused(az: dict[str, str]) -> None:
    assert "there is no infra/environments/qa.bicepparam" in run("deploy.sh", "qa", env=az, status=2)
    assert commands(az) == []


def test_nothing_is_destroyed_unless_the_groups_name_is_typed(az: dict[str, str]) -> None:
    run("destroy.sh", "dev", env=az, status=1)
    assert not [command for command in commands(az) if "delete" in command]


def test_what_is_destroyed_takes_its_roles_elsewhere_with_it(az: dict[str, str]) -> None:
    answers = json.dumps({"].id": "/roles/1\n/roles/2", **ANSWERS})
    run("destroy.sh", "dev", env=az, YES="1", AZ_ANSWERS=answers)
    deleted = [command for command in commands(az) if "delete" in command]
    assert deleted == [
        "role assignment delete --ids /roles/1",
        "role assignment delete --ids /roles/2",
        "group delete --name registry-relay-dev --yes",
    ]


def test_rights_in_azure_devops_are_asked_for_with_a_body_that_is_json(az: dict[str, str]) -> None:
    answers = json.dumps({"ad sp show": "the-object-id", "_apis/projects/": "the-project-id"})
    run("grant.sh", "azure-devops", "client", "ml-governance", "ML Governance V2", env=az, AZ_ANSWERS=answers)
    _, project, entitlement = (json.loads(line) for line in Path(az["AZ_LOG"]).read_text().splitlines())
    assert "https://dev.azure.com/ml-governance/_apis/projects/ML%20Governance%20V2?api-version=7.1" in project
    body = json.loads(entitlement[entitlement.index("--body") + 1])
    assert body["servicePrincipal"]["originId"] == "the-object-id"
    assert body["projectEntitlements"][0]["projectRef"] == {"id": "the-project-id"}


def test_rights_in_databricks_are_asked_for_with_bodies_that_are_json(az: dict[str, str]) -> None:
    run("grant.sh", "databricks", "client", "https://adb-1.1.azuredatabricks.net", "42", "CAN_READ", env=az)
    made = [json.loads(line) for line in Path(az["AZ_LOG"]).read_text().splitlines()]
    bodies = [json.loads(each[each.index("--body") + 1]) for each in made]
    assert bodies[0]["applicationId"] == "client"
    assert bodies[1]["access_control_list"] == [{"service_principal_name": "client", "permission_level": "CAN_READ"}]


def smoke(relay: Relay, source: str, kind: str, secret: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "infra.smoke", relay.worker.url, source, kind, "--once"]
    env = {"PATH": os.environ["PATH"], "RELAY_SECRET": relay.system.secret(secret)}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("source", "kind", "secret"),
    [("wine-dev", "databricks", "wine-dev-webhook"), ("models", "mlflow", "models-webhook")],
)
def test_the_test_call_of_a_deployment_is_taken_and_starts_nothing(
    relay: Relay, source: str, kind: str, secret: str
) -> None:
    before = relay.events()
    done = smoke(relay, source, kind, secret)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["ok", "ok", "ok"]
    assert relay.events() == before


def test_the_test_call_of_a_deployment_fails_with_another_secret(relay: Relay) -> None:
    done = smoke(relay, "wine-dev", "databricks", "models-webhook")
    assert done.returncode == 1
    assert "BAD a signed test call is answered 401" in done.stdout


@pytest.mark.parametrize("arguments", [[], ["https://x.example.com"], ["https://x.example.com", "s", "logic-app"]])
def test_a_test_call_without_what_it_needs_says_how_it_is_used(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "infra.smoke", *arguments]
    env = {"PATH": os.environ["PATH"], "RELAY_SECRET": "a-secret-of-a-test"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "python -m infra.smoke URL SOURCE" in done.stdout


@pytest.mark.parametrize("name", ["azure-pipelines-deploy.yml", "github-deploy.yml"])
def test_a_sample_pipeline_tests_then_deploys_to_dev_then_to_prod(name: str) -> None:
    document: dict[Any, Any] = yaml.safe_load((INFRA / "ci" / name).read_text())
    if "jobs" in document:
        order = {job: body.get("needs") for job, body in document["jobs"].items()}
        environments = [body.get("environment") for body in document["jobs"].values()]
    else:
        order = {stage["stage"]: stage.get("dependsOn") for stage in document["stages"]}
        environments = [stage["jobs"][0].get("environment") for stage in document["stages"]]
    assert order == {"test": None, "dev": "test", "prod": "dev"}
    assert environments[0] is None
    assert [str(each).removeprefix("registry-relay-") for each in environments[1:]] == ["dev", "prod"]
    text = (INFRA / "ci" / name).read_text()
    assert text.count('infra/deploy.sh "$RELAY_ENVIRONMENT"') == text.count("python3 -m infra.smoke ") == 2


def test_azd_finds_the_template_its_parameters_and_the_app() -> None:
    document = yaml.safe_load((ROOT / "azure.yaml").read_text())
    template = ROOT / document["infra"]["path"] / f"{document['infra']['module']}.bicep"
    given = json.loads((INFRA / "main.parameters.json").read_text())["parameters"]
    assert template.is_file()
    assert all(f"param {name} " in template.read_text() for name in given)
    (service,) = document["services"]
    assert f"'azd-service-name': '{service}'" in (INFRA / "modules" / "function-app.bicep").read_text()
