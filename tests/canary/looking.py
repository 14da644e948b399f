"""Looks for secrets in all that came out, in whatever form, whole or in part."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import quote

from azure.data.tables import TableServiceClient
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueServiceClient

from local.system import System

PART = 16  # so much of a secret's beginning or end is too much
RECORD = re.compile(r"^(?=\d{4}-\d\d-\d\d \d\d:)", re.MULTILINE)


@dataclass
class Findings:
    """What there was to be kept secret, by what it is; how the events went, and were meant to; all that came out, by
    where it stands; what the command line's calls ended with."""

    canaries: dict[str, list[str]] = field(default_factory=dict)
    control: str = ""
    states: dict[str, str] = field(default_factory=dict)
    meant: dict[str, str] = field(default_factory=dict)
    found: dict[str, str] = field(default_factory=dict)
    exits: dict[str, int] = field(default_factory=dict)
    targets: set[tuple[str, str]] = field(default_factory=set)
    sources: set[tuple[str, str]] = field(default_factory=set)

    def where(self, secret: str) -> list[str]:
        """Return the places in which the secret stands, in whatever form."""
        known = list(forms(secret))
        return [place for place, text in self.found.items() if any(form in text for form in known)]

    def told(self, what: str) -> set[str]:
        """Return the places in which the secrets of this name stand."""
        return {place for secret in self.canaries[what] for place in self.where(secret)}


def forms(secret: str) -> Iterator[str]:
    """Yield what the secret begins and ends with as it is, in hexadecimal, in a URL, and in base64 wherever it stands
    in the encoded text."""
    for part in {secret[:PART], secret[-PART:]}:
        raw = part.encode()
        yield part
        yield raw.hex()
        yield quote(part, safe="")
        for shift in range(3):
            whole = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
            core = whole[(0, 2, 3)[shift] : len(whole) - bool((shift + len(raw)) % 3)]
            yield core
            yield core.replace("+", "-").replace("/", "_")


def look(system: System) -> dict[str, str]:
    """Return all that the app has stored, the messages that it has sent to people, and its telemetry."""
    connection = system.azurite.connection_string
    return {"rows": _rows(connection), "blobs": _blobs(connection), "queues": _queues(connection), **_told(system)}


def logged(text: str) -> dict[str, str]:
    """Part what the workers printed into records of level DEBUG and all the rest, tracebacks with their records."""
    parts = {"log": "", "debug log": ""}
    for record in RECORD.split(text):
        parts["debug log" if " DEBUG " in record[:40] else "log"] += record
    return parts


def _told(system: System) -> dict[str, str]:
    chat = [f"{message.text} {json.dumps(message.payload)}" for message in system.chat.messages]
    sent = [f"{each.body.decode()}" for each in system.receiver.received if each.name == "notified"]
    telemetry = [str(each) for each in (*system.collector.spans, *system.collector.lines, system.collector.metrics)]
    return {"messages": "\n".join([*chat, *sent]), "telemetry": "\n".join(telemetry)}


def _rows(connection: str) -> str:
    with TableServiceClient.from_connection_string(connection) as service:
        tables = [service.get_table_client(table.name) for table in service.list_tables()]
        return "\n".join(str(dict(row)) for table in tables for row in table.list_entities())


def _blobs(connection: str) -> str:
    with BlobServiceClient.from_connection_string(connection) as service:
        found = []
        for container in map(service.get_container_client, (each.name for each in service.list_containers())):
            for name in container.list_blob_names():
                found.append(f"{name} {bytes(container.download_blob(name).readall())!r}")
        return "\n".join(found)


def _queues(connection: str) -> str:
    with QueueServiceClient.from_connection_string(connection) as service:
        names = [queue.name for queue in service.list_queues()]
        found = [message for name in names for message in service.get_queue_client(name).peek_messages(32)]
    raw = [str(message.content) for message in found]
    return "\n".join([*raw, *(base64.b64decode(text).decode() for text in raw)])
