"""Links between the pages, and to what steps have started."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlencode, urlsplit

from handlers.pages import text
from shared.settings import is_loopback

KINDS = {
    "azure_devops_release": "release",
    "azure_devops_pipeline": "run",
    "azure_ml_deployment": "endpoint",
    "azure_ml_score": "endpoint",
    "aks_rollout": "rollout",
    "databricks_job": "run",
    "copy_model": "model version",
}
"""What a target's link leads to; for the others `link`."""


@dataclass(frozen=True)
class Links:
    """Links from the page that was asked for to others, relative, so that they hold behind a gateway too.

    `back` leads from there to `/api/`. `key` is the function key, if it came in the address: a browser has no other way
    to send it, so each link has to bear it on.
    """

    back: str
    key: str = ""

    def event(self, event_id: str, **query: str) -> str:
        """Return the attribute value for a link to an event's page."""
        return self.to(f"events/{quote(event_id, safe='')}", **query)

    def to(self, path: str, **query: str) -> str:
        """Return the attribute value for a link to a path below `/api/`; what is empty of `query` is left out."""
        return text(self.address(path, **query))

    def address(self, path: str, **query: str) -> str:
        """Return the relative address of a path below `/api/`."""
        given = {name: value for name, value in {**query, "code": self.key}.items() if value}
        return self.back + path + (f"?{urlencode(given)}" if given else "")

    def hidden(self, **fields: str) -> str:
        """Return hidden form fields, the key among them where a form that is sent by GET would lose it."""
        given = {**fields, "code": self.key}
        return "".join(
            f'<input type="hidden" name="{text(name)}" value="{text(value)}">' for name, value in given.items() if value
        )


def links_from(path: str, key: str) -> Links:
    """Return the links from the page at a path such as `/api/events/3f2a…`."""
    below = path.lower().partition("/api/")[2]
    return Links("../" * below.count("/"), key) if below.count("/") else Links("", key)


def bar(links: Links, here: str = "") -> str:
    """Return what stands above each page; `here` is `events` or `routes`."""
    pages = "".join(
        f'<a href="{links.to(path)}"{" aria-current=page" if path == here else ""}>{path.capitalize()}</a>'
        for path in ("events", "routes")
    )
    return f'<header class="bar"><nav aria-label="Pages"><b>Registry Relay</b>{pages}</nav></header>'


def outward(url: str, words: str) -> str:
    """Return a link to somewhere else, or its address as text where it is not one that a browser should open."""
    if not is_web(url):
        return f"<code>{text(url[:300])}</code>" if url else ""
    return f'<a href="{text(url)}" rel="noopener noreferrer" target="_blank">{text(words)} ↗</a>'


def is_web(url: str) -> bool:
    """Tell whether an address is https (or on this machine), with a host and without anything that could hide in it."""
    if not url.isprintable() or any(char in url for char in ' "<>\\`'):
        return False
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(url)))
    except ValueError:
        return False
