"""Counts what a worker asks of its storage account, by a proxy before each of Azurite's three services.

A request is named by its operation and its place, as Azure bills it: a transaction on a table, however many rows it
writes, is one. What a worker asks whether or not there is an event (polls of empty queues, locks of timers, switches,
the sweeper's list) is kept apart.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import Self
from urllib.parse import urlsplit

from aiohttp import web

from local.azurite import ACCOUNT, KEY, Azurite
from soak.storage_proxy import Proxy

_QUEUE = re.compile(r"^/[^/]+/([a-z0-9-]+)(/messages(?:/[^?]+)?)?(?:\?|$)")
_TABLE = re.compile(r"^/[^/]+/([A-Za-z0-9]+)[(?]")
_ROW = re.compile(r"/devstoreaccount1/(\w+)\(PartitionKey|/devstoreaccount1/(\w+)[\s?]")
_QUEUED = {"POST": "put message", "GET": "get messages", "DELETE": "delete message", "PUT": "renew message"}
_TABLED = {"POST": "insert", "PATCH": "merge", "PUT": "replace", "DELETE": "delete"}
POLL = "get messages "
PERIODIC = ("switches query", "open list", "poison query")
"""Switches are read every 5 s at most, open events and kept poison by the sweeper: once for all events."""


class _Counter(Proxy):
    """Counts each request by its name and, where that matters, by what came back."""

    def __init__(self, upstream: str, name: Callable[[str, str, bytes], str], counting: Counting) -> None:
        super().__init__(upstream, lambda *_: "", lambda _: None)
        self._name, self._counting = name, counting

    async def _forward(self, request: web.Request, body: bytes) -> web.Response:
        reply = await super()._forward(request, body)
        name = self._name(request.method, request.raw_path, body)
        if name.startswith(POLL) and b"<QueueMessage>" not in (reply.body if isinstance(reply.body, bytes) else b""):
            name = f"poll {name.removeprefix(POLL)}"
        self._counting.counts[name if reply.status < 400 else f"{name}, answered {reply.status}"] += 1
        return reply


class Counting:
    """The three proxies. `connection_string` is what AzureWebJobsStorage has to be; `counts` is by operation."""

    def __init__(self, azurite: Azurite) -> None:
        self.counts: Counter[str] = Counter()
        self._stack = ExitStack()
        self._azurite = azurite
        self._urls: dict[str, str] = {}

    def __enter__(self) -> Self:
        names = {"Blob": blob_operation, "Queue": queue_operation, "Table": table_operation}
        with self._stack as stack:
            for kind, port in self._azurite.ports.items():
                self._urls[kind] = stack.enter_context(_Counter(f"http://127.0.0.1:{port}", names[kind], self)).url
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def connection_string(self) -> str:
        """The account, reached through the proxies."""
        places = "".join(f"{kind}Endpoint={url}/{ACCOUNT};" for kind, url in self._urls.items())
        return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};{places}"

    def take(self) -> dict[str, int]:
        """Return what events have cost since the last time, and begin anew. What is periodic is left out."""
        taken, self.counts = self.counts, Counter()
        return {name: taken[name] for name in sorted(taken) if not is_periodic(name)}


def is_periodic(name: str) -> bool:
    """Tell whether a worker asks for this whether or not there is an event."""
    return name.startswith(("poll ", "blob lock", *PERIODIC))


def queue_operation(method: str, path: str, _body: bytes) -> str:
    """Name a request to the queue service, such as `put message events`."""
    found = _QUEUE.match(path)
    if found is None:
        return "queue service"
    name, messages = found.groups()
    return f"{_QUEUED.get(method, method)} {name}" if messages else f"{method} queue {name}"


def table_operation(method: str, path: str, body: bytes) -> str:
    """Name a request to the table service, such as `steps transaction` or `open merge`."""
    place = urlsplit(path).path
    if place.endswith("/$batch"):
        row = _ROW.search(body.decode(errors="replace"))
        return f"{next(filter(None, row.groups())) if row else '?'} transaction"
    found = _TABLE.match(path if "(" in path else f"{path}?")
    name = found[1] if found else place
    if method == "GET":
        return f"{name} get" if "(PartitionKey" in path else f"{name} list" if name == "open" else f"{name} query"
    return f"{name} {_TABLED.get(method, method)}"


def blob_operation(method: str, path: str, _body: bytes) -> str:
    """Name a request to the blob service: a timer's lock, or a body too large for a message."""
    return f"blob {'lock' if 'azure-webjobs-hosts' in path else 'body'} {method}"
