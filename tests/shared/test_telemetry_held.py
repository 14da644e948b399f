"""What is held until the exporters are there: told on once, under its own ids, and never in the way of the work."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

from shared.telemetry_held import MOST, Held, PastSpan, open_span

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Told:
    """Exporters that keep what they are told."""

    def __init__(self) -> None:
        self.spans: list[PastSpan] = []
        self.lines: list[tuple[str, str]] = []
        self.counts: list[str] = []

    def span(self, name: str, kind: str, parent: str, about: Mapping[str, Any]) -> AbstractContextManager[Any]:
        return nullcontext({})

    def traceparent(self) -> str:
        return ""

    def count(self, what: str, dimensions: Mapping[str, Any], measured: Mapping[str, float]) -> None:
        self.counts.append(what)

    def past_span(self, span: PastSpan) -> None:
        self.spans.append(span)

    def line(self, record: logging.LogRecord, around: str) -> None:
        self.lines.append((record.getMessage(), around))


@pytest.fixture
def held() -> Held:
    return Held()


@pytest.fixture
def logger(held: Held) -> Iterator[logging.Logger]:
    found = logging.getLogger("a logger of this test")
    found.setLevel(logging.INFO)
    found.addHandler(held)
    yield found
    found.removeHandler(held)


def test_a_span_that_was_held_keeps_its_ids_its_parents_and_its_times(held: Held) -> None:
    with held.span("outer", "consumer", PARENT, {"relay.model": "wine"}) as told:
        outer = held.traceparent()
        with held.span("inner", "client", "", {}):
            inner = held.traceparent()
        told["more"] = 1
    exporters = Told()
    held.hand_over(exporters)
    first, second = exporters.spans
    assert (first.name, first.own, first.parent, first.kind) == ("inner", inner, outer, "client")
    assert (second.name, second.own, second.parent, second.kind) == ("outer", outer, PARENT, "consumer")
    assert second.attributes == {"relay.model": "wine", "more": 1}
    assert second.began <= first.began <= first.ended <= second.ended
    assert {span.own.split("-")[1] for span in exporters.spans} == {PARENT.split("-")[1]}
    assert open_span.get() == ""


@pytest.mark.parametrize("parent", ["", "rubbish", "00-xyz-b7ad6b7169203331-01", PARENT + "-more"])
def test_a_span_whose_parent_is_none_begins_a_trace_of_its_own(held: Held, parent: str) -> None:
    exporters = Told()
    held.hand_over(exporters)
    with held.span("a span", "internal", parent, {}):
        pass
    with held.span("another", "internal", parent, {}):
        pass
    assert [span.parent for span in exporters.spans] == ["", ""]
    assert len({span.own.split("-")[1] for span in exporters.spans}) == 2


def test_a_trace_that_its_sender_does_not_sample_stays_so(held: Held) -> None:
    with held.span("a span", "consumer", PARENT[:-2] + "00", {}):
        assert held.traceparent().endswith("-00")


def test_an_exception_marks_the_span_with_its_type_and_goes_on(held: Held) -> None:
    with pytest.raises(ValueError, match="a text"), held.span("a span", "internal", "", {}):
        raise ValueError("a text that may hold what a service has echoed")
    exporters = Told()
    held.hand_over(exporters)
    assert exporters.spans[0].failed == "ValueError"
    assert "echoed" not in str(exporters.spans)


def test_a_line_is_told_within_the_span_that_was_around_it(held: Held, logger: logging.Logger) -> None:
    with held.span("a span", "internal", "", {}):
        around = held.traceparent()
        logger.info("inside %s", "it")
    logger.info("outside")
    exporters = Told()
    held.hand_over(exporters)
    assert exporters.lines == [("inside it", around), ("outside", "")]


def test_a_span_that_ends_after_the_exporters_came_is_told_at_its_end(held: Held) -> None:
    exporters = Told()
    with held.span("a span", "internal", "", {}):
        held.hand_over(exporters)
        assert not exporters.spans
    assert [span.name for span in exporters.spans] == ["a span"]


def test_without_exporters_nothing_is_kept(held: Held, logger: logging.Logger) -> None:
    logger.info("before")
    held.hand_over(None)
    logger.info("after")
    exporters = Told()
    held.hand_over(exporters)
    assert not exporters.lines


def test_no_more_is_held_than_the_exporters_would_take_at_once(held: Held) -> None:
    for number in range(MOST + 5):
        held.count(str(number), {}, {})
    exporters = Told()
    held.hand_over(exporters)
    assert exporters.counts == [str(number) for number in range(MOST)]


def test_what_can_not_be_told_takes_nothing_else_with_it(held: Held) -> None:
    class Choosy(Told):
        def count(self, what: str, dimensions: Mapping[str, Any], measured: Mapping[str, float]) -> None:
            if what == "refused":
                raise ValueError(what)
            super().count(what, dimensions, measured)

    held.count("refused", {}, {})
    held.count("taken", {}, {})
    exporters = Choosy()
    held.hand_over(exporters)
    assert exporters.counts == ["taken"]


def test_what_many_threads_tell_while_the_exporters_come_is_told_once_each(held: Held) -> None:
    exporters, began = Told(), threading.Barrier(5, timeout=10)

    def tell(thread: int) -> None:
        began.wait()
        for number in range(200):
            held.count(f"{thread}.{number}", {}, {})

    threads = [threading.Thread(target=tell, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    began.wait()
    held.hand_over(exporters)
    for thread in threads:
        thread.join()
    assert sorted(exporters.counts) == sorted(f"{thread}.{number}" for thread in range(4) for number in range(200))
