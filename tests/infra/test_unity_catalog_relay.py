"""The task of a Unity Catalog job, run as a process of its own against the running app."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from local.serving import StandIn
from shared.steps import State
from tests.conftest import Relay

TASK = Path(__file__).parents[2] / "infra" / "databricks" / "unity_catalog_relay.py"


class Way(StandIn):
    """The way to the relay, on which a delivery or its answer may be lost. `ids` are the deliveries that came by."""

    def __init__(self, to: str) -> None:
        super().__init__()
        self.to = to
        self.ids: list[str] = []

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/api/webhooks/{source}", self._pass_on)]

    def middlewares(self) -> list[Any]:
        return []

    async def _pass_on(self, request: web.Request) -> web.Response:
        self.ids.append(request.headers["X-MLflow-Delivery-Id"])
        headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.to}{request.path}", data=await request.read(), headers=headers) as reply,
        ):
            return web.Response(status=reply.status, body=await reply.read())


@pytest.fixture
def way(relay: Relay) -> Iterator[Way]:
    with Way(relay.worker.url) as running:
        yield running


def run_task(url: str, secret: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    given = ["--url", url, "--run", "550315892394120", "--time", str(int(time.time() * 1000)), "--retry-delays", "0,0"]
    environment = {"PATH": os.environ["PATH"], "RELAY_SECRET": secret, **environment}
    return subprocess.run(
        [sys.executable, str(TASK), *given, *arguments], env=environment, capture_output=True, text=True, timeout=60
    )


def updates(*each: dict[str, Any]) -> tuple[str, str]:
    return "--updates", json.dumps(each)


def alias_of(model: str, version: int = 3) -> dict[str, Any]:
    return {"full_name": f"main.relay.{model}", "version": version, "alias_name": "blue"}


def events_in(task: subprocess.CompletedProcess[str]) -> list[str]:
    lines = [line.split("): ", 1)[1] for line in task.stderr.splitlines() if line.startswith("taken: ")]
    return [json.loads(line)["event"] for line in lines]


def test_an_alias_in_unity_catalog_starts_the_route_that_waits_for_it(relay: Relay, model: str) -> None:
    task = run_task(relay.url("models"), relay.system.secret("models-webhook"), *updates(alias_of(model)))
    assert task.returncode == 0, task.stderr
    [event] = events_in(task)
    story = relay.ended(event)
    assert [(name, step.state) for name, step in story.steps.items()] == [("tell-of-catalog.slack", State.SUCCEEDED)]
    assert f"main.relay.{model} 3 is blue" in [message.text for message in relay.system.chat.messages]


def test_each_update_of_a_batch_is_an_event_of_its_own_type(relay: Relay, model: str) -> None:
    batch = updates({"full_name": f"main.{model}.a"}, {"full_name": f"main.{model}.b", "version": 7}, alias_of(model))
    task = run_task(relay.url("models"), relay.system.secret("models-webhook"), *batch)
    assert task.returncode == 0, task.stderr
    events = [relay.ended(event).event for event in events_in(task)]
    assert [(event.type, event.model, event.version, event.alias) for event in events] == [
        ("registered_model.created", f"main.{model}.a", "", ""),
        ("model_version.created", f"main.{model}.b", "7", ""),
        ("model_version_alias.created", f"main.relay.{model}", "3", "blue"),
    ]


def test_a_lost_delivery_and_a_lost_answer_are_made_good_with_the_same_id(relay: Relay, way: Way, model: str) -> None:
    way.faults.add("POST", "/models", status=503, headers={"Retry-After": "0"})
    way.faults.add("POST", "/models", before=False, drop=True)
    secret = relay.system.secret("models-webhook")
    task = run_task(f"{way.url}/api/webhooks/models", secret, *updates(alias_of(model)))
    assert task.returncode == 0, task.stderr
    assert "the relay answered 503" in task.stderr
    assert "the relay could not be reached" in task.stderr
    assert [call.status for call in way.faults.calls("POST")] == [503, None, 202]
    first, second = way.ids
    assert first == second
    relay.ended(events_in(task)[0])
    texts = [message.text for message in relay.system.chat.messages]
    assert texts.count(f"main.relay.{model} 3 is blue") == 1


def test_a_task_that_is_run_again_tells_of_no_new_event(relay: Relay, way: Way, model: str) -> None:
    url, secret = f"{way.url}/api/webhooks/models", relay.system.secret("models-webhook")
    when = ("--time", str(int(time.time() * 1000)))
    tasks = [run_task(url, secret, *updates(alias_of(model)), *when) for _ in range(2)]
    assert [task.returncode for task in tasks] == [0, 0]
    assert events_in(tasks[0]) == events_in(tasks[1])
    assert way.ids[0] == way.ids[1]
    other = run_task(url, secret, *updates(alias_of(model)), *when, "--run", "550315892394121")
    assert other.returncode == 0
    assert way.ids[2] != way.ids[0]


def test_a_wrong_secret_ends_the_task_at_once_with_a_hint(relay: Relay, way: Way, model: str) -> None:
    task = run_task(f"{way.url}/api/webhooks/models", "another-secret-than-the-relay-has", *updates(alias_of(model)))
    assert task.returncode == 1
    assert "NOT taken: model_version_alias.created of main.relay." in task.stderr
    assert "the relay answered 401" in task.stderr
    assert "the secret the same as in the relay's Key Vault" in task.stderr
    assert len(way.ids) == 1


def test_a_relay_that_stays_away_ends_the_task_after_its_attempts(way: Way, model: str) -> None:
    way.faults.add("POST", "/models", status=503, times=None)
    task = run_task(f"{way.url}/api/webhooks/models", "a-secret-of-enough-bytes", *updates(alias_of(model)))
    assert task.returncode == 1
    assert len(way.faults.calls("POST")) == 3
    assert "NOT taken" in task.stderr


def test_a_redirect_is_not_followed_and_no_success(way: Way, model: str) -> None:
    way.faults.add("POST", "/models", status=302, headers={"Location": f"{way.url}/elsewhere"})
    task = run_task(f"{way.url}/api/webhooks/models", "a-secret-of-enough-bytes", *updates(alias_of(model)))
    assert task.returncode == 1
    assert "the relay answered 302" in task.stderr
    assert [call.path for call in way.faults.calls()] == ["/api/webhooks/models"]


def test_the_secret_comes_from_a_scope_where_one_is_named(relay: Relay, tmp_path: Path, model: str) -> None:
    package = tmp_path / "databricks" / "sdk"
    package.mkdir(parents=True)
    for folder in (package.parent, package):  # a package, found before the installed one
        (folder / "__init__.py").touch()
    secret = relay.system.secret("models-webhook")
    (package / "runtime.py").write_text(
        "class dbutils:\n"
        "    class secrets:\n"
        "        @staticmethod\n"
        f"        def get(scope, key): return {{('relay', 'catalog'): {secret!r}}}[scope, key]\n"
    )
    url, path = relay.url("models"), str(tmp_path)
    model_given = ("--model", f"main.relay.{model}", "--version", "3")
    task = run_task(url, "", *model_given, "--secret", "relay/catalog", PYTHONPATH=path)
    assert task.returncode == 0, task.stderr
    [event] = events_in(task)
    assert relay.ended(event).event.type == "model_version.created"
    missing = run_task(url, "", *model_given, "--secret", "relay/other", PYTHONPATH=path)
    assert missing.returncode == 2
    assert "secret relay/other can't be read: KeyError" in missing.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--updates", "{{job.trigger.model.updates}}"), "was the job started by a model update trigger?"),
        (("--updates", "[]"), "has to be a JSON list"),
        (("--updates", '[{"version": 3}]'), "objects with `full_name`"),
        ((), "give --updates or --model"),
        (("--model", "main.a.b", "--url", "http://relay.example.com/api/webhooks/x"), "has to be the https:// URL"),
        (("--model", "main.a.b", "--secret", "relay"), "has to be SCOPE/KEY"),
        (("--model", "main.a.b", "--retry-delays", "soon"), "could not convert"),
        (("--model", "main.a.b", "--time", "now"), "invalid int value"),
    ],
)
def test_parameters_that_make_no_sense_are_told_and_nothing_is_sent(
    way: Way, arguments: tuple[str, ...], words: str
) -> None:
    task = run_task(f"{way.url}/api/webhooks/models", "a-secret-of-enough-bytes", *arguments)
    assert task.returncode == 2
    assert words in task.stderr
    assert way.ids == []


def test_without_a_usable_secret_nothing_is_sent(way: Way) -> None:
    task = run_task(f"{way.url}/api/webhooks/models", "short", "--model", "main.a.b")
    assert task.returncode == 2
    assert "RELAY_SECRET (no --secret was given) is missing, or shorter than 16 bytes" in task.stderr
    assert way.ids == []
