"""No secret comes out: each is a canary, the app is driven into all kinds of trouble, then everything is searched."""

from __future__ import annotations

import base64
import json
import re
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from local import azurite, sender
from local.azure_devops_wire import error_body
from local.identity import AZURE_DEVOPS_AUDIENCE, VAULT_AUDIENCE
from local.key_vault import FORBIDDEN
from local.system import DEFINITION, ORGANIZATION, PROJECT, System
from tests.conftest import IMPATIENT, Relay, until

STEPLESS = ("route_event", "run_step", "route_poisoned_event", "retry_poisoned_step", "sweep")
DEAF = {f"AzureWebJobs.{name}.Disabled": "1" for name in STEPLESS}  # takes deliveries, and leaves them in the queue
ENDED = {"succeeded", "dead", "parked"}
RECORD = re.compile(r"^(?=\d{4}-\d\d-\d\d \d\d:)", re.MULTILINE)


def canary() -> str:
    return f"canary-{secrets.token_hex(12)}"


# What an echo is made of: the service answers with what it was sent.
ECHOES: dict[str, dict[str, Any]] = {
    "page-203": {"status": 203, "body": "<html>Sign in. You sent: {}</html>"},
    "page-401": {"status": 401, "body": "<html>Sign in. You sent: {}</html>"},
    "json-401": {"status": 401, "body": error_body("UnauthorizedRequestException", "You sent: {}")},
    "json-400": {"status": 400, "body": error_body("InvalidRequestException", "You sent: {}")},
    "json-500": {"status": 500, "body": error_body("Exception", "You sent: {}")},
}
CHAT_TROUBLE: dict[str, dict[str, Any]] = {
    "401": {"status": 401, "body": "invalid_token"},
    "403": {"status": 403, "body": "action_prohibited"},
    "429": {"status": 429, "body": "rate_limited", "headers": {"Retry-After": "600"}},
    "500": {"status": 500, "body": "<html>error</html>"},
    "302": {"status": 302, "headers": {"Location": "https://login.example.com/"}},
    "dropped": {"drop": True},
    "lost": {"drop": True, "before": False},
}
CHAT_ECHOES: dict[str, dict[str, Any]] = {
    "echo-page": {"status": 404, "body": "<html>Cannot POST /slack/{}</html>"},
    "echo-json": {"status": 400, "body": {"error": {"code": "BadRequest", "message": "no such URL: /slack/{}"}}},
    "echo-500": {"status": 500, "body": "Cannot POST /slack/{}"},
}
BAD_URLS = {
    "no-scheme": "hooks.example.com/{}",
    "in-clear": "http://example.com/{}",
    "half-pasted": "https://[{}",
    "bad-port": "https://127.0.0.1:99999/{}",
    "long-label": "https://" + "x" * 70 + ".example.com/{}",
    "unknown-host": "https://{}.invalid/hook",
    "user": "https://someone:{}@127.0.0.1:1/hook",
    "with-newline": "https://127.0.0.1:1/{}\n/hook",
    "with-control": "https://127.0.0.1:1\x01/{}",
}


@dataclass
class Driven:
    """What there was to be kept secret, by what it is; how the events went; all that came out, by where it stands."""

    canaries: dict[str, list[str]]
    control: str
    states: dict[str, str]
    found: dict[str, str]

    def where(self, secret: str) -> list[str]:
        """Return the places in which the secret stands, in whatever form."""
        return [place for place, text in self.found.items() if any(form in text for form in forms(secret))]


def forms(secret: str) -> Iterator[str]:
    """Yield the secret as it is, in hexadecimal, in a URL, and in base64 wherever it stands in the encoded text."""
    raw = secret.encode()
    yield secret
    yield raw.hex()
    yield quote(secret, safe="")
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
        core = whole[(0, 2, 3)[shift] : len(whole) - bool((shift + len(raw)) % 3)]
        yield core
        yield core.replace("+", "-").replace("/", "_")


class Drive:
    """The scenario: a system whose every secret is a canary, and all that the app says in it."""

    def __init__(self, system: System, folder: Path) -> None:
        self.system, self.replies = system, [""]
        self.canaries: dict[str, str] = {}
        self.control = canary()
        self.routes: list[str] = []
        self.sources: list[str] = []
        self._furnish()
        file = folder / "routes.yaml"
        file.write_text("\n".join(["sources:", *self.sources, "routes:", *self.routes]))
        settings = {**IMPATIENT, "ROUTES": str(file), "RETRY_DELAYS": "0.2,0.2"}
        self.worker = system.worker(settings, log_level="DEBUG")
        self.relay = Relay(system, self.worker)
        self.settings = settings

    # the secrets, and the routes that use them

    def keep(self, what: str, form: str = "{}") -> str:
        """Put a canary into the vault, under a name that says what it is."""
        self.canaries[what] = canary()
        self.system.vault.set(what, form.replace("{}", self.canaries[what]))
        return self.canaries[what]

    def _furnish(self) -> None:
        self.system.function_key = self.canaries["function-key"] = canary()
        self.system.identity.secret = self.canaries["identity-header"] = canary()
        self.canaries["storage-key"] = azurite.KEY
        self.canaries["old-signing"] = canary()
        self.system.vault.set("wine-dev-webhook", self.canaries["old-signing"])
        for name in ("wine-dev-webhook", "models-webhook"):
            self.keep(name)
        self.keep("guarded-authorization", "Bearer {}")
        self.keep("unresolved", "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/{})")
        self.canaries["short"] = canary()[:14]
        self.system.vault.set("short", self.canaries["short"])
        for source in ("wine-dev", "short", "unresolved"):
            self._source(source, source if source != "wine-dev" else "wine-dev-webhook")
        self._source("guarded", "wine-dev-webhook", ", authorization_secret: guarded-authorization")
        self.sources.append("  models: {kind: mlflow, secret: models-webhook}")
        self._furnish_chat()
        self._furnish_devops()

    def _source(self, name: str, secret: str, more: str = "") -> None:
        self.sources.append(f"  {name}: {{kind: databricks, secret: {secret}{more}}}")

    def _route(self, name: str, step: str) -> None:
        self.routes += [
            f"  - name: {name}",
            f"    when: {{event: [comment.created, model_version_alias.created], model: '{name}'}}",
            f"    steps: [{step}]",
            "    on_failure:",
            "      - slack: {url_secret: good-slack, text: '{model} {failed.step} {failed.reason} {failed.link}'}",
            "      - teams: {url_secret: good-teams, text: '{model} {failed.step} {failed.reason} {failed.link}'}",
        ]

    def _furnish_chat(self) -> None:
        chat = self.system.chat
        for kind in ("slack", "teams"):
            chat.channels.add(self.keep(f"good-{kind}", f"{chat.url}/{kind}/{{}}?sig={{}}"))
            self._route(f"told-{kind}", f"{kind}: {{url_secret: good-{kind}, text: '{{model}}: {{comment}}'}}")
            for trouble, fault in CHAT_TROUBLE.items():
                self._failing_chat(kind, trouble, fault)
        for trouble, fault in CHAT_ECHOES.items():
            self._failing_chat("slack", trouble, fault)
        self._failing_chat("slack", "control", {"status": 400, "body": f"no such thing: {self.control}"})
        self._failing_chat("teams", "gone", {})  # answered with the name of the workflow that is gone
        for what, form in BAD_URLS.items():
            self.keep(f"url-{what}", form)
        self.keep("url-nobody-listens", f"http://127.0.0.1:{free_port()}/slack/{{}}")
        for what in (*BAD_URLS, "nobody-listens"):
            self._route(f"url-{what}", f"slack: {{url_secret: url-{what}, text: hello}}")
        self.keep("vault-says-no")
        self.system.vault.faults.add("GET", "/vault-says-no/", times=None, status=403, body=FORBIDDEN)
        self._route("vault-says-no", "slack: {url_secret: vault-says-no, text: hello}")

    def _failing_chat(self, kind: str, trouble: str, fault: dict[str, Any]) -> None:
        name = f"{kind}-{trouble}"
        path = self.keep(name, f"{self.system.chat.url}/{kind}/{{}}?sig={{}}")
        if trouble != "gone":
            self.system.chat.channels.add(path)
            self.system.chat.faults.add("POST", path, times=None, **echoing(fault, path))
        once = "true" if trouble == "lost" else "false"
        self._route(name, f"{kind}: {{url_secret: {name}, text: '{{model}}: {{comment}}', at_most_once: {once}}}")

    def _furnish_devops(self) -> None:
        self.system.devops.pats.add(self.keep("pat"))
        self._release("release-good", PROJECT, "")
        self._release("release-pat", PROJECT, "pat")
        self.keep("revoked-pat")
        self._release("release-revoked", PROJECT, "revoked-pat")
        for trouble in ECHOES:
            self.keep(f"pat-{trouble}")
            self._release(f"release-pat-{trouble}", f"pat-{trouble}", f"pat-{trouble}")
            self._release(f"release-token-{trouble}", f"token-{trouble}", "")
        for trouble in ("dropped", "500"):
            self._release(f"release-{trouble}", f"project-{trouble}", "pat")
            self.system.devops.faults.add("*", f"/project-{trouble}/", times=None, **CHAT_TROUBLE[trouble])

    def _release(self, name: str, project: str, pat: str) -> None:
        options = f"organization: {ORGANIZATION}, project: {project}, definition: {DEFINITION}"
        self._route(name, f"azure_devops_release: {{{options}{f', pat_secret: {pat}' if pat else ''}}}")

    # what happens

    def drive(self) -> Driven:
        self._before_any_echo()
        self._echo_credentials()
        self._events()
        self._refusals()
        self._poison()
        self._operate()
        self._second_worker()
        canaries = {what: [secret] for what, secret in self.canaries.items()}
        canaries["vault-token"] = self.tokens(VAULT_AUDIENCE)
        canaries["devops-token"] = self.tokens(AZURE_DEVOPS_AUDIENCE)
        return Driven(canaries, self.control, self.states, self._found())

    def tokens(self, audience: str) -> list[str]:
        """Return what is secret of the tokens that were issued."""
        issued = self.system.identity.tokens.items()
        return [text.rpartition("-")[2] for text, token in issued if token.audience == audience]

    def said(self, reply: requests.Response) -> requests.Response:
        """Note all that a reply says."""
        self.replies.append(f"{reply.status_code} {dict(reply.headers)} {reply.text}")
        return reply

    def send(self, model: str, source: str = "wine-dev", comment: str = "hello", **headers: str) -> requests.Response:
        body = {
            "event": "COMMENT_CREATED",
            "event_timestamp": int(time.time() * 1000),
            "model_name": model,
            "version": "1",
            "comment": comment,
        }
        raw = json.dumps(body).encode()
        signed = sender.databricks_headers(self.system.secret("wine-dev-webhook"), raw)
        return self.said(self.relay.post(source, raw, {**signed, **headers}))

    def ask(self, method: str, path: str, **body: Any) -> requests.Response:
        headers = {"x-functions-key": self.system.function_key}
        url = f"{self.relay.worker.url}/api/{path}"
        return self.said(requests.request(method, url, headers=headers, json=body or None, timeout=60))

    def settled(self, event: str, seconds: float = 40) -> list[dict[str, Any]]:
        """Wait until no step of the event goes on by itself for now."""

        def look() -> list[dict[str, Any]] | None:
            rows = self.rows("steps", event)
            steps = sorted(
                (row for row in rows if row["RowKey"].startswith("step:")),
                key=lambda row: ".on_failure." in row["RowKey"],
            )
            return steps if steps and all(map(is_quiet, steps)) else None

        return until(look, seconds)

    def rows(self, table: str, partition: str) -> list[dict[str, Any]]:
        with suppress(ResourceNotFoundError):
            found = self.relay.table(table).query_entities("PartitionKey eq @key", parameters={"key": partition})
            return [dict(row) for row in found]
        return []

    def _before_any_echo(self) -> None:
        for model in ("release-good", "release-pat", "told-slack", "told-teams"):
            [step] = self.settled(self.send(model).json()["event"])
            assert step["state"] == "succeeded", step

    def _echo_credentials(self) -> None:
        tokens = self.system.identity.tokens.items()
        [token] = [token for token, issued in tokens if issued.audience == AZURE_DEVOPS_AUDIENCE]
        for trouble, fault in ECHOES.items():
            basic = base64.b64encode(f":{self.canaries[f'pat-{trouble}']}".encode()).decode()
            for project, header in {f"pat-{trouble}": f"Basic {basic}", f"token-{trouble}": f"Bearer {token}"}.items():
                self.system.devops.faults.add("*", f"/{project}/", times=None, **echoing(fault, header))

    def _events(self) -> None:
        names = [line.partition("name: ")[2] for line in self.routes if "- name: " in line]
        self.events = {name: self.send(name).json()["event"] for name in names}
        told = "told-slack"
        self.events["control"] = self.send(told, comment=f"{self.control} " + "x" * 40_000).json()["event"]
        body = sender.mlflow_body("model_version_alias", "created", {"name": told, "alias": "a", "version": "1"})
        reply = sender.send_mlflow(self.relay.url("models"), self.system.secret("models-webhook"), body)
        self.events["mlflow"] = self.said(reply).json()["event"]
        self.states = {name: self.settled(id)[0]["state"] for name, id in self.events.items()}

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

    def _poison(self) -> None:
        for queue in ("events", "steps"):
            self.relay.queue(f"{queue}-poison").send_message(f"no message at all: {self.control}")
        until(lambda: self.rows("poison", "events") and self.rows("poison", "steps"))

    def _operate(self) -> None:
        dead, parked = self.events["slack-401"], self.events["slack-lost"]
        assert self.ask("POST", f"events/{dead}/replay", step="slack-401.slack").status_code == 200
        assert self.ask("POST", f"events/{parked}/resolve", step="slack-lost.slack", outcome="done").status_code == 200
        assert self.ask("POST", f"events/{parked}/resolve", step="slack-lost.slack", outcome="x").status_code == 409
        until(lambda: self.relay.row(dead, "slack-401.slack")["state"] == "dead")
        assert self.ask("POST", "replay", since="2020-01-01T00:00:00Z", states=["parked"]).status_code == 200
        assert self.ask("GET", "events?limit=500").status_code == 200
        for event in self.events.values():
            assert self.ask("GET", f"events/{event}").status_code == 200
        assert self.ask("GET", "health").status_code == 503
        url = f"{self.worker.url}/api/events?code={self.system.function_key}"
        assert self.said(requests.get(url, timeout=60)).status_code == 200
        wrong = {"x-functions-key": "wrong"}
        assert self.said(requests.get(f"{self.worker.url}/api/events", headers=wrong, timeout=60)).status_code == 401

    def _second_worker(self) -> None:
        """One that can't have a token at first; then it takes what nobody routes, so that it stays in the queue."""
        self.system.identity.faults.add("GET", "/msi/token", times=None, status=403, body={"message": "no identity"})
        deaf = self.system.worker({**self.settings, **DEAF}, log_level="DEBUG")
        self.relay = Relay(self.system, deaf)
        assert self.send("quiet").status_code == 503
        assert self.ask("GET", "health").status_code == 503
        self.system.identity.faults.clear()
        self.worker.stop()
        until(lambda: self.send("quiet", comment=self.control).status_code == 202)
        assert self.send("quiet", comment=f"{self.control} " + "x" * 40_000).status_code == 202
        deaf.stop()
        self.log = self.worker.log() + deaf.log()

    # what came out

    def _found(self) -> dict[str, str]:
        chat = self.system.chat.messages
        return {
            "rows": self._rows(),
            "blobs": self._blobs(),
            "queues": self._queues(),
            "replies": "\n".join(self.replies),
            "messages": "\n".join(f"{message.text} {json.dumps(message.payload)}" for message in chat),
            **logged(self.log),
        }

    def _rows(self) -> str:
        with TableServiceClient.from_connection_string(self.system.azurite.connection_string) as service:
            tables = [service.get_table_client(table.name) for table in service.list_tables()]
            return "\n".join(str(dict(row)) for table in tables for row in table.list_entities())

    def _blobs(self) -> str:
        with BlobServiceClient.from_connection_string(self.system.azurite.connection_string) as service:
            found = []
            for container in map(service.get_container_client, (each.name for each in service.list_containers())):
                for name in container.list_blob_names():
                    found.append(f"{name} {bytes(container.download_blob(name).readall())!r}")
            return "\n".join(found)

    def _queues(self) -> str:
        with QueueServiceClient.from_connection_string(self.system.azurite.connection_string) as service:
            names = [queue.name for queue in service.list_queues()]
            found = [message for name in names for message in service.get_queue_client(name).peek_messages(32)]
        raw = [str(message.content) for message in found]
        return "\n".join([*raw, *(base64.b64decode(text).decode() for text in raw)])


def is_quiet(step: dict[str, Any]) -> bool:
    """Tell whether a row's step has ended, or waits for longer than the test does."""
    if step["state"] == "in_doubt":
        return "azure_devops" in step["RowKey"]
    return step["state"] in ENDED or "429" in step.get("reason", "")


def echoing(fault: dict[str, Any], what: str) -> dict[str, Any]:
    """The fault with `{}` in its body replaced."""
    if "body" not in fault:
        return fault
    return {**fault, "body": json.loads(json.dumps(fault["body"]).replace("{}", what))}


def logged(text: str) -> dict[str, str]:
    """Part what the workers printed into records of level DEBUG and all the rest, tracebacks with their records."""
    parts = {"log": "", "debug log": ""}
    for record in RECORD.split(text):
        parts["debug log" if " DEBUG " in record[:40] else "log"] += record
    return parts


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driven]:
    with System() as system:
        yield Drive(system, tmp_path_factory.mktemp("canary")).drive()


CHAT = [f"{kind}-{trouble}" for kind in ("slack", "teams") for trouble in CHAT_TROUBLE]
SECRETS = [
    *("function-key", "identity-header", "storage-key", "vault-token", "devops-token"),
    *("old-signing", "wine-dev-webhook", "models-webhook", "guarded-authorization", "unresolved", "short"),
    *("good-slack", "good-teams", *CHAT, "slack-control", *(f"slack-{echo}" for echo in CHAT_ECHOES), "teams-gone"),
    *(f"url-{what}" for what in (*BAD_URLS, "nobody-listens")),
    *("vault-says-no", "pat", "revoked-pat", *(f"pat-{echo}" for echo in ECHOES)),
]


@pytest.mark.parametrize("what", SECRETS)
def test_a_secret_comes_out_nowhere(driven: Driven, what: str) -> None:
    assert driven.canaries[what]
    places = {place for secret in driven.canaries[what] for place in driven.where(secret)}
    assert places - {"debug log"} == set()


def test_no_secret_comes_out_in_the_log_at_its_lowest_level(driven: Driven) -> None:
    told = [what for what, each in driven.canaries.items() if any("debug log" in driven.where(one) for one in each)]
    assert told == []


def test_every_secret_was_looked_for(driven: Driven) -> None:
    assert sorted(driven.canaries) == sorted(SECRETS)


def test_what_is_planted_is_found_everywhere(driven: Driven) -> None:
    assert set(driven.where(driven.control)) >= {"rows", "blobs", "queues", "replies", "messages", "log"}
    assert driven.found["debug log"]


def test_a_secret_is_found_in_whatever_form() -> None:
    secret = "canary?of/a+secret~"
    for text in (f":{secret}", f"x:{secret}", f"xy:{secret}:", f'{{"a": "{secret}"}}'):
        raw = text.encode()
        for written in (text, quote(text, safe=""), base64.b64encode(raw).decode(), raw.hex()):
            assert Driven({}, "", {}, {"here": f"before {written} after"}).where(secret) == ["here"]
        assert Driven({}, "", {}, {"here": base64.urlsafe_b64encode(raw).decode()}).where(secret) == ["here"]
    assert Driven({}, "", {}, {"here": "canary?of/another+secret~"}).where(secret) == []


def test_the_trouble_came_as_meant(driven: Driven) -> None:
    by_state: dict[str, set[str]] = {}
    for name, state in driven.states.items():
        by_state.setdefault(state, set()).add(name)
    assert by_state["succeeded"] == {"told-slack", "told-teams", "release-good", "release-pat", "control", "mlflow"}
    assert by_state["parked"] == {"slack-lost", "teams-lost"}
    assert by_state["retry"] == {"slack-429", "teams-429"}
    doubtful = {"release-dropped", "release-500", "release-pat-json-500", "release-token-json-500"}
    assert by_state["in_doubt"] == doubtful
    assert len(by_state["dead"]) == len(driven.states) - 14
