"""Whatever a registry, a service or a person writes stands in the pages as text: none of it becomes a part of them."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handlers.page_actions import confirm_page
from handlers.page_event import event_page
from handlers.page_events import events_page
from handlers.page_links import Links, is_web, outward
from handlers.page_routes import routes_page, switch_page
from handlers.pages import Page, text
from shared.brakes import Stop
from shared.steps import State
from tests.handlers.test_pages import Tags

AT = "2026-11-20T22:00:00Z"
LINKS = Links("../", "a-key")
NASTY = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "' onmouseover='alert(1)",
    "</title></style></textarea></pre><b>",
    "--><!-- &lt; &#60; &amp",
    "\u202etxt.exe\u202c\u2066x\u2069",
    "\x00\x07\x1b[31m\x7f\x85",
    "{}{{}}%s{model}",
    "javascript:alert(1)",
    "a\u0301\u0489\u20dd" * 30,
    "🍷👩‍👩‍👧",
    "x" * 5000,
]
words = st.one_of(st.sampled_from(NASTY), st.text(min_size=1, max_size=60).filter(str.strip))


class Words(HTMLParser):
    """The text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.heard = ""
        self.feed(html)

    def handle_data(self, data: str) -> None:
        self.heard += data


def story(word: str) -> dict[str, Any]:
    """A story in which everything that comes from elsewhere is the same word."""
    step = {
        "step": word,
        "name": word,
        "route": word,
        "target": word,
        "tells_of": word,
        "state": "dead",
        "created": AT,
        "ended": AT,
        "due": AT,
        "attempts": 2,
        "reopened": 1,
        "reason": word,
        "ref": word,
        "link": "",
        "history": [{"at": AT, "state": "ready", "note": ""}, {"at": AT, "state": "dead", "note": word}],
    }
    details = {"timestamp": 1, "delivery": word, "payload": word, "comment": word, "alias": word, "tags": {word: word}}
    summary = {"event": "0" * 64, "received": 2.0, "source": word, "type": word, "model": word, "version": word}
    return {
        **summary,
        "routes": [word],
        "state": "dead",
        "details": {**details, "from_stage": word, "to_stage": word},
        "cause": {"event_id": word, "step": word, "chain": [word]},
        "skipped": {word: word},
        "steps": [step, {**step}],
    }


def pages(word: str) -> list[Page]:
    """Every page of operators, with the word wherever there is something from elsewhere."""
    told, stops = story(word), {word: Stop(word, AT)}  # type: ignore[arg-type]
    query = dict.fromkeys(("model", "route", "state", "days", "since", "until", "limit"), word)
    listed = {"events": [told], "next": "a-place", "scanned": 1}
    routes = {"routes": [{"route": word, "stopped": {"reason": word, "since": AT}}, {"route": word, "stopped": None}]}
    return [
        events_page(listed, query, stops, LINKS),
        events_page({}, query, stops, LINKS, word),
        event_page(told, {word: word}, stops, LINKS, word),
        *(
            confirm_page(told, action, told["steps"][0], word, word, stops, LINKS, word)
            for action in ("force", "resolve")
        ),
        routes_page(routes, LINKS, word),
        switch_page("stop", word, word, word, LINKS, word),
    ]


def shape(page: Page) -> list[tuple[str, list[str]]]:
    """The tags of a page, each with the names of its attributes."""
    return [(tag, list(attributes)) for tag, attributes in Tags(page.html).found]


SHAPES = [shape(page) for page in pages("x")]


@settings(max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(word=words)
def test_no_word_from_elsewhere_changes_a_page_s_tags(word: str) -> None:
    for page, usual in zip(pages(word), SHAPES, strict=True):
        assert shape(page) == usual
        assert all(char.isprintable() or char in "\n\t" for char in page.html), "nothing that turns or hides text"


@pytest.mark.parametrize("word", NASTY, ids=range(len(NASTY)))
def test_what_can_be_read_is_shown_as_it_is(word: str) -> None:
    shown = "".join(char if char.isprintable() else "\ufffd" for char in word)[:100]
    for page in pages(word):
        assert shown in Words(page.html).heard


@pytest.mark.parametrize("word", [word for word in NASTY if "\x00" not in word], ids=range(len(NASTY) - 1))
def test_links_keep_the_key_whatever_stands_in_them(word: str) -> None:
    for page in pages(word):
        hrefs = [link["href"] for link in Tags(page.html).named("a")]
        assert all(href.startswith("../") for href in hrefs), "each is one of our own"
        assert all("code=a-key" in href for href in hrefs if "approvals/" not in href)


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        " https://example.com",
        "https:",
        "https://",
        "https:///path",
        "//example.com",
        "http://example.com",
        "data:text/html,x",
        "https://example.com/\u202e",
        "https://example.com/ onclick=x",
        'https://example.com/"onclick="x',
        "https://example.com\\@evil.example.com",
        "https://[::1",
        "java\tscript:alert(1)",
        "vbscript:x",
        "",
    ],
)
def test_only_an_address_of_the_web_becomes_a_link(url: str) -> None:
    assert not is_web(url)
    assert "<a" not in outward(url, "Open")
    told = story("x")
    told["steps"][0]["link"] = url
    page = event_page(told, {}, {}, LINKS)
    assert text(url[:300]) in page.html
    assert not [link for link in Tags(page.html).named("a") if not link["href"].startswith("../")]


def test_an_address_of_the_web_becomes_a_link_that_tells_nothing_of_where_it_was() -> None:
    (link,) = Tags(outward("https://dev.azure.com/a%20b/_release?id=1&x=2", "Open")).named("a")
    assert link["href"] == "https://dev.azure.com/a%20b/_release?id=1&x=2"
    assert link["rel"] == "noopener noreferrer"


@pytest.mark.parametrize("state", State)
def test_each_state_of_a_step_has_a_page(state: State) -> None:
    told = story("x")
    told["steps"][0].update(state=state.value, ended=None)
    page = event_page(told, {}, {}, LINKS)
    assert f'class="has-card {state.value}"' in page.html
    offered = [link["href"].partition("action=")[2].partition("&")[0] for link in Tags(page.html).named("a")]
    once = {State.DEAD: 2, State.PARKED: 2}.get(state, 1)  # the second step is dead in any case
    assert offered.count("resolve") == once
    assert offered.count("force") == once + (state in (State.SUCCEEDED, State.SUPERSEDED))
