"""The sample pipelines: no parameter is part of a script, hostile values stay values in a real bash, and of two runs
with one marker the younger cancels itself."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from handlers.current_routes import rules
from local.azure_devops import AzureDevOps
from local.azure_devops_pipelines import Run
from local.identity import AZURE_DEVOPS_AUDIENCE, Identity
from shared.routes_file import parse_routes

FOLDER = Path(__file__).parent.parent.parent / "infra" / "azure-pipelines"
PIPELINES = ("deploy-qa.yml", "deploy-production.yml")
FILES = (*PIPELINES, "guard.yml", "names.yml", "deploy.yml", "smoke-test.yml", "shift.yml")
ORG, PROJECT, PIPELINE = "ml-governance", "ML Governance V2", 7
PLACE = {"RESOURCE_GROUP": "models", "WORKSPACE": "wine", "ENDPOINT": "wine-production"}
HOSTILE = [
    "wine; touch CANARY",
    "$(touch CANARY)",
    "`touch CANARY`",
    "wine && touch CANARY",
    "wine\ntouch CANARY",
    "wine' ; touch CANARY ; '",
    'wine" ; touch CANARY ; "',
    "wine | tee CANARY",
    "wine > CANARY",
    "--file=/etc/passwd",
    "../../wine",
    "$(System.AccessToken)",
    "${{ parameters.relay_marker }}",
    "*",
    "",
]


def loaded(name: str) -> dict[str, Any]:
    body: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text())
    return body


def mappings(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        yield part
    for each in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from mappings(each)


def scripts(name: str) -> Iterator[str]:
    """Each text in a file that a shell reads."""
    for step in mappings(loaded(name)):
        for key in ("bash", "script", "inlineScript", "powershell", "pwsh"):
            if key in step:
                yield step[key]


def step_of(name: str, title: str = "") -> dict[str, Any]:
    found = [step for step in mappings(loaded(name)) if "env" in step and title in step["displayName"]]
    assert len(found) == 1
    return found[0]


def script_of(step: dict[str, Any]) -> str:
    return str(step.get("bash") or step["inputs"]["inlineScript"])


class Shell:
    """Runs scripts as an agent does, with a program `az` that notes its arguments and answers what `answers` says."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.canary, self.answers = folder, folder / "CANARY", folder / "answers.json"
        (folder / "bin").mkdir()
        (folder / "bin" / "az").write_text(f"#!{sys.executable}\n{AZ}")
        (folder / "bin" / "az").chmod(0o755)
        self.answer()

    def answer(self, **answers: Any) -> None:
        """Let `az` answer a command, such as `show`, with this; a number is its exit status."""
        self.answers.write_text(json.dumps(answers))

    def run(self, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.folder / 'bin'}:{Path(sys.executable).parent}:/usr/bin:/bin"
        env = {"PATH": path, "HOME": str(self.folder), "AGENT_TEMPDIRECTORY": str(self.folder), **environment}
        bash = shutil.which("bash")
        assert bash is not None
        command = [bash, "--noprofile", "--norc", "-c", script]
        return subprocess.run(command, env=env, cwd=self.folder, capture_output=True, text=True, timeout=60)

    @property
    def calls(self) -> list[list[str]]:
        log = self.folder / "calls"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


AZ = """
import json, pathlib, sys
here = pathlib.Path(__file__).parent.parent
with (here / "calls").open("a") as log:
    log.write(json.dumps(sys.argv[1:]) + "\\n")
answers = json.loads((here / "answers.json").read_text())
answer = next((answers[word] for word in (f"{sys.argv[2]}-{sys.argv[3]}", sys.argv[3]) if word in answers), None)
if isinstance(answer, int):
    sys.exit(answer)
print(json.dumps(answer))
"""


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_no_script_has_a_parameter_or_a_variable_in_its_text(name: str) -> None:
    for script in scripts(name):
        assert "${{" not in script, "template expressions are put into the text"
        assert not re.search(r"\$\([A-Za-z_][\w.-]*\)", script), "macros are, too"
        assert "$[" not in script
        assert script.startswith("set -euo pipefail\n")


@pytest.mark.parametrize("name", PIPELINES)
def test_the_guard_is_the_first_step_and_the_names_are_the_second(name: str) -> None:
    body = loaded(name)
    steps = body["steps"] if "steps" in body else body["jobs"][0]["steps"]
    steps = [step for step in steps if step != {"checkout": "none"}]
    assert steps[0] == {"template": "guard.yml", "parameters": {"marker": "${{ parameters.relay_marker }}"}}
    assert steps[1]["template"] == "names.yml"
    for job in body.get("jobs", [])[1:]:
        assert job["dependsOn"] == "guard"
    declared = {each["name"]: each.get("default") for each in body["parameters"]}
    assert declared == {"model_name": None, "model_version": None, "relay_marker": ""}
    assert body["trigger"] == body["pr"] == "none"


def test_every_step_that_is_called_exists_and_gets_what_it_declares() -> None:
    calls = [step for name in PIPELINES for step in mappings(loaded(name)) if "template" in step]
    assert {call["template"] for call in calls} == set(FILES) - set(PIPELINES)
    for call in calls:
        declared = {each["name"]: "default" in each for each in loaded(call["template"])["parameters"]}
        assert set(call["parameters"]) <= set(declared)
        assert {name for name, has_default in declared.items() if not has_default} <= set(call["parameters"])


def test_the_routes_that_start_them_are_valid_and_give_each_parameter() -> None:
    routes = parse_routes((FOLDER / "routes.yaml").read_text(), "routes.yaml", rules())
    starts = [plan.options for route in routes.routes for plan in route.steps if plan.target == "azure_devops_pipeline"]
    assert len(starts) == len(PIPELINES)
    for options, name in zip(starts, PIPELINES, strict=True):
        declared = {each["name"] for each in loaded(name)["parameters"]}
        assert {*options["parameters"], options["marker_parameter"]} == declared


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("parameter", ["MODEL_NAME", "MODEL_VERSION"])
def test_a_name_that_is_none_ends_the_run_and_is_never_executed(shell: Shell, parameter: str, value: str) -> None:
    given = {"MODEL_NAME": "wine_quality", "MODEL_VERSION": "3", parameter: value}
    done = shell.run(script_of(step_of("names.yml")), **given)
    assert done.returncode == 1
    assert "is none" in done.stderr
    assert not shell.canary.exists()


def test_a_name_that_is_one_passes(shell: Shell) -> None:
    done = shell.run(script_of(step_of("names.yml")), MODEL_NAME="wine_quality-2", MODEL_VERSION="31")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_value_is_one_argument_even_where_no_check_was_before(shell: Shell, value: str) -> None:
    shell.answer(**{"model-show": 3, "online-deployment": 3})
    done = shell.run(
        script_of(step_of("deploy.yml")), MODEL_NAME=value, MODEL_VERSION=value, DEPLOYMENT="blue", **PLACE
    )
    assert done.returncode == 0, done.stderr
    assert not shell.canary.exists()
    created = next(call for call in shell.calls if call[:3] == ["ml", "model", "create"])
    assert created[created.index("--name") + 1] == value
    assert created[created.index("--version") + 1] == value
    assert f"model=azureml:{value}:{value}" in shell.calls[-1]


def test_what_is_there_already_is_not_made_again(shell: Shell) -> None:
    shell.answer(show={"name": "there"})
    given = {"MODEL_NAME": "wine_quality", "MODEL_VERSION": "3", "DEPLOYMENT": "green", **PLACE}
    done = shell.run(script_of(step_of("deploy.yml")), **given)
    assert done.returncode == 0, done.stderr
    assert not [call for call in shell.calls if call[2] == "create"]
    assert shell.calls[-1][:3] == ["ml", "online-deployment", "update"]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ([4.3, 4.6, 6.6], 0),
        ("[4.3, 4.6, 6.6]", 0),
        ([-7.3, -1.6, 2.1], 1),
        ([4.3, 4.6], 1),
        ({"error": "no"}, 1),
        (5, 5),
    ],
    ids=["as expected", "in quotes", "other grades", "too few", "no list", "az has failed"],
)
def test_the_smoke_test_lets_only_what_is_expected_pass(shell: Shell, answer: Any, status: int) -> None:
    shell.answer(invoke=answer)
    step = step_of("smoke-test.yml")
    expected = {name: step["env"][name] for name in ("EXPECTED", "TOLERANCE")}
    done = shell.run(script_of(step), DEPLOYMENT="blue", **PLACE, **expected)
    assert done.returncode == status, done.stderr
    assert ("got" in done.stderr) == (status == 1)
    rows = json.loads((FOLDER / "reference-wines.json").read_text())["input_data"]["data"]
    assert len(json.loads(expected["EXPECTED"])) == len(rows)


@pytest.mark.parametrize(
    ("traffic", "colour", "serving"),
    [
        (None, "blue", "none"),
        ({}, "blue", "none"),
        ({"blue": 100}, "green", "blue"),
        ({"blue": 0, "green": 100}, "blue", "green"),
    ],
    ids=["a new endpoint", "nothing deployed", "blue serves", "green serves"],
)
def test_production_takes_the_deployment_without_traffic_and_shifts_to_it(
    shell: Shell, traffic: dict[str, int] | None, colour: str, serving: str
) -> None:
    shell.answer(show=traffic)
    done = shell.run(script_of(step_of("deploy-production.yml", "Choose")), **PLACE)
    assert done.returncode == 0, done.stderr
    chosen = dict(re.findall(r"##vso\[task\.setvariable variable=(\w+)\](\w+)", done.stdout))
    assert chosen == {"colour": colour, "serving": serving}

    done = shell.run(script_of(step_of("shift.yml")), DEPLOYMENT=colour, OTHER=serving, **PLACE)
    assert done.returncode == 0, done.stderr
    assert shell.calls[-1][-1] == (f"{colour}=100" if serving == "none" else f"{colour}=100 {serving}=0")


def test_production_takes_none_while_both_have_traffic(shell: Shell) -> None:
    shell.answer(show={"blue": 50, "green": 50})
    done = shell.run(script_of(step_of("deploy-production.yml", "Choose")), **PLACE)
    assert done.returncode == 1
    assert "setvariable" not in done.stdout


class Service:
    """Azure DevOps with one pipeline, whose runs' guard can be run."""

    def __init__(self, devops: AzureDevOps, shell: Shell) -> None:
        self.devops, self.shell = devops, shell
        self.token = devops.identity.issue(AZURE_DEVOPS_AUDIENCE)

    def start(self, marker: str, pipeline: int = PIPELINE) -> int:
        parameters = {"model_name": "wine", "model_version": "3", **({"relay_marker": marker} if marker else {})}
        url = f"{self.devops.url}/{ORG}/{PROJECT}/_apis/pipelines/{pipeline}/runs?api-version=7.1"
        headers = {"Authorization": f"Bearer {self.token}"}
        reply = requests.post(url, json={"templateParameters": parameters}, headers=headers, timeout=10)
        reply.raise_for_status()
        return int(reply.json()["id"])

    def guard(self, run: int, marker: str, token: str = "") -> subprocess.CompletedProcess[str]:
        """Run the first step of a run, with the environment that an agent gives it."""
        environment = {
            "RELAY_MARKER": marker,
            "ACCESS_TOKEN": token or self.token,
            "BUILD_BUILDID": str(run),
            "SYSTEM_DEFINITIONID": str(self.devops.runs[run].pipeline.id),
            "SYSTEM_COLLECTIONURI": f"{self.devops.url}/{ORG}/",
            "SYSTEM_TEAMPROJECT": PROJECT,
        }
        return self.shell.run(script_of(step_of("guard.yml")), **environment)

    def is_canceled(self, run: int) -> bool:
        return self.devops.runs[run].end == "canceled"


class Reticent(AzureDevOps):
    """A service whose lists of builds do not show parameters."""

    def _build(self, run: Run) -> dict[str, Any]:
        return {name: value for name, value in super()._build(run).items() if name != "templateParameters"}


@pytest.fixture
def service(shell: Shell, request: pytest.FixtureRequest) -> Iterator[Service]:
    kind: type[AzureDevOps] = getattr(request, "param", AzureDevOps)
    with Identity() as identity, kind(identity) as devops:
        devops.run_seconds = 3600
        for number in (PIPELINE, PIPELINE + 1):
            parameters = {"model_name": None, "model_version": None, "relay_marker": ""}
            devops.add_pipeline(ORG, PROJECT, number, parameters=parameters)
        yield Service(devops, shell)


@pytest.mark.parametrize("service", [AzureDevOps, Reticent], indirect=True)
def test_of_two_runs_with_one_marker_the_older_goes_on_and_the_younger_cancels_itself(service: Service) -> None:
    older, other, younger = service.start("a" * 32), service.start("b" * 32), service.start("a" * 32)

    second = service.guard(younger, "a" * 32)
    assert second.returncode == 1
    assert f"Run {older} bears the same marker" in second.stdout
    first, stranger = service.guard(older, "a" * 32), service.guard(other, "b" * 32)
    assert (first.returncode, first.stderr) == (0, "")
    assert (stranger.returncode, stranger.stderr) == (0, "")
    assert [service.is_canceled(run) for run in (older, other, younger)] == [False, False, True]


def test_of_three_only_the_oldest_goes_on_also_when_it_has_ended(service: Service) -> None:
    runs = [service.start("c" * 32) for _ in range(3)]
    service.devops.runs[runs[0]].seconds = 0.0
    assert [service.guard(run, "c" * 32).returncode for run in reversed(runs)] == [1, 1, 0]
    assert [service.is_canceled(run) for run in runs] == [False, True, True]


def test_a_run_without_a_marker_goes_on_and_so_does_the_same_marker_of_another_pipeline(service: Service) -> None:
    service.start("")
    by_hand = service.start("")
    assert service.guard(by_hand, "").returncode == 0
    service.start("d" * 32)
    elsewhere = service.start("d" * 32, PIPELINE + 1)
    assert service.guard(elsewhere, "d" * 32).returncode == 0
    assert not service.is_canceled(elsewhere)


@pytest.mark.parametrize("trouble", ["token", "service", "cancel"])
def test_a_run_that_can_not_know_does_nothing(service: Service, trouble: str) -> None:
    service.start("e" * 32)
    run = service.start("e" * 32)
    if trouble == "service":
        service.devops.faults.add("GET", ".*/builds", status=500)
    if trouble == "cancel":
        service.devops.faults.add("PATCH", ".*/builds/.*", status=403)
    done = service.guard(run, "e" * 32, "of-nobody" if trouble == "token" else "")
    assert done.returncode == 1
    assert not service.is_canceled(run)
    assert "No older run" not in done.stdout


@pytest.mark.parametrize("value", list(filter(None, HOSTILE)))
def test_a_hostile_marker_is_compared_and_never_executed(service: Service, value: str) -> None:
    older, younger = service.start("f" * 32), service.start(value)
    assert service.guard(younger, value).returncode == 0
    assert not service.shell.canary.exists()
    assert not service.is_canceled(older)


def test_the_whole_pipeline_does_nothing_with_a_hostile_name(shell: Shell) -> None:
    """Steps as they follow each other: none runs after one that has failed."""
    environment = {"MODEL_NAME": "wine; touch CANARY", "MODEL_VERSION": "1", "RELAY_MARKER": "", "DEPLOYMENT": "blue"}
    for step in loaded("deploy-qa.yml")["steps"]:
        if "template" in step:
            done = shell.run(script_of(step_of(step["template"])), **environment, **PLACE)
            if done.returncode:
                break
    assert step["template"] == "names.yml"
    assert not shell.calls
    assert not shell.canary.exists()
