"""A bar chart as SVG, readable on a light and on a dark page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

WIDTH, LABEL, RIGHT, BAR, GAP, TOP = 760, 250, 90, 18, 14, 44
COLOURS = ("#2f6db5", "#8a8f98", "#c98a2b", "#5d9c59", "#a05195", "#b5533c", "#4aa3a2")


def bars(title: str, groups: Mapping[str, Mapping[str, float]], unit: str) -> str:
    """Return an SVG with a group of bars for each entry, one bar for each contestant. NaN is told as not measured."""
    parts, y = [_text(12, 22, title, size=15, weight="bold")], TOP
    for name, values in groups.items():
        parts.append(_text(12, y + 12, name, weight="bold"))
        y += BAR + 4
        longest = max((value for value in values.values() if not math.isnan(value)), default=0.0) or 1.0
        for place, (contestant, value) in enumerate(values.items()):
            parts += _bar(y, contestant, value, longest, COLOURS[place % len(COLOURS)], unit)
            y += BAR + 4
        y += GAP
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}" role="img">'
        f"<title>{escape(title)}</title><style>text{{font-family:system-ui,sans-serif;fill:#1f2328}}"
        "@media(prefers-color-scheme:dark){text{fill:#e6edf3}}</style>"
    )
    return head + "".join(parts) + "</svg>\n"


def _bar(y: int, contestant: str, value: float, longest: float, colour: str, unit: str) -> list[str]:
    parts = [_text(LABEL - 8, y + 13, contestant, anchor="end")]
    if math.isnan(value):
        return [*parts, _text(LABEL + 4, y + 13, "not measured")]
    width = max((WIDTH - LABEL - RIGHT) * value / longest, 1.0)
    rectangle = f'<rect x="{LABEL}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2" fill="{colour}"/>'
    return [*parts, rectangle, _text(LABEL + width + 6, y + 13, f"{value:,.3g} {unit}".strip())]


def _text(x: float, y: int, text: str, *, anchor: str = "start", size: int = 12, weight: str = "normal") -> str:
    place = f'x="{x:.0f}" y="{y}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}"'
    return f"<text {place}>{escape(text)}</text>"
