"""The templates hold together and fit the code. They are not compiled: Microsoft's compiler is not on PyPI."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pycep import BicepParser

from handlers.receive import MAX_BODY_BYTES
from infra.checks import bicep
from infra.checks.bicep import INFRA, TEMPLATES, Resource
from shared import storage

ROOT = INFRA.parent
MAIN = INFRA / "main.bicep"
APP = INFRA / "modules" / "function-app.bicep"
STORAGE = INFRA / "modules" / "storage.bicep"
ENVIRONMENTS = sorted((INFRA / "environments").glob("*.bicepparam"))
IDS = [path.stem for path in TEMPLATES]
EXAMPLE: dict[str, str] = json.loads((ROOT / "local.settings.json.example").read_text())["Values"]
SETTINGS = {
    name: bicep.text(value).strip("'") for name, value in bicep.properties_of(bicep.variable(APP, "settings")).items()
}
# Flex Consumption takes the runtime from functionAppConfig, and refuses the setting
OF_THE_PLAN = {"FUNCTIONS_WORKER_RUNTIME"}
# Microsoft has no stable version of these
PREVIEWS = {"Microsoft.Insights/diagnosticSettings", "Microsoft.Portal/dashboards"}
ROLES = {
    "Storage Blob Data Owner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "Storage Queue Data Contributor": "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
    "Storage Table Data Contributor": "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
}


def all_resources() -> list[Resource]:
    return [resource for template in TEMPLATES for resource in bicep.resources(template)]


def resource(template: Path, kind: str) -> dict[str, Any]:
    """The properties of the one resource of that type."""
    (found,) = (each for each in bicep.resources(template) if each.type == kind)
    return bicep.properties_of(bicep.properties_of(found.body)["properties"])


def at(node: Any, *path: str) -> str:
    for name in path:
        node = bicep.properties_of(node)[name]
    return bicep.text(node)


def functions() -> Iterator[ast.Call]:
    """The decorators of function_app.py."""
    for node in ast.walk(ast.parse((ROOT / "function_app.py").read_text())):
        if isinstance(node, ast.FunctionDef):
            yield from (each for each in node.decorator_list if isinstance(each, ast.Call))


def tables_of_the_code() -> set[str]:
    """The names that stand first in calls of the doors to tables, looked up among the constants of their modules."""
    found = set()
    for path in (ROOT / "shared").glob("*.py"):
        tree = ast.parse(path.read_text())
        pairs = [pair for node in tree.body if isinstance(node, ast.Assign) for pair in assigned(node)]
        names = {name: value for name, value in pairs if isinstance(value, str)}
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args):
            if isinstance(call.func, ast.Attribute) and call.func.attr in ("table", "creating", "put_row", "rows"):
                first = call.args[0]
                found |= {names[first.id]} if isinstance(first, ast.Name) and first.id in names else set()
    return found


def assigned(node: ast.Assign) -> list[tuple[str, Any]]:
    """The names that an assignment sets, with their values where these are constants."""
    target, value = node.targets[0], node.value
    if isinstance(target, ast.Name) and isinstance(value, ast.Constant):
        return [(target.id, value.value)]
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        pairs = zip(target.elts, value.elts, strict=True)
        return [(t.id, v.value) for t, v in pairs if isinstance(t, ast.Name) and isinstance(v, ast.Constant)]
    return []


@pytest.mark.parametrize("path", TEMPLATES, ids=IDS)
def test_a_template_parses_by_two_grammars(path: Path) -> None:
    assert list(bicep.errors(bicep.parse(path))) == []
    parsed = BicepParser().parse(text=path.read_text())
    assert set(parsed.get("resources", {})) == {each.symbol for each in bicep.resources(path)}
    assert set(parsed.get("parameters", {})) == set(bicep.parameters(path))


@pytest.mark.parametrize("path", TEMPLATES, ids=IDS)
def test_every_parameter_and_output_is_described(path: Path) -> None:
    described = bicep.described(path)
    assert set(bicep.parameters(path)) <= set(described)
    assert [name for name, has in described.items() if not has] == []


@pytest.mark.parametrize("path", TEMPLATES, ids=IDS)
def test_a_template_uses_each_of_its_parameters(path: Path) -> None:
    source = re.sub(r"//.*|@description\('(\\'|[^'])*'\)", "", path.read_text())
    assert [name for name in bicep.parameters(path) if len(re.findall(rf"\b{name}\b", source)) < 2] == []


def test_each_module_is_given_what_it_takes() -> None:
    used = set()
    for name, path, given in bicep.modules(MAIN):
        taken = bicep.parameters(path)
        required = {each for each, node in taken.items() if "=" not in bicep.text(node).splitlines()[-1]}
        assert required <= set(given) <= set(taken), name
        used.add(path.resolve())
    assert used == set(TEMPLATES) - {MAIN}


def test_main_asks_modules_for_outputs_that_they_have() -> None:
    files = {name: path for name, path, _ in bicep.modules(MAIN)}
    asked = re.findall(r"\b(\w+)\.outputs\.(\w+)", MAIN.read_text())
    assert len(asked) > 20
    for module, output in asked:
        assert re.search(rf"^output {output} ", files[module].read_text(), re.MULTILINE), f"{module}.{output}"


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=[path.stem for path in ENVIRONMENTS])
def test_an_environment_gives_parameters_that_the_template_takes(path: Path) -> None:
    template, given = bicep.parameters_file(path)
    assert template.resolve() == MAIN
    taken = bicep.parameters(MAIN)
    required = {name for name, node in taken.items() if " = " not in bicep.text(node)}
    assert required <= set(given) <= set(taken)
    types = {"string": str, "int": int, "bool": bool, "array": list, "object": dict}
    for name, value in given.items():
        kind = re.search(rf"param {name} (\w+)", bicep.text(taken[name]))
        assert kind is not None
        assert type(value) is types[kind[1]], name
    assert given["environmentName"] == path.stem
    assert given["instanceMemoryMB"] in (512, 2048, 4096)
    assert 40 <= given["maximumInstanceCount"] <= 1000
    assert given.get("retentionDays", 90) >= 31


def test_production_is_closed_watched_and_kept_twice() -> None:
    _, given = bicep.parameters_file(INFRA / "environments" / "prod.bicepparam")
    assert given["isPrivate"]
    assert given["alertsEnabled"]
    assert given["alertEmails"]
    assert given["zoneRedundant"]
    assert given["storageSku"] != "Standard_LRS"
    assert {each["name"] for each in given["alwaysReady"]} == {"http"}


def test_every_setting_that_the_code_reads_is_set() -> None:
    found = re.findall(r'"([A-Z][A-Z_]{4,})"', (ROOT / "shared" / "settings.py").read_text())
    read = {name for name in found if not name.startswith("WEBSITE_")}  # which Azure sets
    read |= set(re.findall(r"%([A-Z_]+)%", (ROOT / "function_app.py").read_text()))
    assert len(read) > 8
    assert sorted(read - set(SETTINGS)) == []


def test_every_setting_of_the_example_is_set_and_those_with_one_value_everywhere_are_equal() -> None:
    named = set(EXAMPLE) - OF_THE_PLAN - {"AzureWebJobsStorage"}
    assert sorted(named - set(SETTINGS)) == []
    fixed = {name for name in named if re.fullmatch(r"[0-9,]+|[0-9*/ ]+", SETTINGS[name])}
    assert fixed >= {"SWEEP_SCHEDULE", "RETRY_DELAYS", "STEP_LEASE_SECONDS"}
    assert {name: SETTINGS[name] for name in fixed} == {name: EXAMPLE[name] for name in fixed}


def test_storage_is_reached_by_identity_in_the_form_that_host_and_code_read() -> None:
    for service in ("blob", "queue", "table"):
        assert SETTINGS[f"AzureWebJobsStorage__{service}ServiceUri"] == f"{service}Uri"
    assert SETTINGS["AzureWebJobsStorage__credential"] == "managedidentity"
    assert SETTINGS["AzureWebJobsStorage__clientId"] == SETTINGS["AZURE_CLIENT_ID"] == "clientId"
    assert not OF_THE_PLAN & set(SETTINGS)
    assert "AzureWebJobsStorage" not in SETTINGS


def test_no_template_hands_out_a_key() -> None:
    for template in TEMPLATES:
        source = template.read_text()
        assert not re.search(r"listKeys|listAccountSas|AccountKey=|SharedAccessKey", source), template.name
        assert not re.search(r"^output .*InstrumentationKey", source, re.MULTILINE), template.name


def test_storage_takes_no_keys_and_nothing_anonymous() -> None:
    account = resource(STORAGE, "Microsoft.Storage/storageAccounts")
    values = {name: bicep.text(value).strip("'") for name, value in account.items()}
    assert values["allowSharedKeyAccess"] == values["allowBlobPublicAccess"] == "false"
    assert values["supportsHttpsTrafficOnly"] == "true"
    assert values["minimumTlsVersion"] == "TLS1_2"


def test_every_queue_of_the_functions_is_made() -> None:
    named = {word.value for call in functions() for word in call.keywords if word.arg == "queue_name"}
    queues = {each.value for each in named if isinstance(each, ast.Constant)}
    assert {"events", "steps"} <= queues
    assert set(bicep.texts(bicep.variable(STORAGE, "queues"))) == queues


def test_every_table_of_the_code_is_made() -> None:
    tables = tables_of_the_code()
    assert {"steps", "open", "switches"} <= tables
    assert sorted(bicep.texts(bicep.variable(STORAGE, "tables"))) == sorted(tables)


def test_every_container_of_the_code_is_made() -> None:
    containers = set(bicep.texts(bicep.variable(STORAGE, "containers")))
    assert containers == {"deploymentContainer", storage.CONTAINER, "routes"}
    assert "${storage.outputs.blobUri}routes/routes.yaml" in MAIN.read_text()


def test_the_app_has_the_roles_that_its_storage_needs() -> None:
    assert set(bicep.texts(bicep.variable(STORAGE, "roles"))) == set(ROLES.values())
    for name, identifier in ROLES.items():
        assert f"'{identifier}' // {name}\n" in STORAGE.read_text()


def test_every_role_is_given_at_one_resource_and_none_at_a_group_or_subscription() -> None:
    given = [each for each in all_resources() if each.type == "Microsoft.Authorization/roleAssignments"]
    assert len(given) == 6
    for each in given:
        scope = bicep.text(bicep.properties_of(each.body)["scope"])
        symbols = {other.symbol for other in bicep.resources(each.template)}
        assert scope in symbols


def test_no_role_of_ours_may_do_anything_on_everything() -> None:
    roles = [each for each in all_resources() if each.type == "Microsoft.Authorization/roleDefinitions"]
    assert len(roles) == 2
    for each in roles:
        actions = re.findall(r"'(Microsoft\.[^']+)'", bicep.text(bicep.properties_of(each.body)["properties"]))
        wild = [action for action in actions if "*" in action]
        assert wild in ([], ["Microsoft.MachineLearningServices/workspaces/onlineEndpoints/*"])


def test_the_vault_goes_by_roles_and_can_not_be_purged() -> None:
    vault = resource(INFRA / "modules" / "vault.bicep", "Microsoft.KeyVault/vaults")
    for name in ("enableRbacAuthorization", "enableSoftDelete", "enablePurgeProtection"):
        assert bicep.text(vault[name]) == "true"
    assert "accessPolicies" not in vault


def test_telemetry_is_taken_from_the_apps_identity_alone() -> None:
    insights = resource(INFRA / "modules" / "monitoring.bicep", "Microsoft.Insights/components")
    assert bicep.text(insights["DisableLocalAuth"]) == "true"
    assert SETTINGS["APPLICATIONINSIGHTS_AUTHENTICATION_STRING"] == "ClientId=${clientId};Authorization=AAD"
    assert "3913510d-42f4-4e42-8a64-420c390055eb" in (INFRA / "modules" / "monitoring.bicep").read_text()


def test_the_app_is_https_only_without_ftp_and_without_publishing_passwords() -> None:
    app = resource(APP, "Microsoft.Web/sites")
    assert bicep.text(app["httpsOnly"]) == "true"
    assert at(app["siteConfig"], "minTlsVersion") == at(app["siteConfig"], "scmMinTlsVersion") == "'1.2'"
    assert at(app["siteConfig"], "ftpsState") == "'Disabled'"
    policies = [each for each in bicep.resources(APP) if each.type.endswith("/basicPublishingCredentialsPolicies")]
    names = {at(each.body, "name") for each in policies}
    assert names == {"'ftp'", "'scm'"}
    assert {at(each.body, "properties", "allow") for each in policies} == {"false"}


def test_the_host_takes_bodies_that_the_app_itself_can_refuse() -> None:
    match = re.search(r"param maxBodyBytes int = (\d+)", MAIN.read_text())
    assert match is not None
    assert MAX_BODY_BYTES < int(match[1]) <= 4 * MAX_BODY_BYTES


def test_the_python_of_the_template_is_one_that_the_project_is_tested_with() -> None:
    match = re.search(r"param pythonVersion string = '([0-9.]+)'", MAIN.read_text())
    assert match is not None
    assert match[1] in (ROOT / "Makefile").read_text()


def test_each_type_of_resource_goes_by_one_api_version_and_a_stable_one_where_there_is_one() -> None:
    versions: dict[str, set[str]] = {}
    for each in all_resources():
        assert re.fullmatch(r"20\d\d-\d\d-\d\d(-preview)?", each.api_version)
        versions.setdefault(each.type, set()).add(each.api_version)
    assert [kind for kind, found in versions.items() if len(found) > 1] == []
    assert {kind for kind, (version, *_) in versions.items() if version.endswith("-preview")} == PREVIEWS


def test_files_that_templates_load_are_there() -> None:
    loaded = [(path, name) for path in TEMPLATES for name in re.findall(r"load\w+\('([^']+)'", path.read_text())]
    assert len(loaded) > 10
    assert [name for path, name in loaded if not (path.parent / name).is_file()] == []


def test_every_policy_that_is_skipped_has_its_reason() -> None:
    skips = [line.strip() for path in TEMPLATES for line in path.read_text().splitlines() if "checkov:skip" in line]
    assert skips
    assert [line for line in skips if not re.fullmatch(r"// checkov:skip=CKV\w+: .{15,}", line)] == []
