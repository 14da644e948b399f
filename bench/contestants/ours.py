"""The relay itself, and two that share what it stands on: a bare function on the same host, and a Starlette app."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

from azure.core.exceptions import ResourceExistsError
from azure.storage.queue import QueueClient, TextBase64EncodePolicy

from bench.contestants.contestant import Contestant, Running
from bench.processes import Child
from local.ports import free_port
from local.system import DEFINITION, ORGANIZATION, PROJECT, System
from local.worker import ROOT, Host
from shared.messages import EVENTS_QUEUE

BENCH = Path(__file__).resolve().parents[1]
ROUTES = BENCH / "routes.yaml"
SOURCE, SECRET = "wine-dev", "wine-dev-webhook"
PAT = "a-personal-access-token-of-a-benchmark"
QUEUE_FUNCTIONS = (
    "route_event",
    "run_step",
    "route_poisoned_event",
    "retry_poisoned_step",
    "sweep",
    "prune",
    "reconcile",
)
NO_TIMERS = dict.fromkeys(("SWEEP_SCHEDULE", "RECONCILE_SCHEDULE"), "0 0 0 1 1 *")  # not before New Year
# On Flex Consumption each queue function scales by itself, on instances other than those of the HTTP functions.
HTTP_ONLY = {f"AzureWebJobs.{name}.Disabled": "1" for name in QUEUE_FUNCTIONS}


class Hosted:
    """An app on the local host, asked at one of its paths."""

    def __init__(self, host: Host, path: str) -> None:
        self._host, self._path = host, path

    @property
    def pid(self) -> int:
        """The worker."""
        return self._host.pid

    @property
    def url(self) -> str:
        """Where deliveries go."""
        return f"{self._host.url}{self._path}"

    def kill(self) -> None:
        """Stop it like a crash."""
        self._host.kill()


@contextmanager
def _hosted(app: Path, settings: Mapping[str, str], path: str) -> Iterator[Running]:
    with Host(app, settings) as host:
        yield Hosted(host, path)


def relay(system: System, name: str = "registry relay", **settings: str) -> Contestant:
    """The relay's `receive_delivery`; with HTTP_ONLY among the settings nothing takes the events off their queue."""
    wanted = {**system.environment(ROUTES), **settings}
    return Contestant(
        name=name,
        version="this tree",
        start=lambda: _hosted(ROOT, wanted, f"/api/webhooks/{SOURCE}"),
        stores="the event, in the queue",
        verifies=True,
        queued=lambda: queued(system, "events"),
        empty=lambda: empty(system, "events"),
    )


def bare(system: System) -> Contestant:
    """A function on the same host that writes the same body to a queue, and does nothing else."""
    return _bare_app(system, "bare function", "bare", {"AzureWebJobs.pump.Disabled": "1"})


def pump(system: System, **settings: str) -> Contestant:
    """A bare queue pump: HTTP to queue, queue to one call that creates and starts a release."""
    system.devops.pats.add(PAT)
    return _bare_app(system, "bare queue pump", "pump", {**release_settings(system), **settings})


def _bare_app(system: System, name: str, queue: str, more: Mapping[str, str]) -> Contestant:
    """A function of bench/apps/bare, which has the name of its queue."""
    settings = {"AzureWebJobsStorage": system.azurite.connection_string, **more}
    return Contestant(
        name=name,
        version=f"azure-functions {version('azure-functions')}",
        start=lambda: _hosted(BENCH / "apps" / "bare", settings, f"/api/{queue}"),
        stores="the body, in the queue",
        verifies=False,
        queued=lambda: queued(system, queue),
        empty=lambda: empty(system, queue),
    )


def releases_url(system: System) -> str:
    """Where releases are created at the stand-in."""
    project = PROJECT.replace(" ", "%20")
    return f"{system.devops.url}/vsrm/{ORGANIZATION}/{project}/_apis/Release/releases?api-version=7.1"


def release_settings(system: System) -> dict[str, str]:
    """What the pump needs to create releases."""
    return {"BENCH_RELEASES_URL": releases_url(system), "BENCH_PAT": PAT, "BENCH_DEFINITION": str(DEFINITION)}


class _Uvicorn(Child):
    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/webhook"


def starlette(system: System) -> Contestant:
    """A Starlette app that verifies the signature and enqueues with the queue SDK."""

    def start() -> _Uvicorn:
        empty(system, "starlette")  # the app does not create its queue
        port = free_port()
        command = [sys.executable, "-m", "uvicorn", "bench.apps.starlette_app:app", "--port", str(port)]
        command += ["--loop", "asyncio", "--http", "httptools", "--log-level", "warning", "--no-access-log"]
        env = {"BENCH_STORAGE": system.azurite.connection_string, "BENCH_SECRET": system.secret(SECRET)}
        return _Uvicorn(command, port, {**os.environ, **env}, ROOT)

    return Contestant(
        name="Starlette and SDK",
        version=f"starlette {version('starlette')}, uvicorn {version('uvicorn')}",
        start=start,
        stores="the body, in the queue",
        verifies=True,
        queued=lambda: queued(system, "starlette"),
        empty=lambda: empty(system, "starlette"),
    )


def queued(system: System, name: str) -> int:
    """Return how many messages lie in a queue."""
    found = _queue(system, name).get_queue_properties().approximate_message_count
    return int(found or 0)


def empty(system: System, name: str) -> None:
    """Empty a queue, or create it."""
    client = _queue(system, name)
    with suppress(ResourceExistsError):
        client.create_queue()
    client.clear_messages()


def events_queue(system: System) -> QueueClient:
    """Return the queue that the relay takes its events from, to put messages on it as the host does."""
    policy = TextBase64EncodePolicy()
    return QueueClient.from_connection_string(
        system.azurite.connection_string, EVENTS_QUEUE, message_encode_policy=policy
    )


def _queue(system: System, name: str) -> QueueClient:
    return QueueClient.from_connection_string(system.azurite.connection_string, name)
