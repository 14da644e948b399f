"""The pages in a real Chromium: read, filtered and pressed as a person does, on a phone too, and under attack."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, sync_playwright

from shared.steps import State, Step
from tests.browser import chromium
from tests.conftest import Relay, until

pytestmark = pytest.mark.skipif(not chromium.runs_here(), reason="the Chromium of npm is for Linux on x86-64 alone")

RELEASE = "release.azure_devops_release"
ONCE = "tell-slack-once.slack"
APPROVAL = "approved-by-link.approval"
HOSTILE = (
    '"><img src=x onerror=alert(1)><script>alert(1)</script>\u202egnp.exe\x00\u05d0\u05d1\u05d2 🍷 a\u0301\u0489'
    "javascript:alert(1) " + "long" * 100
)


@dataclass
class Visitor:
    """A person with a browser window, and what the browser had to complain about."""

    relay: Relay
    page: Page
    troubles: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("dialog", self._dismiss)
        self.page.on("pageerror", lambda error: self.troubles.append(f"error {error}"))
        self.page.on("console", lambda message: self.troubles.append(f"console {message.text}"))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def _dismiss(self, dialog: Dialog) -> None:
        self.troubles.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def open(self, path: str) -> Page:
        """Open a page below `/api/`, with the key in its address as the portal gives it."""
        mark = "&" if "?" in path else "?"
        self.page.goto(f"{self.relay.worker.url}/api/{path}{mark}code={self.relay.system.function_key}")
        return self.page

    @property
    def strayed(self) -> list[str]:
        """What was asked of anybody but the relay."""
        return [url for url in self.asked if not url.startswith((self.relay.worker.url, "data:,"))]


@contextmanager
def another_site(html: str) -> Iterator[str]:
    """A server with one page; to a browser `localhost` is another site than 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert chromium.EXECUTABLE.is_file(), "Chromium is not installed: python -m tests.browser.chromium"
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as home:
        yield playwright.chromium.launch(
            executable_path=str(chromium.EXECUTABLE),
            args=chromium.ARGUMENTS,
            env={**chromium.environment(), "HOME": home},
        )


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport={"width": 1200, "height": 900})
    yield made
    made.close()


@pytest.fixture
def visitor(relay: Relay, context: BrowserContext) -> Visitor:
    return Visitor(relay, context.new_page())


def dead(relay: Relay, model: str) -> str:
    relay.system.devops.faults.add(
        "POST", "(?i)/_apis/release/releases$", status=400, body={"message": "no such variable"}
    )
    event = relay.stage_change(f"release-{model}")
    assert relay.ended(event).steps[RELEASE].state is State.DEAD
    return event


def parked(relay: Relay, name: str) -> str:
    relay.system.chat.faults.add("POST", "^/slack/", before=False, drop=True)
    event = relay.comment(f"once-{name}", "hello")
    assert relay.ended(event).steps[ONCE].state is State.PARKED
    return event


def waiting(relay: Relay, name: str) -> str:
    event = relay.stage_change(f"approve-{name}")
    until(lambda: relay.row(event, APPROVAL).get("state") == "waiting")
    return event


def again(relay: Relay, event: str, step: str) -> Step:
    def look() -> Step | None:
        story = relay.story(event)
        found = story.steps[step] if story else None
        return found if found and found.reopened and found.ended else None

    return until(look)


def test_an_event_is_found_in_the_list_and_its_story_read(visitor: Visitor, relay: Relay, model: str) -> None:
    event = dead(relay, model)
    relay.ended(relay.comment(f"slack-{model}", "x"))
    page = visitor.open("events")
    assert page.get_by_role("img", name=re.compile("events and .* failures in the last 24 hours")).is_visible()
    page.get_by_label("Model").fill(f"*{model}")
    page.get_by_label("State").select_option("dead")
    page.get_by_role("button", name="Show").click()
    assert page.locator("table.list tbody tr").count() == 1
    page.get_by_role("link", name=f"release-{model}").click()
    assert event in page.url
    assert page.get_by_role("heading", level=1).inner_text() == f"release-{model} v1"
    card = page.get_by_role("article").first
    assert "no such variable" in card.inner_text()
    assert card.locator("ol.history .state").all_inner_texts() == ["ready", "running", "dead"]
    assert '"event": "MODEL_VERSION_TRANSITIONED_STAGE"' in page.locator("pre").inner_text()
    assert (visitor.troubles, visitor.strayed) == ([], [])


def test_a_dead_step_is_replayed_with_a_second_press_and_succeeds(visitor: Visitor, relay: Relay, model: str) -> None:
    event = dead(relay, model)
    page = visitor.open(f"events/{event}")
    card = page.get_by_role("article").first
    card.get_by_role("link", name="Replay …").click()
    assert relay.ended(event).steps[RELEASE].reopened == 0, "asked once more, nothing is done yet"
    page.get_by_role("button", name="Replay").click()
    assert "confirm" in page.url, "Chromium itself wants the name"
    page.get_by_label("Your name").fill("Ada")
    page.get_by_role("button", name="Replay").click()
    assert page.get_by_role("status").inner_text() == "Replayed: it is tried again now."
    step = again(relay, event, RELEASE)
    assert step.state is State.SUCCEEDED
    page.reload()
    assert card.locator(".top .state").inner_text() == "succeeded"
    assert "replayed, by Ada (name as given)" in (card.text_content() or "")
    assert card.get_by_role("link", name="Replay …").count() == 0
    assert card.get_by_role("link", name=re.compile("Open the release")).get_attribute("href") == step.link
    assert (visitor.troubles, visitor.strayed) == ([], [])


def test_a_parked_step_is_resolved(visitor: Visitor, relay: Relay, model: str) -> None:
    event = parked(relay, model)
    page = visitor.open(f"events/{event}")
    page.get_by_role("link", name="Resolve …").click()
    page.get_by_label("What do you know of it?").fill("it is in the channel")
    page.get_by_label("Your name").fill("Ada")
    page.get_by_role("button", name="Resolve").click()
    assert page.get_by_role("heading", level=1).inner_text() == f"once-{model} v1"
    assert relay.ended(event).steps[ONCE].outcome == "resolved by Ada (name as given): it is in the channel"
    assert (visitor.troubles, visitor.strayed) == ([], [])


def test_a_look_at_an_approval_decides_nothing_and_its_button_does(visitor: Visitor, relay: Relay, model: str) -> None:
    event = waiting(relay, model)
    page = visitor.open(f"events/{event}")
    page.get_by_role("link", name="Approve or reject …").click()
    for method in ("GET", "HEAD"):  # as a chat's preview does
        requests.request(method, page.url, timeout=30)
    assert relay.row(event, APPROVAL)["state"] == "waiting"
    page.get_by_label("Your name").fill("Ada")
    page.get_by_label("Comment").fill("tested")
    page.get_by_role("button", name="Approve").click()
    assert page.get_by_role("heading", level=1).inner_text() == "Thank you"
    step = relay.ended(event).steps[APPROVAL]
    assert step.state is State.SUCCEEDED
    assert step.outcome.startswith("approved by Ada (name as given)")
    page.reload()
    assert page.get_by_role("button").count() == 0
    assert (visitor.troubles, visitor.strayed) == ([], [])


@pytest.fixture
def hostile(relay: Relay, model: str) -> list[str]:
    """The pages on which a hostile model name stands."""
    event, asked = parked(relay, model + HOSTILE), waiting(relay, model + HOSTILE)
    key = {"x-functions-key": relay.system.function_key, "Accept": "text/html"}
    told = requests.get(f"{relay.worker.url}/api/events/{asked}", headers=key, timeout=30).text
    (link,) = re.findall(r'href="\.\./(approvals/[0-9a-f.]+)"', told)
    listed = f"events?model=*{model}*"
    return [listed, f"events/{event}", f"events/{event}/confirm?action=resolve&step={ONCE}", f"events/{asked}", link]


def test_a_hostile_name_is_read_and_runs_nothing(visitor: Visitor, hostile: list[str], model: str) -> None:
    for path in hostile:
        page = visitor.open(path)
        assert f'{model}"><img src=x onerror=alert(1)><script>alert(1)</script>\ufffdgnp.exe' in page.inner_text("body")
        assert page.evaluate("document.querySelectorAll('script,img,[onerror]').length") == 0
    assert (visitor.troubles, visitor.strayed) == ([], [])
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'alert(1)'}))")
    assert "Content Security Policy" in visitor.troubles[0], "what would run if a name got through is stopped"
    assert not [trouble for trouble in visitor.troubles if trouble.startswith("dialog")]


def test_every_page_fits_a_phone(browser: Browser, relay: Relay, hostile: list[str]) -> None:
    with browser.new_context(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True) as context:
        visitor = Visitor(relay, context.new_page())
        for path in [*hostile, "events", "routes", "routes?action=stop&route=release"]:
            page = visitor.open(path)
            assert page.evaluate("document.documentElement.scrollWidth") == 390, path
            for button in page.locator("button, a.button").all():
                box = button.bounding_box()
                assert box
                assert box["height"] >= 44, "as large as a finger"
                assert box["x"] + box["width"] <= 390
        assert visitor.troubles == []


def test_without_javascript_it_reads_filters_and_acts_as_well(browser: Browser, relay: Relay, model: str) -> None:
    event = parked(relay, model)
    with browser.new_context(java_script_enabled=False) as context:
        page = Visitor(relay, context.new_page()).open("events")
        page.get_by_label("Model").fill(f"once-{model}")
        page.get_by_role("button", name="Show").click()
        page.get_by_role("link", name=f"once-{model}").click()
        assert '"event": "COMMENT_CREATED"' in page.locator("pre").inner_text()
        page.get_by_role("link", name="Replay …").click()
        page.get_by_label("Your name").fill("Ada")
        page.get_by_role("button", name="Replay").click()
        assert page.get_by_role("status").inner_text() == "Replayed: it is tried again now."
    assert again(relay, event, ONCE).state is State.SUCCEEDED


CONTRAST = """() => {
  const light = color => {
    const linear = part => (part /= 255) <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4
    const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map(linear)
    return .2126 * r + .7152 * g + .0722 * b
  }
  const behind = element => {
    for (; element; element = element.parentElement) {
      const color = getComputedStyle(element).backgroundColor
      if (!color.startsWith('rgba(')) return color
    }
    return 'rgb(255, 255, 255)'
  }
  const says = element => [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim())
  return [...document.querySelectorAll('body *')]
    .filter(e => says(e) && e.checkVisibility() && !e.closest('svg'))
    .map(e => {
      const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((a, b) => b - a)
      return [(a + .05) / (b + .05), e.className + ' ' + e.textContent.slice(0, 40)]
    })
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_words_can_be_told_from_what_is_behind_them(
    browser: Browser, relay: Relay, model: str, scheme: Any
) -> None:
    paths = ["events", "routes", f"events/{dead(relay, model)}", f"events/{parked(relay, model)}"]
    with browser.new_context(color_scheme=scheme) as context:
        visitor = Visitor(relay, context.new_page())
        for path in [*paths, f"{paths[-1]}/confirm?action=force&step={ONCE}"]:
            found = visitor.open(path).evaluate(CONTRAST)
            assert len(found) > 10
            assert not [each for each in found if each[0] < 4.5], "the ratio that WCAG 2 AA asks for"


def test_another_site_can_neither_press_a_button_nor_frame_it(visitor: Visitor, relay: Relay, model: str) -> None:
    event, key = parked(relay, model), relay.system.function_key
    address, health = f"{relay.worker.url}/api/events/{event}", f"{relay.worker.url}/api/health"
    question = requests.get(
        f"{address}/confirm?action=resolve&step={ONCE}&code={key}", headers={"Accept": "text/html"}, timeout=30
    ).text
    (token,) = re.findall(r'name="token" value="([^"]+)"', question)  # even if it had got hold of one
    fields = {"token": token, "action": "resolve", "step": ONCE, "name": "Eve", "outcome": "x"}
    inputs = "".join(f'<input name="{name}" value="{value}">' for name, value in fields.items())
    lure = (
        f'<form method="post" action="{address}/resolve?code={key}">{inputs}<button>Win</button></form>'
        f'<iframe src="{address}?code={key}"></iframe><iframe src="{health}"></iframe>'
    )

    with another_site(lure) as address_of_evil:
        visitor.page.goto(address_of_evil)
    assert [button.inner_text() for button in visitor.page.get_by_role("button").all()] == ["Win"]
    framed, allowed = visitor.page.frames[1:]
    assert framed.url.startswith("chrome-error:")
    assert allowed.url == health, "else the frame proves nothing"
    visitor.page.get_by_role("button", name="Win").click()
    visitor.page.wait_for_url(f"{address}/resolve**")
    assert "another site has sent this" in visitor.page.inner_text("body")
    assert relay.ended(event).steps[ONCE].state is State.PARKED
