"""Pages for people: plain HTML that needs no script, no file from elsewhere, and shows every value as text."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from html import escape

from handlers.page_style import STYLE


@dataclass(frozen=True)
class Page:
    """An HTTP answer for a browser: `status`, the whole `html`, and the `headers` that keep it harmless."""

    status: int
    html: str
    headers: dict[str, str] = field(default_factory=dict)


def page(status: int, title: str, body: str, *, bar: str = "", head: str = "") -> Page:
    """Return a page. `title` is text; `body`, `bar` (above the title) and `head` (instead of the title, where it says
    more) are HTML in which every value from elsewhere went through `text`."""
    style = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex">'
        f'<link rel="icon" href="data:,"><title>{text(title)}</title><style>{STYLE}</style></head>'
        f"<body>{bar}<main>{head or f'<h1>{text(title)}</h1>'}{body}</main></body></html>"
    )
    return Page(status, html, {**HEADERS, "Content-Security-Policy": _POLICY.format(style=style)})


def redirect(location: str) -> Page:
    """Return the answer to a form that has done its work: go and look, so that a reload does not do it again."""
    return Page(303, "", {**HEADERS, "Location": location})


def text(value: object) -> str:
    """Return the value as text in HTML, in an attribute's quotes too, with a mark for each character not seen."""
    shown = "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in str(value))
    return escape(shown, quote=True)


def name(value: object, most: int = 160) -> str:
    """Return a name from elsewhere as HTML that stays in its place whichever way its letters run; cut if it is long."""
    whole = str(value)
    return f"<bdi>{text(whole if len(whole) <= most else whole[:most] + '…')}</bdi>"


def note(words: object, kind: str = "") -> str:
    """Return a paragraph that stands out; `kind` is `good` or `bad`."""
    return f'<p class="note {kind}" role="status">{text(words)}</p>'


def facts(pairs: dict[str, object]) -> str:
    """Return a list of names with their values, those that are empty left out."""
    return fact_rows({label: text(value) for label, value in pairs.items() if value})


def fact_rows(pairs: dict[str, str]) -> str:
    """Return a list of names with their values, which are HTML; those that are empty left out."""
    rows = "".join(f"<dt>{text(label)}</dt><dd>{html}</dd>" for label, html in pairs.items() if html)
    return f"<dl>{rows}</dl>"


_POLICY = (
    "default-src 'none'; style-src 'sha256-{style}'; img-src data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Vary": "Accept",
}
