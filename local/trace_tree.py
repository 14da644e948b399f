"""One event's trace as a tree for the terminal: what was done within what, when, and for how long."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.text import Text
from rich.tree import Tree

from local.collector import Collector, Span

PATIENCE_SECONDS = 5.0
QUIET_SECONDS = 0.8  # the app tells in batches; when none has come for so long, all has


def trace_tree(collector: Collector, event: str) -> Tree | None:
    """Return the tree of the trace in which the event was handled, None if nothing was told of it in time."""
    spans = _spans_of(collector, event)
    if not spans:
        return None
    first = min(span.start for span in spans)
    known = {span.id for span in spans}
    tree = Tree(Text(f"trace {spans[0].trace}", style="dim"))
    _add(tree, [span for span in spans if span.parent not in known], spans, first)
    return tree


def _spans_of(collector: Collector, event: str) -> list[Span]:
    """Wait until no more spans of the event's trace come in."""
    began = last_news = time.monotonic()
    found: list[Span] = []
    while time.monotonic() - began < PATIENCE_SECONDS and (not found or time.monotonic() - last_news < QUIET_SECONDS):
        time.sleep(0.1)
        traces = {span.trace for span in collector.spans if span.attributes.get("relay.event") == event}
        now_found = [span for span in collector.spans if span.trace in traces]
        if len(now_found) != len(found):
            found, last_news = now_found, time.monotonic()
    return found


def _add(branch: Tree, siblings: Sequence[Span], spans: Sequence[Span], first: int) -> None:
    for span in sorted(siblings, key=lambda span: span.start):
        _add(branch.add(_line(span, first)), [each for each in spans if each.parent == span.id], spans, first)


def _line(span: Span, first: int) -> Text:
    status = span.attributes.get("http.response.status_code")
    about = span.attributes.get("relay.step") or span.attributes.get("relay.secret") or ""
    line = Text.assemble((span.name, "red" if span.failed else ""), (f" {about}" if about else "", "cyan"))
    line.append(f" {status}" if status else "")
    line.append(f"  at {(span.start - first) / 1e6:.0f} ms, {(span.end - span.start) / 1e6:.1f} ms", style="dim")
    return line
