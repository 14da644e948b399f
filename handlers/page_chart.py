"""A chart of events and failures per hour: an inline picture with the same as a table, and no script."""

from __future__ import annotations

from datetime import datetime
from typing import Any

WIDTH, HEIGHT = 30, 100  # of an hour's column, in the picture's own units


def chart(hours: list[dict[str, Any]]) -> str:
    """Return the chart of `handlers.hours` as HTML."""
    events, failed = (sum(hour[name] for hour in hours) for name in ("events", "failures"))
    most = max([1, *(hour[name] for hour in hours for name in ("events", "failures"))])
    told = f"{events} events and {failed} failures in the last {len(hours)} hours"
    bars = "".join(_bars(number, hour, most) for number, hour in enumerate(hours))
    labels = "".join(f"<span>{_clock(hour)}</span>" for hour in hours[::6] + hours[-1:])
    return (
        f'<figure class="card"><figcaption><b>Last {len(hours)} hours</b><span class="key">{events} events</span>'
        f'<span class="key fails">{failed} failures</span></figcaption><div class="plot">'
        f'<div class="scale" aria-hidden="true"><span>{most}</span><span>0</span></div>'
        f'<svg viewBox="0 0 {WIDTH * len(hours)} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{told}">{bars}</svg><div class="hours" aria-hidden="true">{labels}</div></div>'
        f"<details><summary>As a table</summary>{_table(hours)}</details></figure>"
    )


def _bars(number: int, hour: dict[str, Any], most: int) -> str:
    left = number * WIDTH
    words = f"{_clock(hour)} UTC: {hour['events']} events, {hour['failures']} failures"
    return (
        f"<g><title>{words}</title>"
        f"{_bar('all', left + 4, 13, hour['events'], most)}{_bar('fails', left + 17, 9, hour['failures'], most)}"
        f'<rect class="hour" x="{left}" y="0" width="{WIDTH}" height="{HEIGHT}"/></g>'
    )


def _bar(kind: str, x: int, width: int, count: int, most: int) -> str:
    height = max(HEIGHT * count / most, 2) if count else 0  # what there is has to be seen
    return f'<rect class="{kind}" x="{x}" y="{HEIGHT - height:.1f}" width="{width}" height="{height:.1f}"/>'


def _table(hours: list[dict[str, Any]]) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{_clock(hour)}</th><td>{hour['events']}</td><td>{hour['failures']}</td></tr>"
        for hour in reversed(hours)
    )
    return (
        '<div class="scroll"><table><thead><tr><th scope="col">From (UTC)</th><th scope="col">Events</th>'
        f'<th scope="col">Failures</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _clock(hour: dict[str, Any]) -> str:
    return f"{datetime.fromisoformat(hour['hour']):%H:%M}"
