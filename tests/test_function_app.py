"""The app as the Functions runtime sees it: what loads, with which trigger and bindings."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent

# in a process of its own: an app can be indexed once per process
INDEX = """
import json, pathlib
from local.host_functions import index
functions = index(pathlib.Path(".").resolve())
print(json.dumps({function.name: [function.trigger, *function.outputs] for function in functions}))
"""

HTTP, QUEUE, OUT = "httpTrigger", "queueTrigger", "queue"
EXPECTED: dict[str, list[tuple[str, str | None]]] = {
    "receive_delivery": [(HTTP, "webhooks/{source}"), (OUT, "events"), ("http", None)],
    "route_event": [(QUEUE, "events"), (OUT, "steps")],
    "run_step": [(QUEUE, "steps"), (OUT, "steps")],
    "sweep": [("timerTrigger", "%SWEEP_SCHEDULE%"), (OUT, "steps")],
    "route_poisoned_event": [(QUEUE, "events-poison"), (OUT, "steps")],
    "retry_poisoned_step": [(QUEUE, "steps-poison"), (OUT, "steps")],
    "reconcile": [("timerTrigger", "%RECONCILE_SCHEDULE%")],
    "prune": [("timerTrigger", "0 17 3 * * *")],
    "examine": [(HTTP, "doctor"), ("http", None)],
    "list_events": [(HTTP, "events"), ("http", None)],
    "show_event": [(HTTP, "events/{event}"), ("http", None)],
    "confirm_action": [(HTTP, "events/{event}/confirm"), ("http", None)],
    "replay_event": [(HTTP, "events/{event}/replay"), (OUT, "steps"), ("http", None)],
    "replay_events": [(HTTP, "replay"), (OUT, "steps"), ("http", None)],
    "resolve_step": [(HTTP, "events/{event}/resolve"), (OUT, "steps"), ("http", None)],
    "list_routes": [(HTTP, "routes"), ("http", None)],
    "stop_route": [(HTTP, "routes/{route}/stop"), ("http", None)],
    "start_route": [(HTTP, "routes/{route}/start"), ("http", None)],
    "show_approval": [(HTTP, "approvals/{link}"), ("http", None)],
    "decide_approval": [(HTTP, "approvals/{link}"), (OUT, "steps"), ("http", None)],
    "check_health": [(HTTP, "health"), ("http", None)],
}


def in_new_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def indexed() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = json.loads(in_new_process(INDEX).splitlines()[-1])
    return found


def shown(binding: dict[str, Any]) -> tuple[str, str | None]:
    return binding["type"], binding.get("queueName") or binding.get("route") or binding.get("schedule")


def test_the_runtime_loads_every_function_with_its_trigger_and_bindings(
    indexed: dict[str, list[dict[str, Any]]],
) -> None:
    seen = {name: sorted((shown(binding) for binding in bindings), key=str) for name, bindings in indexed.items()}
    assert seen == {name: sorted(bindings, key=str) for name, bindings in EXPECTED.items()}


def test_operators_functions_need_the_hosts_key(indexed: dict[str, list[dict[str, Any]]]) -> None:
    open_ones = {"receive_delivery", "check_health", "show_approval", "decide_approval"}
    for name, bindings in indexed.items():
        if bindings[0]["type"] == HTTP and name not in open_ones:
            assert bindings[0]["authLevel"].lower() == "function"


def test_webhooks_are_open_to_the_host_since_their_signature_is_the_gate(
    indexed: dict[str, list[dict[str, Any]]],
) -> None:
    trigger = indexed["receive_delivery"][0]
    assert trigger["authLevel"].lower() == "anonymous"
    assert [method.upper() for method in trigger["methods"]] == ["POST"]


def test_importing_the_app_imports_nothing_heavy() -> None:
    code = "import sys, function_app; print(chr(10).join(sys.modules))"
    ours = set(in_new_process(code).split())
    plain = set(in_new_process(code.replace("function_app", "azure.functions")).split())
    new = {name.split(".")[0] for name in ours - plain} - {"function_app", "__future__"}
    assert not [name for name in ours - plain if name.startswith(("azure.", "requests", "msrest", "yaml", "handlers"))]
    assert not new - set(sys.stdlib_module_names)
