"""A relay whose sources are reconciled, and a hand on its timer and on the time that has passed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import requests
from azure.core.exceptions import ResourceNotFoundError

from handlers.reconcile_rows import LOOK, RECONCILED, pack, unpack
from handlers.registry_facts import GRACE, Pending
from local import sender
from local.system import LIVE_WORKSPACE, WORKSPACE, System
from local.worker import Host
from shared.ledger_rows import steps_of
from shared.steps import State
from tests.conftest import IMPATIENT, Relay, until

LATER = GRACE + timedelta(minutes=1)
ROUTES = f"""
sources:
  kept: {{kind: databricks, secret: wine-dev-webhook, workspace: "{WORKSPACE}", reconcile: enqueue}}
  watched: {{kind: databricks, secret: wine-dev-webhook, workspace: "{LIVE_WORKSPACE}", reconcile: alert}}
routes:
  - name: release
    when: {{event: model_version.stage_changed, model: "wine*", to_stage: Production}}
    steps:
      - azure_devops_release:
          {{organization: ml-governance, project: ML Governance V2, definition: 12, description: "{{model}}"}}
  - name: tell
    when:
      event: [model_version.created, model_version_alias.created, model_version.stage_changed]
      model: [wine*, told*, "caused*"]
    steps: [{{slack: {{url_secret: mlops-slack, text: "{{type}} {{model}} {{version}} {{to_stage}}{{alias}} {{id}}"}}}}]
  - name: promote
    when: {{source: kept, event: comment.created, model: "caused*"}}
    steps: [{{registry_transition: {{stage: Production, archive_existing_versions: false}}}}]
"""


class Reconciling(Relay):
    """The running app with `kept` (enqueue) and `watched` (alert), each with a registry of its own."""

    def __init__(self, system: System, worker: Host) -> None:
        super().__init__(system, worker)
        self.registries = {"kept": system.databricks, "watched": system.databricks_live}

    def all(self, table: str, condition: str, value: str) -> list[Any]:
        """The rows of a table that meet a condition, none while there is no such table."""
        try:
            return list(self.table(table).query_entities(condition, parameters={"value": value}))
        except ResourceNotFoundError:
            return []

    def looked(self) -> dict[str, Any]:
        """How far each source was looked at, with what changes at each look."""
        rows = self.all(RECONCILED, "PartitionKey eq @value", LOOK)
        return {row["RowKey"]: row.metadata["etag"] for row in rows}

    def start(self, worker: Host | None = None) -> None:
        """Let the timer tick."""
        url, key = (worker or self.worker).url, {"x-functions-key": self.system.function_key}
        reply = requests.post(f"{url}/admin/functions/reconcile", json={"input": ""}, headers=key, timeout=60)
        assert reply.status_code == 202, reply.text

    def look(self, sources: int = 2) -> None:
        """Let the timer tick, and wait until so many sources were looked at."""
        before = self.looked()
        self.start()
        until(lambda: len(set(self.looked().values()) - set(before.values())) >= sources)

    def pending(self, model: str) -> list[Pending]:
        """What waits for its webhook of a model."""
        return [each for row in self.rows(model) for each in unpack(row).pending]

    def rows(self, model: str) -> list[Any]:
        """The rows that tell what was seen of a model."""
        return self.all(RECONCILED, "model eq @value", model)

    def pass_time(self, model: str, by: timedelta = LATER) -> None:
        """Put what was seen of a model back in time, as if that time had passed since."""
        for row in self.rows(model):
            snapshot = unpack(row)
            shifted = tuple(
                msgspec.structs.replace(
                    each,
                    since=each.since - by,
                    seen=each.seen - by,
                    happened=each.happened - int(by.total_seconds() * 1000),
                )
                for each in snapshot.pending
            )
            self.table(RECONCILED).update_entity({**row, **pack(msgspec.structs.replace(snapshot, pending=shifted))})

    def find(self, model: str, by: timedelta = LATER) -> None:
        """Let the reconciler see what is new of a model, and settle it when its time has come."""
        self.look()
        assert self.pending(model), "nothing new was seen"
        self.pass_time(model, by)
        self.look()
        assert not self.pending(model)

    def tell(self, source: str, body: dict[str, Any], ago: timedelta = timedelta()) -> str:
        """Send a webhook of an act that happened so long ago; return the id that it is answered."""
        body = {**body, "event_timestamp": body["event_timestamp"] - int(ago.total_seconds() * 1000)}
        reply = self.databricks(body, source)
        assert reply.status_code == 202, reply.text
        return str(reply.json()["event"])

    def told(self, source: str, model: str, ago: timedelta = timedelta(), stage: str = "Production") -> str:
        """Send the webhook of a stage change."""
        return self.tell(source, sender.databricks_stage_change(model, "1", stage), ago)

    def events_of(self, model: str) -> list[dict[str, Any]]:
        """The events of a model that the ledger knows."""
        return self.all("steps", "RowKey eq 'event' and model eq @value", model)

    def has_ended(self, event: str) -> bool:
        """Whether every step of the event has succeeded: a second pointer to one may still wait in its queue."""
        rows = {row["RowKey"]: row for row in self.all("steps", "PartitionKey eq @value", event)}
        return all(step.state is State.SUCCEEDED for step in steps_of(rows).values())

    def settled(self, model: str, count: int) -> list[dict[str, Any]]:
        """Wait until so many events of a model are in the ledger and nothing is under way; return them."""
        until(lambda: len(self.events_of(model)) >= count)
        until(lambda: self.queued("events") == 0)
        until(lambda: all(self.has_ended(event["PartitionKey"]) for event in self.events_of(model)))
        events = self.events_of(model)
        assert len(events) == count
        return events

    def messages(self, model: str) -> list[str]:
        """What was said of a model."""
        return [message.text for message in self.system.chat.messages if f" {model} " in message.text]

    def releases(self, model: str) -> int:
        """How many releases were made of a model."""
        return sum(model in each.description for each in self.system.devops.releases.values())

    def lines_without_model(self) -> list[tuple[str, str, str]]:
        """What the reconciler has told of registries as such."""
        return self.lines("")

    def lines(self, model: str) -> list[tuple[str, str, str]]:
        """What the reconciler has told of a model: outcome, type and source."""
        lines = (line.attributes for line in list(self.system.collector.lines))
        told = [each for each in lines if each.get("relay.what") == "reconcile"]
        found = [each for each in told if each.get("relay.model", "") == model]
        return [(each["relay.outcome"], each.get("relay.event_type", ""), each["relay.source"]) for each in found]


def settings(system: System, folder: Path, routes: str = ROUTES) -> dict[str, str]:
    """The settings of a worker with these routes, which tells the system's collector what it does."""
    file = folder / "routes.yaml"
    file.write_text(routes)
    return {**IMPATIENT, **system.collector.environment(), "ROUTES": str(file)}
