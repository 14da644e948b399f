"""What all benchmarks stand on: turns, figures, the load generator, and that a contestant owns its port."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import psutil
import pytest
from aiohttp import web
from rich.console import Console

from bench import load
from bench.counting import is_periodic, queue_operation, table_operation
from bench.plot import bars
from bench.processes import Child, NotItsPortError, check_owner, wait_until_idle
from bench.report import Report
from bench.rounds import Figure, measure, quantile, turned
from local.ports import free_port
from local.serving import Server, serve

ANSWER = (
    "import http.server as s; s.HTTPServer(('127.0.0.1', int(__import__('sys').argv[1])), s.BaseHTTPRequestHandler)"
)
SERVER = f"{ANSWER}.serve_forever()"


@pytest.fixture
def echo() -> Iterator[tuple[Server, list[bytes]]]:
    """A server that answers 202 to bodies, 401 to `wrong`, and closes the connection on `gone`."""
    seen: list[bytes] = []

    async def take(request: web.Request) -> web.Response:
        seen.append(await request.read())
        if seen[-1] == b"gone" and request.transport:
            request.transport.abort()
        return web.Response(status=401 if seen[-1] == b"wrong" else 202, text="answered")

    app = web.Application()
    app.router.add_post("/hook", take)
    with serve(app) as server:
        yield server, seen


def test_each_round_begins_with_another_contestant() -> None:
    assert list(turned(["a", "b", "c"], 4)) == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"]]


def test_a_figure_tells_the_median_of_all_rounds_and_their_spread() -> None:
    values = iter([5.0, 1.0, 3.0, 10.0, 30.0, 20.0])
    [first, second] = measure(["a", "b"], 3, lambda _name: {"ms": next(values)})
    # the second round begins with b
    assert first["ms"].values == [5.0, 10.0, 30.0]
    assert second["ms"].values == [1.0, 3.0, 20.0]
    assert (second["ms"].median, second["ms"].spread) == (3.0, (1.0, 20.0))
    assert [quantile([4.0, 1.0, 3.0, 2.0], share) for share in (0.5, 0.99)] == [2.0, 4.0]
    assert math.isnan(quantile([], 0.5))


def test_the_load_is_what_was_asked_for_and_each_answer_is_counted(echo: tuple[Server, list[bytes]]) -> None:
    server, seen = echo
    requests = [load.Request({}, body) for body in (b"one", b"wrong", b"three")]
    measured = load.run(f"{server.url}/hook", requests, concurrency=4, count=30, seconds=20)
    assert measured.counts == {202: 20, 401: 10}
    assert sorted(seen) == sorted([b"one", b"wrong", b"three"] * 10)
    assert measured.statuses[:3] == [202, 401, 202]  # in the order of the requests
    assert len(measured.latencies) == len(measured.sent) == 30


def test_a_lost_answer_is_no_answer(echo: tuple[Server, list[bytes]]) -> None:
    server, _ = echo
    requests = [load.Request({}, body) for body in (b"one", b"gone")]
    assert load.run(f"{server.url}/hook", requests, concurrency=1, count=4, seconds=20).statuses == [202, 0, 202, 0]


def test_a_load_ends_by_time_too(echo: tuple[Server, list[bytes]]) -> None:
    server, seen = echo
    measured = load.run(f"{server.url}/hook", [load.Request({}, b"one")], concurrency=1, count=10**6, seconds=0.2)
    assert 0 < len(measured.statuses) == len(seen) < 10**6


def test_a_contestant_that_does_not_own_its_port_gets_no_load() -> None:
    port = free_port()
    with Child([sys.executable, "-c", SERVER, str(port)], port, os.environ, Path.cwd()) as child:
        check_owner(child.pid, port)
        with pytest.raises(NotItsPortError, match=f"owned by \\[{child.pid}\\], not by process {os.getpid()}"):
            check_owner(os.getpid(), port)
        with pytest.raises(NotItsPortError, match="taken before its contestant starts"):
            Child([sys.executable, "-c", SERVER, str(port)], port, os.environ, Path.cwd()).start()
    with pytest.raises(NotItsPortError, match="owned by nobody"):
        check_owner(child.pid, port)


def test_a_contestant_that_ends_at_once_is_told_with_its_output() -> None:
    port = free_port()
    with pytest.raises(RuntimeError, match="what it said"):
        Child([sys.executable, "-c", "print('what it said')"], port, os.environ, Path.cwd()).start()
    with pytest.raises(NotItsPortError, match="owned by nobody"):
        check_owner(os.getpid(), port)


COMPUTE = "import time\nwhile time.process_time() < 1.2: pass\n"
LET_COMPUTE = f"import subprocess, sys, time\nsubprocess.run([sys.executable, '-c', {COMPUTE!r}])\n"


@pytest.mark.parametrize("code", [COMPUTE, LET_COMPUTE], ids=["by itself", "by a command"])
def test_whoever_comes_next_waits_until_the_one_before_computes_no_more(code: str) -> None:
    with subprocess.Popen([sys.executable, "-c", f"{code}time.sleep(60)"]) as child:
        try:
            assert not wait_until_idle(child.pid, 0.5)
            assert wait_until_idle(child.pid)
            assert sum(psutil.Process(child.pid).cpu_times()[:4]) >= 1  # with those that have ended
        finally:
            child.kill()


def test_two_contestants_are_compared_round_by_round() -> None:
    report = Report("sample", "A sample", {"per s": "{:.0f}"})
    report.rows = [("one", {"per s": Figure([100.0, 10.0, 90.0])}), ("other", {"per s": Figure([200.0, 20.0, 100.0])})]
    assert report.ratio("one", "other", "per s") == 0.5
    assert math.isnan(report.ratio("one", "nobody", "per s"))


def test_a_report_is_a_table_and_json_and_a_plot(tmp_path: Path) -> None:
    report = Report("sample", "A <sample>", {"ms": "{:.1f}"}, plotted=("ms",), unit="ms")
    report.rows = [("a & b", {"ms": Figure([1.0, 3.0, 2.0])}), ("nothing", {})]
    report.goal("measured", report.median("a & b", "ms"), True)
    report.goal("not measured", report.median("nobody", "ms"), True)
    told = json.loads(report.write(tmp_path).read_text())
    assert told["contestants"]["a & b"]["ms"] == {
        "median": 2.0,
        "lowest": 1.0,
        "highest": 3.0,
        "rounds": [1.0, 3.0, 2.0],
    }
    assert [goal["met"] for goal in told["goals"]] == [True, False]
    assert (tmp_path / "sample.md").read_text().splitlines()[2:] == ["| a & b | 2.0 |", "| nothing | - |"]
    console = Console(width=120, record=True, quiet=True)
    report.tell(console)
    drawn = ElementTree.fromstring((tmp_path / "sample.svg").read_text())
    texts = [element.text for element in drawn.iter() if element.tag.endswith("}text")]
    assert {"A <sample>", "a & b", "2 ms", "not measured"} <= set(texts)


def test_the_longest_bar_is_that_of_the_greatest_value() -> None:
    drawn = ElementTree.fromstring(bars("t", {"group": {"a": 1.0, "b": 4.0, "c": math.nan}}, ""))
    widths = [float(element.attrib["width"]) for element in drawn.iter() if element.tag.endswith("}rect")]
    assert widths == [widths[1] / 4, widths[1]]


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/devstoreaccount1/events/messages?messagettl=-1", "put message events"),
        ("GET", "/devstoreaccount1/steps/messages?numofmessages=16", "get messages steps"),
        ("DELETE", "/devstoreaccount1/steps/messages/1-2-3?popreceipt=x", "delete message steps"),
        ("PUT", "/devstoreaccount1/steps/messages/1-2-3?popreceipt=x", "renew message steps"),
        ("PUT", "/devstoreaccount1/events", "PUT queue events"),
    ],
)
def test_a_request_to_a_queue_is_named_by_what_it_does(method: str, path: str, name: str) -> None:
    assert queue_operation(method, path, b"") == name


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/devstoreaccount1/steps()?$filter=x", "steps query"),
        ("PATCH", "/devstoreaccount1/open(PartitionKey='a',RowKey='b')", "open merge"),
        ("GET", "/devstoreaccount1/open(PartitionKey='a',RowKey='b')", "open get"),
        ("DELETE", "/devstoreaccount1/open(PartitionKey='a',RowKey='b')", "open delete"),
        ("GET", "/devstoreaccount1/open()?$filter=x", "open list"),
        ("POST", "/devstoreaccount1/steps", "steps insert"),
    ],
)
def test_a_request_to_a_table_is_named_by_what_it_does(method: str, path: str, name: str) -> None:
    assert table_operation(method, path, b"") == name
    assert is_periodic(name) is (name == "open list")
