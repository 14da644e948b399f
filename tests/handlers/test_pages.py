"""The operators' pages over HTTP: the same as the JSON, paged, escaped, and forms that only our own pages can send."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
import requests

from handlers.asked import FORM_LIFE, Asked
from handlers.listing import MAX_READ
from shared import failures
from shared.steps import State, Step
from tests.conftest import DEAF, IMPATIENT, Relay, until

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
RELEASE = "release.azure_devops_release"
ONCE = "tell-slack-once.slack"
ROUTE = "first-of-two"


class Tags(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def named(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.found if name == tag]


class Browser:
    """What a person does with the pages, with the key in the address as the portal gives it."""

    def __init__(self, relay: Relay, url: str = "", **headers: str) -> None:
        self.root, self.key = f"{url or relay.worker.url}/api/", relay.system.function_key
        self.headers = {"Accept": BROWSER, **headers}

    def open(self, path: str, **query: str) -> requests.Response:
        return requests.get(
            urljoin(self.root, path), params={**query, "code": self.key}, headers=self.headers, timeout=60
        )

    def press(self, page: requests.Response, headers: dict[str, str] | None = None, **fields: str) -> requests.Response:
        """Send the page's form with these fields filled in, as Chromium does from our own page."""
        tags = Tags(page.text)
        (form,) = [form for form in tags.named("form") if form.get("method") == "post"]
        hidden = {field["name"]: field["value"] for field in tags.named("input") if field.get("type") == "hidden"}
        sent = {"Sec-Fetch-Site": "same-origin", "Origin": "null", **self.headers, **(headers or {})}
        goal = urljoin(page.url, form["action"])
        return requests.post(goal, data={**hidden, **fields}, headers=sent, timeout=60, allow_redirects=False)


def ask(relay: Relay, path: str, **query: Any) -> Any:
    headers = {"x-functions-key": relay.system.function_key}
    return requests.get(f"{relay.worker.url}/api/{path}", params=query, headers=headers, timeout=60).json()


def parked(relay: Relay, model: str) -> str:
    relay.system.chat.faults.add("POST", "^/slack/", before=False, drop=True)
    event = relay.comment(f"once-{model}", "hello")
    assert relay.ended(event).steps[ONCE].state is State.PARKED
    return event


def dead(relay: Relay, model: str) -> str:
    """An event whose name no pipeline takes."""
    event = relay.stage_change(f"release-{model}-<b>")
    assert relay.ended(event).steps[RELEASE].state is State.DEAD
    return event


def step_of(relay: Relay, event: str, step: str, reopened: int) -> Step:
    def look() -> Step | None:
        story = relay.story(event)
        found = story.steps[step] if story else None
        return found if found and found.reopened == reopened and found.ended else None

    return until(look)


# Who gets what


@pytest.mark.parametrize(
    ("accept", "page"),
    [
        (BROWSER, True),
        ("text/html", True),
        ("text/html;q=0.9, application/json;q=0.1", True),
        ("*/*", False),
        ("", False),
        ("application/json", False),
        ("application/json, text/html;q=0.9", False),
        ("text/html;q=0, */*", False),
        ("application/json, text/html", False),
        ("text/html;q=x", False),
        ("text/html;q=\u00b2", False),
    ],
)
def test_who_names_html_gets_a_page_and_everybody_else_json(accept: str, page: bool) -> None:
    assert Asked({"accept": accept}, {}).wants_page is page


def test_a_browser_gets_the_same_events_as_a_program(relay: Relay, model: str) -> None:
    events = [relay.comment(f"slack-{model}", f"number {number}") for number in range(3)]
    for event in events:
        relay.ended(event)
    page = Browser(relay).open("events", model=f"slack-{model}")
    assert page.headers["Content-Type"].startswith("text/html")
    assert page.headers["Vary"] == "Accept"
    told = ask(relay, "events", model=f"slack-{model}")
    assert [event["event"] for event in told["events"]] == events[::-1]
    assert re.findall(r'href="events/([0-9a-f]{64})', page.text) == events[::-1]


def test_an_event_s_page_tells_all_that_its_json_tells(relay: Relay, model: str) -> None:
    event = dead(relay, model)
    page = unescape(Browser(relay).open(f"events/{event}").text)
    story = ask(relay, f"events/{event}")
    assert len(story["steps"]) == 2
    for step in story["steps"]:
        assert all(step[field] in page for field in ("step", "name", "route"))
        assert (step.get("reason") or step["outcome"]) in page
    assert story["details"]["delivery"] in page
    assert '"event": "MODEL_VERSION_TRANSITIONED_STAGE",\n  "' in page, "the payload is pretty-printed"


def test_each_page_lets_nothing_run_and_nothing_be_fetched(relay: Relay, model: str) -> None:
    event, browser = parked(relay, model), Browser(relay)
    pages = [browser.open("events"), browser.open("events", state="no such"), browser.open(f"events/{event}")]
    pages += [browser.open(f"events/{event}/confirm", action="resolve", step=ONCE), browser.open("events/none")]
    pages += [browser.open("routes"), browser.open("routes", action="stop", route=ROUTE)]
    assert [page.status_code for page in pages] == [200, 400, 200, 200, 404, 200, 200]
    for page in pages:
        policy = page.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "unsafe" not in policy
        assert "script-src" not in policy
        assert (page.headers["Cache-Control"], page.headers["Referrer-Policy"]) == ("no-store", "no-referrer")
        for tag, attributes in Tags(page.text).found:
            assert tag not in ("script", "iframe", "object", "img", "base")
            assert not [name for name in attributes if name.startswith("on") or name in ("style", "src")]
            assert tag != "link" or attributes["href"] == "data:,"


# Lists


def test_pages_of_the_list_follow_each_other_while_new_events_come(relay: Relay, model: str) -> None:
    events = [relay.comment(f"page-{model}-{number}", "x") for number in range(5)]
    for event in events:
        relay.ended(event)
    seen: list[str] = []
    query: dict[str, Any] = {"model": f"page-{model}-*", "limit": 2}
    told = ask(relay, "events", **query)
    while True:
        seen += [event["event"] for event in told["events"]]
        assert len(told["events"]) <= 2
        if told["next"] is None:
            break
        relay.ended(relay.comment(f"page-{model}-later-{len(seen)}", "x"))
        told = ask(relay, "events", **query, after=told["next"])
    assert seen == events[::-1]


def test_older_events_are_a_link_away_with_the_same_filters(relay: Relay, model: str) -> None:
    events = [relay.comment(f"page-{model}-{number}", "x") for number in range(3)]
    for event in events:
        relay.ended(event)
    first = Browser(relay).open("events", model=f"page-{model}-*", limit="2")
    (older,) = [link["href"] for link in Tags(first.text).named("a") if link.get("rel") == "next"]
    second = requests.get(urljoin(first.url, older), headers={"Accept": BROWSER}, timeout=60)
    assert re.findall(r'href="events/([0-9a-f]{64})', second.text) == events[:1]


def test_what_a_model_s_list_costs_is_told_and_bounded_by_that_model(relay: Relay, model: str) -> None:
    relay.ended(relay.comment(f"slack-{model}", "x"))
    told = ask(relay, "events", model=f"slack-{model}")
    assert (len(told["events"]), told["scanned"], told["next"]) == (1, 1, None)


@pytest.fixture
def many(relay: Relay, model: str) -> Iterator[int]:
    """More rows in the index than one page may cost, of events that are just being forgotten: their rows are gone."""
    then = datetime.now(UTC) - timedelta(days=3)
    place, day = 10**15 - int(then.timestamp() * 1000), then.date().isoformat()
    rows = [
        {
            "PartitionKey": day,
            "RowKey": f"{place:016d}-{number:064x}",
            "event": f"{number:064x}",
            "happened": then,
            "type": "comment.created",
            "model": f"many-{model}",
        }
        for number in range(MAX_READ + 20)
    ]
    chunks = [rows[start : start + 100] for start in range(0, len(rows), 100)]
    table = relay.table("recent")
    for chunk in chunks:
        table.submit_transaction([("upsert", row) for row in chunk])
    yield len(rows)
    for chunk in chunks:
        table.submit_transaction([("delete", row) for row in chunk])


def test_a_page_of_the_list_costs_no_more_than_it_may_and_leads_on(relay: Relay, model: str, many: int) -> None:
    first = ask(relay, "events", model=f"many-{model}")
    assert (first["events"], first["scanned"]) == ([], MAX_READ)
    second = ask(relay, "events", model=f"many-{model}", after=first["next"])
    assert (second["events"], second["scanned"], second["next"]) == ([], many - MAX_READ, None)


def test_the_list_is_narrowed_by_route_state_and_time(relay: Relay, model: str) -> None:
    event = parked(relay, model)
    happened = datetime.fromtimestamp(relay.ended(event).event.timestamp / 1000, UTC)
    before, after = (happened + timedelta(seconds=seconds) for seconds in (-1, 1))

    def finds(**query: str) -> bool:
        return [each["event"] for each in ask(relay, "events", model=f"once-{model}", **query)["events"]] == [event]

    assert finds(route="tell-slack-once")
    assert finds(route="tell-*", state="parked")
    assert not finds(route="tell-slack")
    assert not finds(state="dead")
    assert finds(since=before.isoformat(), until=after.isoformat())
    assert finds(since=before.strftime("%Y-%m-%dT%H:%M:%S"))
    assert not finds(since=after.isoformat())
    assert not finds(until=before.isoformat())


@pytest.mark.parametrize(
    "query",
    [{"after": "x"}, {"after": f"{'9' * 16}-{'0' * 64}"}, {"since": "yesterday"}, {"state": "no such"}, {"limit": "x"}],
)
def test_a_wrong_filter_is_told_and_can_be_mended(relay: Relay, query: dict[str, str]) -> None:
    page = Browser(relay).open("events", model="kept", **query)
    assert page.status_code == 400
    assert 'value="kept"' in page.text
    problem = ask(relay, "events", **query)["error"]
    assert len(problem) > 10
    assert problem in unescape(page.text)


def test_failures_are_counted_in_the_hour_in_which_they_happen(relay: Relay, model: str) -> None:
    def failed() -> int:
        hours = ask(relay, "events", limit=1)["hours"]
        assert len(hours) == 24
        return sum(hour["failures"] for hour in hours)

    before = failed()
    dead(relay, model)
    parked(relay, model)
    assert failed() == before + 2
    page = Browser(relay).open("events").text
    assert f"and {failed()} failures in the last 24 hours" in page


def test_the_index_of_failures_forgets(relay: Relay) -> None:
    old = {
        "PartitionKey": "2020-01-01",
        "RowKey": "old",
        "event": "e",
        "route": "r",
        "at": datetime(2020, 1, 1, tzinfo=UTC),
    }
    relay.ended(dead_event := dead(relay, "forgets"))
    relay.table("failures").upsert_entity(old)
    assert failures.forget(datetime(2021, 1, 1, tzinfo=UTC), 10) == 1
    now = datetime.now(UTC)
    assert list(failures.since(now - timedelta(hours=1), now)), f"that of {dead_event} is still there"


# The key


def test_our_links_bear_the_key_of_the_address_and_links_outward_do_not(relay: Relay, model: str) -> None:
    event = relay.stage_change(f"release-{model}")
    release = relay.ended(event).steps[RELEASE].link
    page = Browser(relay).open(f"events/{event}")
    links = Tags(page.text).named("a")
    outward = [link for link in links if urlsplit(link["href"]).netloc]
    assert [(link["href"], link["rel"]) for link in outward] == [(release, "noopener noreferrer")]
    assert "code" not in parse_qs(urlsplit(release).query)
    for link in links:
        if link not in outward:
            reply = requests.get(urljoin(page.url, link["href"]), headers={"Accept": BROWSER}, timeout=60)
            assert (reply.status_code, reply.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


def test_a_key_that_came_in_a_header_is_not_written_into_the_page(relay: Relay, model: str) -> None:
    event = parked(relay, model)
    headers = {"Accept": BROWSER, "x-functions-key": relay.system.function_key}
    for path in ("events", f"events/{event}", f"events/{event}/confirm?action=resolve&step={ONCE}", "routes"):
        page = requests.get(f"{relay.worker.url}/api/{path}", headers=headers, timeout=60)
        assert page.status_code == 200
        assert relay.system.function_key not in page.text


# Forms


def test_a_parked_step_is_resolved_with_two_presses_and_says_who_did_it(relay: Relay, model: str) -> None:
    event, browser = parked(relay, model), Browser(relay)
    (button,) = [a for a in Tags(browser.open(f"events/{event}").text).named("a") if "action=resolve" in a["href"]]
    question = browser.open(urljoin(f"events/{event}", button["href"]).partition("?")[0], action="resolve", step=ONCE)
    assert relay.ended(event).steps[ONCE].state is State.PARKED, "the question decides nothing"

    done = browser.press(question, name="Ada", outcome="<b>seen</b> in the channel")
    assert done.status_code == 303
    shown = requests.get(urljoin(done.url, done.headers["Location"]), headers={"Accept": BROWSER}, timeout=60)
    assert shown.url.partition("?")[0] == f"{browser.root}events/{event}"
    step = relay.ended(event).steps[ONCE]
    assert (step.state, step.outcome) == (
        State.SUCCEEDED,
        "resolved by Ada (name as given): <b>seen</b> in the channel",
    )
    assert "Resolved: the route goes on" in shown.text
    assert "&lt;b&gt;seen&lt;/b&gt; in the channel" in shown.text


def test_a_replay_keeps_its_form_from_being_sent_twice(relay: Relay, model: str) -> None:
    event, browser = parked(relay, model), Browser(relay)
    question = browser.open(f"events/{event}/confirm", action="replay", step=ONCE)
    assert browser.press(question, name="Ada").status_code == 303
    step = step_of(relay, event, ONCE, 1)
    assert step.state is State.SUCCEEDED
    assert "replayed, by Ada (name as given)" in [moment.note for moment in step.history]
    again = browser.press(question, name="Ada")
    assert again.status_code == 403
    assert "has changed meanwhile" in again.text
    assert relay.ended(event).steps[ONCE].reopened == 1


def test_all_that_is_dead_is_replayed_and_an_unrouted_event_is_routed_again(relay: Relay, model: str) -> None:
    event, browser = dead(relay, model), Browser(relay)
    assert browser.press(browser.open(f"events/{event}/confirm", action="replay_dead"), name="Ada").status_code == 303
    assert step_of(relay, event, RELEASE, 1).state is State.DEAD
    unrouted = relay.comment(f"unrouted-{model}", "x")
    relay.ended(unrouted)
    assert "action=route" in browser.open(f"events/{unrouted}").text
    assert browser.press(browser.open(f"events/{unrouted}/confirm", action="route"), name="Ada").status_code == 303


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"outcome": "done"}, "Give your name"),
        ({"name": " ", "outcome": "x"}, "Give your name"),
        ({"name": "A"}, "Say what"),
    ],
)
def test_half_a_form_is_asked_again(relay: Relay, model: str, fields: dict[str, str], says: str) -> None:
    event, browser = parked(relay, model), Browser(relay)
    reply = browser.press(browser.open(f"events/{event}/confirm", action="resolve", step=ONCE), headers=None, **fields)
    assert reply.status_code == 400
    assert says in reply.text
    assert relay.ended(event).steps[ONCE].state is State.PARKED
    assert browser.press(reply, name="Ada", outcome="done").status_code == 303, "the form it shows is good"


def test_a_form_without_our_token_or_with_that_of_another_form_is_refused(relay: Relay, model: str) -> None:
    event, browser = parked(relay, model), Browser(relay)
    question = browser.open(f"events/{event}/confirm", action="resolve", step=ONCE)
    (token,) = [field["value"] for field in Tags(question.text).named("input") if field["name"] == "token"]
    until_, _, signature = token.partition(".")
    wrong = ["", "x", token[:-1], f"{int(until_) + 1}.{signature}", f".{signature}", f"{until_}.", "é.é"]
    for forged in wrong:
        assert browser.press(question, token=forged, name="Eve", outcome="x").status_code == 403, forged
    for action in ("force", "replay"):  # that are done at another address too
        goal = f"{browser.root}events/{event}/replay?code={browser.key}"
        form = {"token": token, "action": action, "step": ONCE, "name": "Eve"}
        assert requests.post(goal, data=form, timeout=60).status_code == 403
    assert relay.ended(event).steps[ONCE].state is State.PARKED


def test_a_token_is_of_use_to_one_person_for_one_hour(relay: Relay) -> None:
    now = datetime.now(UTC)
    asked, other = (Asked({}, {"code": code}) for code in ("one", "other"))
    token = asked.token("a purpose", now)
    assert asked.has_token(token, "a purpose", now + FORM_LIFE - timedelta(seconds=2))
    assert not asked.has_token(token, "a purpose", now + FORM_LIFE + timedelta(seconds=2))
    assert not asked.has_token(token, "another purpose", now)
    assert not other.has_token(token, "a purpose", now)


FOREIGN: list[dict[str, str]] = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "https://evil.example.com"},
    {"Origin": "http://127.0.0.1:1"},
]


@pytest.mark.parametrize("foreign", FOREIGN, ids=str)
def test_what_another_site_makes_a_browser_send_is_refused(relay: Relay, model: str, foreign: dict[str, str]) -> None:
    event, browser = parked(relay, model), Browser(relay)
    question = browser.open(f"events/{event}/confirm", action="resolve", step=ONCE)
    sent = {"Sec-Fetch-Site": "", **foreign}
    assert browser.press(question, headers=sent, name="Ada", outcome="x").status_code == 403
    key = {"x-functions-key": relay.system.function_key}
    for path, body in (("resolve", {"step": ONCE, "outcome": "x"}), ("replay", {"step": ONCE})):
        url = f"{relay.worker.url}/api/events/{event}/{path}"
        assert requests.post(url, json=body, headers={**key, **foreign}, timeout=60).status_code == 403
    url = f"{relay.worker.url}/api/routes/{ROUTE}/stop"
    assert requests.post(url, json={"reason": "x"}, headers={**key, **foreign}, timeout=60).status_code == 403
    assert relay.ended(event).steps[ONCE].state is State.PARKED


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"])
def test_json_that_a_form_could_send_needs_the_key_in_a_header(relay: Relay, model: str, kind: str) -> None:
    event, code = parked(relay, model), relay.system.function_key
    url = f"{relay.worker.url}/api/events/{event}/resolve"
    body = f'{{"step": "{ONCE}", "outcome": "x"}}'
    forged = requests.post(f"{url}?code={code}", data=body, headers={"Content-Type": kind}, timeout=60)
    assert (forged.status_code, forged.json()) == (403, {"error": "send the body as Content-Type: application/json"})
    curl = requests.post(url, data=body, headers={"Content-Type": kind, "x-functions-key": code}, timeout=60)
    assert curl.status_code == 200


def test_what_can_not_be_done_any_more_is_told_instead_of_asked(relay: Relay, model: str) -> None:
    event = relay.comment(f"slack-{model}", "x")
    relay.ended(event)
    browser = Browser(relay)
    for action, step, status in (
        ("resolve", "tell-slack.slack", 409),
        ("resolve", "no-such", 404),
        ("sing", "tell-slack.slack", 400),
        ("force", "tell-slack.slack", 200),
    ):
        page = browser.open(f"events/{event}/confirm", action=action, step=step)
        assert (page.status_code, "<form" in page.text) == (status, status == 200)


# Who did it


@pytest.fixture(scope="module")
def signed_in(system: Any) -> str:
    """The URL of a worker behind App Service authentication."""
    settings = {**IMPATIENT, **DEAF, "WEBSITE_AUTH_ENABLED": "True"}
    return str(system.worker(settings).url)


def test_the_signed_in_account_is_kept_and_asked_for_no_name(relay: Relay, signed_in: str, model: str) -> None:
    event = parked(relay, model)
    ada = Browser(relay, signed_in, **{"X-MS-CLIENT-PRINCIPAL-NAME": "ada@example.com"})
    question = ada.open(f"events/{event}/confirm", action="resolve", step=ONCE)
    assert "You are <bdi>ada@example.com</bdi>" in question.text
    eve = {"X-MS-CLIENT-PRINCIPAL-NAME": "eve@example.com"}
    assert ada.press(question, headers=eve, outcome="x").status_code == 403, "the form was made for another account"
    assert ada.press(question, outcome="seen", name="Bob").status_code == 303
    assert relay.ended(event).steps[ONCE].outcome == "resolved by ada@example.com: seen"


def test_the_signed_in_account_is_kept_for_json_too(relay: Relay, signed_in: str, model: str) -> None:
    event = parked(relay, model)
    headers = {"x-functions-key": relay.system.function_key, "X-MS-CLIENT-PRINCIPAL-NAME": "ada@example.com"}
    reply = requests.post(f"{signed_in}/api/events/{event}/replay", json={"step": ONCE}, headers=headers, timeout=60)
    assert reply.status_code == 200
    assert "replayed, by ada@example.com" in [moment.note for moment in step_of(relay, event, ONCE, 1).history]


# Approvals and routes


def test_another_site_can_not_answer_a_question_in_somebody_s_name(relay: Relay, model: str) -> None:
    event, browser = relay.stage_change(f"approve-{model}"), Browser(relay)
    until(lambda: relay.row(event, "approved-by-link.approval").get("state") == "waiting")
    page = browser.open(f"events/{event}")
    (href,) = [link["href"] for link in Tags(page.text).named("a") if "approvals/" in link["href"]]
    link = urljoin(page.url, href)
    form = {"decision": "approve", "name": "Ada"}
    for foreign in FOREIGN:
        assert requests.post(link, data=form, headers=foreign, timeout=60).status_code == 403
    assert relay.row(event, "approved-by-link.approval")["state"] == "waiting"
    sent = {"Sec-Fetch-Site": "same-origin", "Origin": "null"}
    assert requests.post(link, data=form, headers=sent, timeout=60).status_code == 200
    assert relay.ended(event).steps["approved-by-link.approval"].state is State.SUCCEEDED


@pytest.fixture
def running(relay: Relay) -> Iterator[Browser]:
    yield Browser(relay)
    key = {"x-functions-key": relay.system.function_key}
    requests.post(f"{relay.worker.url}/api/routes/{ROUTE}/start", headers=key, timeout=60)


def test_a_route_is_stopped_and_started_with_a_form(relay: Relay, running: Browser) -> None:
    question = running.open("routes", action="stop", route=ROUTE)
    assert running.press(question, name="Ada").status_code == 400, "it wants a reason"
    done = running.press(question, name="Ada", reason="wrong <test> set")
    assert done.status_code == 303
    shown = requests.get(urljoin(done.url, done.headers["Location"]), headers={"Accept": BROWSER}, timeout=60)
    assert "wrong &lt;test&gt; set (Ada (name as given))" in shown.text
    assert "wrong &lt;test&gt; set" in running.open("events").text
    assert running.press(question, name="Ada", reason="again").status_code == 403
    question = running.open("routes", action="start", route=ROUTE)
    assert running.press(question, name="Ada").status_code == 303
    assert "wrong &lt;test&gt; set" not in running.open("routes").text
