"""The scenario: the app is driven into all kinds of trouble, and everything that it says is noted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests
from azure.core.exceptions import ResourceNotFoundError

from local import sender
from tests.canary import command_line
from tests.canary.approving import decide
from tests.canary.looking import Findings, logged, look
from tests.canary.mlflow_trouble import COPIED, register
from tests.canary.planting import Planting
from tests.conftest import DEAF, IMPATIENT, Relay, until
from tests.senders.mlflow_server import MlflowServer

ENDED = {"succeeded", "dead", "parked", "superseded"}
BIG = "x" * 40_000  # more than a queue's message or a table's row holds: it goes into a blob


class Drive:
    """One run of the scenario in a system in which all is planted."""

    def __init__(self, planting: Planting, folder: Path, server: MlflowServer) -> None:
        self.planting, self.system, self.server = planting, planting.system, server
        telemetry = self.system.collector.environment()
        self.settings = {**IMPATIENT, **telemetry, "ROUTES": str(planting.write(folder)), "RETRY_DELAYS": "0.2,0.2"}
        self.worker = self.system.worker(self.settings, log_level="DEBUG")
        self.relay = Relay(self.system, self.worker)
        self.replies = [""]
        self.printed: dict[str, tuple[int, str]] = {}

    def run(self) -> Findings:
        """Play it all; return what came of it."""
        self._events()
        self._refusals()
        self._poison()
        self._operate()
        self._second_worker()
        self._command_line()
        self._only_second_worker()
        return self._findings()

    # what the app is asked

    def said(self, reply: requests.Response) -> requests.Response:
        """Note all that a reply says."""
        self.replies.append(f"{reply.status_code} {dict(reply.headers)} {reply.text}")
        return reply

    def send(self, model: str, source: str = "wine-dev", comment: str = "hello", **headers: str) -> requests.Response:
        """Tell of a comment on a model."""
        raw = json.dumps(sender.databricks_comment(model, comment)).encode()
        signed = sender.databricks_headers(self.system.secret("wine-dev-webhook"), raw)
        return self.said(self.relay.post(source, raw, {**signed, **headers}))

    def ask(self, method: str, path: str, **body: Any) -> requests.Response:
        """Ask as an operator."""
        headers = {"x-functions-key": self.system.function_key}
        url = f"{self.relay.worker.url}/api/{path}"
        return self.said(requests.request(method, url, headers=headers, json=body or None, timeout=60))

    def rows(self, table: str, partition: str) -> list[dict[str, Any]]:
        """Return the rows of a partition, none while there is no such table."""
        with suppress(ResourceNotFoundError):
            found = self.relay.table(table).query_entities("PartitionKey eq @key", parameters={"key": partition})
            return [dict(row) for row in found]
        return []

    def settled(self, event: str) -> dict[str, dict[str, Any]]:
        """Wait until no step of the event goes on by itself for now; return the rows of its steps by their ids."""

        def look() -> dict[str, dict[str, Any]] | None:
            steps = {row["id"]: row for row in self.rows("steps", event) if row["RowKey"].startswith("step:")}
            return steps if steps and all(map(is_quiet, steps.values())) else None

        return until(look, 60)

    # what happens

    def _events(self) -> None:
        self.events = self._sent({model: each for model, each in self.planting.models.items() if model != COPIED})
        comment = f"{self.planting.control} {BIG}"
        self.events["control"] = self.send("told-slack", comment=comment).json()["event"]
        body = sender.mlflow_body(
            "model_version_alias", "created", {"name": "told-slack", "alias": "a", "version": "1"}
        )
        reply = sender.send_mlflow(self.relay.url("models"), self.system.secret("models-webhook"), body)
        self.events["mlflow"] = self.said(reply).json()["event"]
        register(self.server)
        self.events |= self._sent({COPIED: self.planting.models[COPIED]})
        self.states = self._states()

    def _sent(self, models: Mapping[str, str]) -> dict[str, str]:
        with ThreadPoolExecutor(4) as pool:
            replies = pool.map(self.send, models.keys(), models.values())
            return {model: reply.json()["event"] for model, reply in zip(models, replies, strict=True)}

    def _states(self) -> dict[str, str]:
        settled = {model: self.settled(event) for model, event in self.events.items()}
        steps = {name: settled[self.planting.model_of[name]][id] for name, id in self.planting.step_ids.items()}
        steps |= {name: settled[name]["told-slack.slack"] for name in ("control", "mlflow")}
        return {name: step["state"] for name, step in steps.items()}

    def _refusals(self) -> None:
        wrong = {"X-Databricks-Signature": "0" * 64}
        right = self.system.secret("guarded-authorization")
        assert self.send("quiet", "guarded", Authorization=right).status_code == 202
        assert self.send("quiet", "guarded", Authorization=right + "x").status_code == 401
        assert self.send("quiet", "guarded", Authorization=right, **wrong).status_code == 401
        assert self.send("quiet", **wrong).status_code == 401
        assert self.send("quiet", "no-such-source", Authorization=right).status_code == 401
        assert self.send("quiet", "short").status_code == 503
        assert self.send("quiet", "unresolved").status_code == 503
        raw = b'{"event": 7}'
        signed = sender.databricks_headers(self.system.secret("wine-dev-webhook"), raw)
        assert self.said(self.relay.post("wine-dev", raw, signed)).status_code == 400
        self._job_notifications()

    def _job_notifications(self) -> None:
        body = json.dumps(sender.databricks_job_notification("failure", 1, 2, "nightly")).encode()
        right = sender.databricks_job_headers(self.system.secret("jobs-user"))
        wrong = sender.databricks_job_headers(self.system.secret("jobs-user") + "x")
        bearer = {**right, "Authorization": f"Bearer {self.planting.canaries['jobs-user']}"}
        assert self.said(self.relay.post("jobs", body, right)).status_code == 202
        assert self.said(self.relay.post("jobs", body, wrong)).status_code == 401
        assert self.said(self.relay.post("jobs", body, bearer)).status_code == 401
        assert self.said(self.relay.post("jobs", b'{"event_type": 7}', right)).status_code == 400

    def _poison(self) -> None:
        for queue in ("events", "steps"):
            self.relay.queue(f"{queue}-poison").send_message(f"no message at all: {self.planting.control}")
        until(lambda: self.rows("poison", "events") and self.rows("poison", "steps"))

    def _operate(self) -> None:
        dead, parked = self.events["slack-401"], self.events["slack-lost"]
        assert self.ask("POST", f"events/{dead}/replay", step="slack-401.slack").status_code == 200
        assert self.ask("POST", f"events/{parked}/resolve", step="slack-lost.slack", outcome="done").status_code == 200
        assert self.ask("POST", f"events/{parked}/resolve", step="slack-lost.slack", outcome="x").status_code == 409
        until(lambda: self.relay.row(dead, "slack-401.slack")["state"] == "dead")
        assert self.ask("POST", "replay", since="2020-01-01T00:00:00Z", states=["parked"]).status_code == 200
        self.planting.canaries |= decide(self.system, self.said)
        self.settled(self.events["asked"])
        assert self.ask("GET", "events?limit=500").status_code == 200
        with ThreadPoolExecutor(4) as pool:
            told = pool.map(lambda event: self.ask("GET", f"events/{event}"), self.events.values())
            assert {reply.status_code for reply in told} == {200}
        assert self.ask("GET", "health").status_code == 503
        self._other_keys()

    def _other_keys(self) -> None:
        url = f"{self.worker.url}/api/events?code={self.system.function_key}"
        assert self.said(requests.get(url, timeout=60)).status_code == 200
        wrong = {"x-functions-key": "wrong"}
        assert self.said(requests.get(f"{self.worker.url}/api/events", headers=wrong, timeout=60)).status_code == 401

    def _command_line(self) -> None:
        shown = (self.events[name] for name in ("score-key", "control"))
        asked = command_line.calls(self.planting, self.worker.url, *shown)
        self.printed = command_line.made({**asked, **command_line.failing_calls(self.planting, self.worker.url)})

    def _second_worker(self) -> None:
        """One that can't have a token at first, and takes no messages."""
        self.system.identity.faults.add("GET", "/msi/token", times=None, status=403, body={"message": "no identity"})
        self.deaf = self.system.worker({**self.settings, **DEAF}, log_level="DEBUG")
        self.relay = Relay(self.system, self.deaf)
        assert self.send("quiet").status_code == 503
        assert self.ask("GET", "health").status_code == 503
        self.system.identity.faults.clear()

    def _only_second_worker(self) -> None:
        """With the first one gone, what nobody routes stays in the queue."""
        self.worker.stop()
        until(lambda: self.send("quiet", comment=self.planting.control).status_code == 202)
        assert self.send("quiet", comment=f"{self.planting.control} {BIG}").status_code == 202
        self.deaf.stop()
        self.log = self.worker.log() + self.deaf.log()

    # what came out

    def _findings(self) -> Findings:
        planting = self.planting
        told = {"replies": "\n".join(self.replies), **logged(self.log)}
        printed = {"command line": "\n".join(text for _, text in self.printed.values())}
        return Findings(
            canaries={**{what: [secret] for what, secret in planting.canaries.items()}, **self._tokens()},
            control=planting.control,
            states=self.states,
            meant={**planting.meant, "control": "succeeded", "mlflow": "succeeded"},
            found={**look(self.system), **told, **printed},
            exits={name: status for name, (status, _) in self.printed.items()},
            targets=planting.used(),
            sources=planting.listened_to(),
        )

    def _tokens(self) -> dict[str, list[str]]:
        """What is secret of the tokens that were issued, by their audience."""
        found: dict[str, list[str]] = {}
        for text, token in self.system.identity.tokens.items():
            found.setdefault(f"token for {token.audience}", []).append(text.rpartition("-")[2])
        return found


def is_quiet(step: dict[str, Any]) -> bool:
    """Tell whether a row's step has ended, or waits for longer than the test does."""
    if step["state"] == "in_doubt":
        return step["target"] in ("azure_devops_release", "copy_model")  # is asked again only after a while
    if step["state"] == "waiting":
        return bool(step["target"] == "approval")
    return step["state"] in ENDED or "429" in step.get("reason", "")
