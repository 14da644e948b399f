"""What each precaution is there for: with it the moment passes, and a copy of the app without it acts twice."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import ResourceExistsError
from azure.storage.queue import QueueClient, TextBase64EncodePolicy

from local import sender
from local.system import System
from shared.messages import StepMessage, encode
from soak.doors import Doors
from soak.history import History, check, rows_of, steps_of, unfinished
from soak.injections import Injection, Plan
from soak.strategies import STRATEGIES, copied
from soak.workers import Worker
from tests.conftest import until

QUICK = {"STEP_LEASE_SECONDS": "1", "SETTLE_SECONDS": "1", "LOCAL_QUEUE_LEASE_SECONDS": "2"}
FOR_EVER = 1e6
RUN = "run.azure_devops_pipeline"


class Scene:
    """A system whose workers run one copy of the app, and one event in it."""

    def __init__(self, system: System, worker: Worker, plan: Plan) -> None:
        self.system, self.worker, self.plan = system, worker, plan
        self.accepted: dict[str, str] = {}
        self.told: dict[str, int] = {}
        self.history = History()

    def report(self, kind: str) -> str:
        """Tell of an event; return its id."""
        return self.send(*self.written(kind))

    def written(self, kind: str) -> tuple[str, dict[str, Any]]:
        """Let an event happen; return its model and the body that tells of it."""
        model = f"{kind}-{uuid.uuid4().hex[:8]}"
        return model, sender.databricks_stage_change(model, "1", "Production")

    def send(self, model: str, body: dict[str, Any]) -> str:
        """Tell of an event that has happened; return its id."""
        url = f"{self.worker.host.url}/api/webhooks/wine-dev"
        reply = sender.send_databricks(url, self.system.secret("wine-dev-webhook"), body)
        assert reply.status_code == 202, reply.text
        self.told[model] = body["event_timestamp"]
        self.accepted[str(reply.json()["event"])] = model
        return str(reply.json()["event"])

    def state(self, event: str, step: str) -> str:
        """Return how a step stands, "" while it is not there."""
        row = steps_of(rows_of(self.system).get(event, {})).get(step)
        return str(row["state"]) if row else ""

    def point(self, event: str, step: str) -> None:
        """Put one more pointer to a step on the queue."""
        connection, policy = self.system.azurite.connection_string, TextBase64EncodePolicy()
        with QueueClient.from_connection_string(connection, "steps", message_encode_policy=policy) as queue:
            with suppress(ResourceExistsError):
                queue.create_queue()
            queue.send_message(encode(StepMessage(event_key=event, step=step)))


@contextmanager
def scene(strategy: str, workers: int, **settings: str) -> Iterator[Scene]:
    """Start a scene. At its end all events have ended, and the workers have finished what they had in hand."""
    with System() as system, tempfile.TemporaryDirectory(prefix="relay-mutation-") as folder, ExitStack() as stack:
        app, plan = copied(strategy, Path(folder)), Plan()
        doors = stack.enter_context(Doors(system))
        crowd = [Worker(system, app, doors, plan, {**QUICK, **settings}) for _ in range(workers)]
        for worker in crowd:
            stack.enter_context(worker)
        made = Scene(system, crowd[0], plan)
        yield made
        until(lambda: not unfinished(rows_of(system), made.accepted))
        stack.close()
        made.history = check(system, made.accepted, made.told)


def two_claims_at_once(strategy: str) -> History:
    """The pointer to the second attempt comes twice; its claim is held up until the step has been done by the other."""
    with scene(strategy, workers=2, RETRY_DELAYS="4") as made:
        made.system.devops.faults.add("POST", "/runs$", status=429)
        made.report("run")
        until(lambda: not unfinished(rows_of(made.system), made.accepted))  # now the queue is there
        made.system.devops.faults.add("POST", "/runs$", status=429)
        made.plan.arm(Injection("pointer queued", "double"))
        event = made.report("run")
        until(lambda: made.state(event, RUN) == "retry")
        made.plan.arm(Injection("claim", "late", 4.0))
        until(lambda: made.plan.done[Injection("claim", "late")])
    return made.history


def killed_after_a_run_was_started(strategy: str) -> History:
    """The worker dies before it hears of the run that it has started."""
    with scene(strategy, workers=1) as made:
        made.plan.arm(Injection("run started", "kill after"))
        made.report("run")
    return made.history


def killed_while_the_list_was_late(strategy: str) -> History:
    """The worker dies likewise, and when the run is looked for the first time it is not in the list yet."""
    with scene(strategy, workers=1) as made:
        made.system.devops.list_lag_seconds = FOR_EVER
        made.plan.arm(Injection("run started", "kill after"))
        made.report("run")
        until(lambda: made.system.devops.faults.calls("GET", "/runs$"))
        made.system.devops.list_lag_seconds = 0.0
    return made.history


def pointed_to_while_it_runs(strategy: str) -> History:
    """A pointer comes again while the target takes its time over the first one's call."""
    with scene(strategy, workers=2, STEP_LEASE_SECONDS="30") as made:
        made.plan.arm(Injection("run started", "late", 8.0))
        event = made.report("run")
        until(lambda: made.plan.done[Injection("run started", "late")])
        made.point(event, RUN)
        until(lambda: made.system.devops.starts)
    return made.history


def frozen_after_a_draft_was_made(strategy: str) -> History:
    """A worker freezes before it hears of its draft, which no list shows; another one takes the step over."""
    with scene(strategy, workers=2) as made:
        made.system.devops.list_lag_seconds = FOR_EVER
        made.plan.arm(Injection("draft created", "freeze", 8.0))
        made.report("release")
    return made.history


def killed_after_a_job_was_started(strategy: str) -> History:
    """The worker dies before it hears of the job's run that it has started."""
    with scene(strategy, workers=1) as made:
        made.plan.arm(Injection("job started", "kill after"))
        made.report("train")
    return made.history


def told_of_the_newer_event_first(strategy: str) -> History:
    """An event is held up on its way to the queue until a newer one has been rolled out."""
    with scene(strategy, workers=1) as made:
        model, body = made.written("deploy")
        body["event_timestamp"] -= 1000
        made.report("deploy")
        until(lambda: not unfinished(rows_of(made.system), made.accepted))
        made.send(model, body)
    return made.history


SCENES = {
    "no-if-match": two_claims_at_once,
    "no-probe": killed_after_a_run_was_started,
    "no-settling": killed_while_the_list_was_late,
    "no-lease": pointed_to_while_it_runs,
    "no-draft": frozen_after_a_draft_was_made,
    "no-token": killed_after_a_job_was_started,
    "no-mark": told_of_the_newer_event_first,
}


LONG = ("no-settling", "no-token", "no-mark", "no-lease")


@pytest.mark.parametrize("lacking", [pytest.param(name, marks=[pytest.mark.long] * (name in LONG)) for name in SCENES])
def test_the_app_acts_once_and_without_its_precaution_twice(lacking: str) -> None:
    with ThreadPoolExecutor(2) as pool:  # both wait most of the time
        kept, broken = pool.map(SCENES[lacking], ("full", lacking))
    assert not kept.violations
    assert len(kept.guarded) == (lacking == "no-token")  # there the target itself makes the other call harmless
    assert len(broken.repeated) + len(broken.guarded) + len(broken.set_back) == 1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_still_finds_what_it_changes(strategy: str, tmp_path: Path) -> None:
    assert (copied(strategy, tmp_path) / "function_app.py").is_file()
