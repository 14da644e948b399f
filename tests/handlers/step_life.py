"""Workers that crash or stand still between any two of their calls to the outside, and the doors where they do it."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from azure.storage.queue import QueueClient
from requests import ConnectionError as NoReply
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ProtocolError

from shared.messages import StepMessage, decode_step_message

PATIENCE_SECONDS = 30.0
_CONDITION = re.compile(rb'If-Match: W/"[^"]*"')
_STEP = re.compile(r"/steps(\(|$)")
_ACTS = re.compile(r"/devstoreaccount1/(\$batch|steps|open)|/_apis/|/slack/")


class Crash(BaseException):
    """The worker's process is gone: nothing in the app catches this."""


class Fate(NamedTuple):
    """What befalls a worker after so many calls to the outside: it `crashes`, or `stands` still until it is woken.

    A worker that makes no more than so many calls crashes after its last one, before it has handed on its pointers.
    """

    what: str = ""
    calls: int = 0


class Worker(threading.Thread):
    """One call of a handler in a thread of its own. `work` returns the pointers that the handler returns."""

    def __init__(self, work: Callable[[], list[StepMessage]], fate: Fate) -> None:
        super().__init__(daemon=True)
        self.pointers: list[StepMessage] = []
        self.queued: list[tuple[StepMessage, float]] = []
        self.crashed = self.stands = False
        self.asks_for = ""
        self._work, self._fate, self._calls = work, fate, 0
        self._error: BaseException | None = None
        self._stopped, self._go_on = threading.Event(), threading.Event()

    def go(self) -> None:
        """Run until the end, or until it stands still. Raises what the handler raised."""
        if self.stands:
            self.stands = False
            self._stopped.clear()
            self._go_on.set()
        else:
            self.start()
        assert self._stopped.wait(PATIENCE_SECONDS), "the worker neither ended nor stood still"
        if self._error:
            raise self._error

    def kill(self) -> None:
        """End a worker that stands still: its next call is never made."""
        self._fate = Fate("crashes", self._calls)
        self.go()

    def call(self, what: str) -> None:
        """Go on to a call outside, unless fate is against it. Raises Crash."""
        if self._fate == ("stands", self._calls):
            self.asks_for, self.stands = what, True
            self._stopped.set()
            self._go_on.wait()
        if self.crashed or self._fate == ("crashes", self._calls):
            self.crashed = True
            raise Crash
        self._calls += 1

    def run(self) -> None:
        """Do the work."""
        try:
            self.pointers = self._work()
            self.crashed = self._fate.what == "crashes"
        except Crash:
            pass
        except BaseException as error:
            self._error = error
        finally:
            self._stopped.set()


class Doors:
    """Where the SDKs go out. HTTP goes through, as long as the worker lives; the queue is one that needs no time.

    `forgets_conditions` makes a storage of it that takes every change of a step, whatever its If-Match says;
    `loses_a_reply` makes it take the next change of a step that is written alone, and not answer.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.forgets_conditions = self.loses_a_reply = False
        through = HTTPAdapter.send

        def send(adapter: HTTPAdapter, request: PreparedRequest, *options: Any, **more: Any) -> Response:
            worker = threading.current_thread()
            if isinstance(worker, Worker) and _acts(request):
                worker.call(f"{request.method} {request.url}")
            if self.forgets_conditions:
                _without_condition(request)
            reply = through(adapter, request, *options, **more)
            if self.loses_a_reply and request.method in ("POST", "PUT") and _STEP.search(str(request.url)):
                self.loses_a_reply = False
                raise NoReply(ProtocolError("Connection aborted."), request=request)
            return reply

        patch.setattr(HTTPAdapter, "send", send)
        patch.setattr(QueueClient, "send_message", _queue)


def _queue(_: QueueClient, content: str, *, visibility_timeout: float = 0, **__: Any) -> None:
    """Take a message as Queue storage does: nobody sees it before so many seconds have passed."""
    worker = threading.current_thread()
    assert isinstance(worker, Worker)
    worker.call("queue")
    worker.queued.append((decode_step_message(content.encode()), visibility_timeout))


def _acts(request: PreparedRequest) -> bool:
    """Tell whether a request is one that every turn makes: tokens, secrets, switches are fetched now and then."""
    url = str(request.url)
    return request.method != "OPTIONS" and "ResourceAreas" not in url and bool(_ACTS.search(url))


def _without_condition(request: PreparedRequest) -> None:
    """A step's row that is written alone has its condition among the headers, in a transaction it is in the body."""
    if "/steps(" in str(request.url) and "If-Match" in request.headers:
        request.headers["If-Match"] = "*"
    body = request.body.encode() if isinstance(request.body, str) else request.body
    if isinstance(body, bytes) and _CONDITION.search(body):
        request.body = _CONDITION.sub(b"If-Match: *", body)
        request.headers["Content-Length"] = str(len(request.body))
