"""Pages for people: plain HTML that needs no script, no file from elsewhere, and shows every value as text."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from html import escape

STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--good:#1a7f37;--bad:#cf222e;--wait:#9a6700}
*{box-sizing:border-box}
body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;padding:1rem;max-width:64rem;overflow-wrap:anywhere}
h1{font-size:1.3rem;margin:.2rem 0 1rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1rem}
dt{opacity:.7}dd{margin:0}
label{display:block;margin:.8rem 0 .2rem}
input,textarea,select{font:inherit;width:100%;padding:.5rem;border:1px solid var(--line);border-radius:.4rem}
button{font:inherit;padding:.6rem 1.2rem;margin:1rem .6rem 0 0;border:1px solid var(--line);border-radius:.4rem}
button.good{background:var(--good);color:#fff}button.bad{background:var(--bad);color:#fff}
.note{padding:.6rem 1rem;border-left:4px solid var(--wait);background:var(--soft)}
"""


@dataclass(frozen=True)
class Page:
    """An HTTP answer for a browser: `status`, the whole `html`, and the `headers` that keep it harmless."""

    status: int
    html: str
    headers: dict[str, str] = field(default_factory=dict)


def page(status: int, title: str, body: str) -> Page:
    """Return a page. `title` is text; `body` is HTML in which every value from elsewhere went through `text`."""
    style = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex">'
        f"<title>{text(title)}</title><style>{STYLE}</style></head><body><h1>{text(title)}</h1>{body}</body></html>"
    )
    return Page(status, html, {**HEADERS, "Content-Security-Policy": _POLICY.format(style=style)})


def text(value: object) -> str:
    """Return the value as text in HTML, in an attribute's quotes too, with a mark for each character not seen."""
    shown = "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in str(value))
    return escape(shown, quote=True)


def facts(pairs: dict[str, object]) -> str:
    """Return a list of names with their values, those that are empty left out."""
    rows = "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in pairs.items() if value)
    return f"<dl>{rows}</dl>"


_POLICY = "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
