"""A person who is asked in Teams: follows the link, reads the page, gives a name and presses a button."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import requests

_LINK = re.compile(r"\]\((http[^)]*/api/approvals/[^)]*)\)")


class Form(HTMLParser):
    """What stands on the page: its text, its fields, and its buttons by their words."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.fields: list[str] = []
        self.buttons: dict[str, tuple[str, str]] = {}
        self._button, self._is_seen = ("", ""), True
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a field or a button."""
        named = {name: value or "" for name, value in attrs}
        if tag in ("input", "textarea"):
            self.fields.append(named["name"])
        self._button = (named["name"], named["value"]) if tag == "button" else ("", "")
        self._is_seen = tag not in ("style", "title")

    def handle_data(self, data: str) -> None:
        """Note what is seen; on a button it is the button's."""
        if self._is_seen:
            self.words.append(data)
        if any(self._button):
            self.buttons[data] = self._button


def link_in(text: str) -> str:
    """Return the link of a message that asks, empty if it does not."""
    found = _LINK.search(text)
    return found[1] if found else ""


def decide(link: str, button: str, name: str, comment: str = "") -> str:
    """Press the button on the page behind the link; return what the page says then. Raises for what is not there."""
    page = requests.get(link, timeout=30)
    page.raise_for_status()
    form = Form(page.text)
    given = {"name": name, "comment": comment}
    field, value = form.buttons[button]
    answer = requests.post(link, data={**{each: given[each] for each in form.fields}, field: value}, timeout=30)
    answer.raise_for_status()
    return " ".join(Form(answer.text).words)
