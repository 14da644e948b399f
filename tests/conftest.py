"""The whole system, once for all tests: real storage, the real runtime, stand-ins for the rest, one worker."""

from __future__ import annotations

import json
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

# before anything imports the azure-devops SDK, which makes this folder at import
os.environ.setdefault("AZURE_DEVOPS_CACHE_DIR", tempfile.mkdtemp(prefix="relay-tests-azure-devops-"))

import pytest
import requests
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.data.tables import TableClient
from azure.storage.queue import QueueClient, TextBase64EncodePolicy

from local import sender
from local.system import System
from local.worker import Host
from shared import ledger, recent
from shared.errors import UnknownStep
from shared.stories import Story
from tests.senders.mlflow_server import MlflowServer

TESTS = Path(__file__).parent
ROUTES = TESTS / "routes.yaml"
TRACKING_URIS = ("https://mlflow-team.example.com", "https://mlflow-production.example.com")  # in the routes file
IMPATIENT = {
    "ROUTES": str(ROUTES),
    "RETRY_DELAYS": "0.5,0.5,0.5",
    "SETTLE_SECONDS": "1",
    "STEP_LEASE_SECONDS": "90",
    "SWEEP_SCHEDULE": "0 0 0 1 1 *",  # never by itself: tests sweep when they mean to
    "RECONCILE_SCHEDULE": "0 0 0 1 1 *",
}
# a worker that only answers HTTP, so that it may stand beside another one without taking its messages
DEAF = {
    f"AzureWebJobs.{name}.Disabled": "1"
    for name in ("route_event", "run_step", "route_poisoned_event", "retry_poisoned_step", "sweep")
}
T = TypeVar("T")
LOG_SHOWN = 6000  # characters


def until(look: Callable[[], T | None], seconds: float = 40) -> T:
    """Look again and again until there is something; fail when there is nothing for so long."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return seen


class Relay:
    """The running app, as its senders and operators see it."""

    def __init__(self, system: System, worker: Host) -> None:
        self.system, self.worker = system, worker

    def url(self, source: str) -> str:
        """Where deliveries of a source go."""
        return f"{self.worker.url}/api/webhooks/{source}"

    def post(self, source: str, body: bytes, headers: dict[str, str]) -> requests.Response:
        """Send whatever the test wants, as it is."""
        return requests.post(self.url(source), data=body, headers=headers, timeout=60)

    def databricks(self, body: Any, source: str = "wine-dev") -> requests.Response:
        """Send a well-signed Databricks delivery."""
        return sender.send_databricks(self.url(source), self.system.secret("wine-dev-webhook"), body)

    def mlflow(self, body: Any) -> requests.Response:
        """Send a well-signed MLflow delivery."""
        return sender.send_mlflow(self.url("models"), self.system.secret("models-webhook"), body)

    def stage_change(self, model: str, version: str = "1", to_stage: str = "Production") -> str:
        """Report a stage change; return the id of its event."""
        reply = self.databricks(sender.databricks_stage_change(model, version, to_stage))
        assert reply.status_code == 202, reply.text
        return str(reply.json()["event"])

    def comment(self, model: str, comment: str) -> str:
        """Report a comment on a model version; return the id of its event."""
        reply = self.databricks(sender.databricks_comment(model, comment))
        assert reply.status_code == 202, reply.text
        return str(reply.json()["event"])

    def events(self) -> list[str]:
        """Return the ids of all events in the ledger."""
        now = datetime.now(UTC)
        return list(recent.event_ids(now - timedelta(days=40), now + timedelta(days=1), 100_000))

    def story(self, event_id: str) -> Story | None:
        """Return what the ledger knows of an event by now."""
        try:
            return ledger.read(event_id)
        except UnknownStep:
            return None

    def ended(self, event_id: str, seconds: float = 40) -> Story:
        """Wait until every step of the event has ended, and return its story."""

        def look() -> Story | None:
            story = self.story(event_id)
            return story if story and story.has_ended else None

        return until(look, seconds)

    def sweep(self) -> None:
        """Run the sweeper now."""
        key = {"x-functions-key": self.system.function_key}
        reply = requests.post(f"{self.worker.url}/admin/functions/sweep", json={"input": ""}, headers=key, timeout=60)
        assert reply.status_code == 202, reply.text

    def prune(self) -> None:
        """Start what is done once a day."""
        key = {"x-functions-key": self.system.function_key}
        reply = requests.post(f"{self.worker.url}/admin/functions/prune", json={"input": ""}, headers=key, timeout=60)
        assert reply.status_code == 202, reply.text

    def queue(self, name: str) -> QueueClient:
        """Return a queue of the app, created if it is missing, to put messages on it as the app does."""
        policy = TextBase64EncodePolicy()
        connection = self.system.azurite.connection_string
        client = QueueClient.from_connection_string(connection, name, message_encode_policy=policy)
        with suppress(ResourceExistsError):
            client.create_queue()
        return client

    def queued(self, queue: str) -> int:
        """Return how many messages lie in a queue, those in hand and put off included."""
        return int(self.queue(queue).get_queue_properties().approximate_message_count or 0)

    def table(self, name: str) -> TableClient:
        """Return a table of the app, for a look at its rows or a change of them."""
        return TableClient.from_connection_string(self.system.azurite.connection_string, name)

    def row(self, event_id: str, step: str) -> dict[str, Any]:
        """Return a step's row, empty while there is none. For systems other than the one `story` looks into."""
        try:
            return dict(self.table("steps").get_entity(event_id, f"step:{step}"))
        except ResourceNotFoundError:
            return {}

    def lease(self, event_id: str, step: str) -> datetime | None:
        """Return when the lease of a running step ends, None if it is not running. For other systems, too."""
        row = self.row(event_id, step)
        if row:
            return row["due"] if row["state"] == "running" else None
        return self.table("steps").get_entity(event_id, "event").get("leased")

    def make_overdue(self, event_id: str, step: str) -> None:
        """Put the time at which a step was due one minute back, as if that minute had passed."""
        row, name = f"step:{step}", "due"
        if not self.row(event_id, step):  # the event's row tells of it
            row, name = "event", "leased" if self.lease(event_id, step) else "routed"
        due = datetime.now(UTC) - timedelta(minutes=1)
        self.table("steps").update_entity({"PartitionKey": event_id, "RowKey": row, name: due})


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the worker has said of late when a test fails that asks it."""
    report = yield
    asked = getattr(item, "funcargs", {}).get("relay")
    if report.failed and isinstance(asked, Relay):
        report.sections.append(("the worker's log", asked.worker.log()[-LOG_SHOWN:]))
    return report


def pytest_itemcollected(item: pytest.Item) -> None:
    """Keep what shares costly things in one process: a file's tests, and all that need the real MLflow servers."""
    needs_mlflow = "mlflow_server" in getattr(item, "fixturenames", ())
    item.add_marker(pytest.mark.xdist_group("mlflow" if needs_mlflow else item.nodeid.partition("::")[0]))


@pytest.fixture(scope="session")
def system() -> Iterator[System]:
    with System() as running:
        running.vault.set("guarded-authorization", "Bearer an-authorization-header")
        running.vault.set("azure-devops-pat", "a-personal-access-token-of-a-test")
        running.vault.set("jobs-user", "databricks:a-password-of-the-jobs")
        running.devops.pats.add("a-personal-access-token-of-a-test")
        running.devops.release_seconds = running.devops.run_seconds = 0.5
        settings = {**running.environment(), **IMPATIENT}
        settings.pop("REQUESTS_CA_BUNDLE")  # the tests' own look into the ledger needs no TLS
        os.environ.update(settings)
        yield running


@pytest.fixture(scope="session")
def mlflow_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[MlflowServer]]:
    """Two real MLflow servers, a team's and production's, not started yet."""
    servers = [MlflowServer(tmp_path_factory.mktemp("mlflow")) for _ in TRACKING_URIS]
    yield servers
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def mlflow_server(mlflow_servers: list[MlflowServer]) -> MlflowServer:
    """The team's server, running. The other one takes as long to start, so it begins at the same time."""
    for server in mlflow_servers:
        server.begin()
    return mlflow_servers[0].start()


@pytest.fixture(scope="session")
def worker(system: System, mlflow_servers: list[MlflowServer], tmp_path_factory: pytest.TempPathFactory) -> Host:
    text = ROUTES.read_text()
    for tracking_uri, server in zip(TRACKING_URIS, mlflow_servers, strict=True):
        text = text.replace(tracking_uri, server.url)
    routes = tmp_path_factory.mktemp("routes") / ROUTES.name
    routes.write_text(text)
    telemetry = system.collector.environment()
    return system.worker({**IMPATIENT, **telemetry, "ROUTES": str(routes)}, log_level="INFO")


@pytest.fixture
def relay(system: System, worker: Host) -> Iterator[Relay]:
    yield Relay(system, worker)
    for stand_in in (
        system.identity,
        system.vault,
        system.devops,
        system.arm,
        system.databricks,
        system.chat,
        system.receiver,
        system.collector,
    ):
        stand_in.faults.clear()


@pytest.fixture
def own_system() -> Iterator[System]:
    """A system for this test alone: its workers may be killed and frozen, its queues emptied."""
    with System() as running:
        yield running


@pytest.fixture
def model() -> str:
    """A part of a model's name that no other test uses."""
    return uuid.uuid4().hex[:10]


@pytest.fixture(scope="session")
def documented() -> dict[str, Any]:
    """The bodies that Databricks' documentation shows, by event."""
    bodies: dict[str, Any] = json.loads((TESTS / "deliveries" / "databricks.json").read_text())
    return bodies
