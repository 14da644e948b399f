"""What people write in a registry is sent, signed rightly, through the running app: names, versions, stages, aliases,
tags and comments that a shell, a pipeline, a chat, a page or a log would read as more than text.

What executes never gets one of them; what shows gets them as text; the log and the ledger keep their form.
"""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from typing import Any, NamedTuple

import pytest
import requests

from local import sender
from local.aks import Cluster
from local.faults import Call
from local.system import System
from shared import telemetry
from shared.errors import PermanentFailure
from shared.steps import State
from shared.stories import Story
from shared.templates import harmless
from tests.conftest import Relay, until
from tests.handlers.targets.registries import commented
from tests.handlers.test_pages import BROWSER, Tags

FORGED = "2026-11-20 22:00:00,000 ERROR relay.step: forged"
CARD = '"}]},{"type":"Action.OpenUrl","url":"https://evil.example"},{"x":"'
CORPUS: dict[str, tuple[str, str]] = {
    "semicolon": ("; touch CANARY && >x | y \\ *", ";"),
    "command": ("$(id)", "$"),
    "backticks": ("`id`", "`"),
    "quote": ("'; id; '", "'"),
    "encoded line": ("%0aid", "%"),
    "logging command": ("##vso[task.setvariable variable=x]y", "#"),
    "logging command on a line": ("\n##vso[task.complete result=Succeeded]", "\n"),
    "template expression": ("${{ variables.x }}", "$"),
    "runtime expression": ("$[ variables.x ]", "$"),
    "secret reference": ("{{secrets/a/b}}", "{"),
    "placeholder": ("{steps.slack.link}", "{"),
    "log line": (f"\n{FORGED}", "\n"),
    "header": ("\r\nX-Evil: 1\r\n\r\n", "\r"),
    "unicode line": ("\u2028x\u0085y", "\u2028"),
    "right to left": ("\u202etxt.exe", "\u202e"),
    "nothing": ("\x00", "\x00"),
    "terminal": ("\x1b[2J\x07", "\x1b"),
    "emoji": ("🍷", "🍷"),
    "accent": ("é", "é"),
    "way out": ("/../../etc", ".."),
    "query": ("?x=1#y", "?"),
    "everybody": ("<!channel> <@U1> <!subteam^S1>", "<"),
    "slack link": ("<https://evil.example|click>", "<"),
    "markdown link": ("[x](https://evil.example)", "["),
    "markdown": ("*b* _i_ ~s~ # h", "*"),
    "teams mention": ("<at>everyone</at>", "<"),
    "html": ("<script>alert(1)</script><img src=x onerror=alert(1)>", "<"),
    "card": (CARD, '"'),
    "entity": ("&lt;!channel&gt; &#60;b&#62;", "&"),
    "formula": ("=cmd|' /C calc'!A0", "|"),
    "long": (f"{'x' * 4096}`", "`"),
}
THOROUGH = (
    "semicolon",
    "command",
    "logging command",
    "secret reference",
    "log line",
    "header",
    "way out",
    "long",
    "harmless",
)
EXECUTE = ("run", "release", "job", "aks", "aml", "url", "text")
FIELDS = ("comment", "tag", "stage", "alias", "version")
SHOW = ("slack", "teams", "notify", "http")
SOME = ("logging command", "runtime expression", "log line", "header", "way out")


class Sent(NamedTuple):
    """A delivery that was taken, and what came of it: `mark` stands in the model's name alone."""

    mark: str
    model: str
    comment: str
    story: Story


@pytest.fixture(scope="module")
def cluster(system: System) -> Iterator[Cluster]:
    system.vault.set("hostile-notify", f"{system.receiver.url.replace('http://', 'json://')}/hostile")
    system.databricks.add_job(62, "Hostile", parameters=["model_name"])
    system.ml.add_workspace("00000000-1111-2222-3333-444444444444", "models", "hostile")
    system.databricks_live.faults.add("POST", "^/hostile/", times=None, status=200, body={})
    yield system.aks.add_cluster("00000000-0000-0000-0000-00000000aaaa", "serving", "hostile-cluster")
    system.databricks_live.faults.clear()


@pytest.fixture(scope="module")
def sent(system: System, worker: Any, cluster: Cluster) -> dict[str, Sent]:
    """Each value in a model's name and its comment, and one that is harmless; all have come to their end.

    All go to a pipeline and to what shows them, some to each target that executes. These come at least once: on a
    machine that is too busy to answer in time a message is sent again, and then the value is, so that each test
    looks at what was sent once.
    """
    relay = Relay(system, worker)

    def send(name: str) -> tuple[str, str, str, str]:
        mark, value = uuid.uuid4().hex[:10], CORPUS[name][0] if name in CORPUS else "-3"
        all_ways = "all-" if name in THOROUGH else ""
        model, comment = f"hostile-name-{all_ways}{mark}{value}", f"said {mark}{value}"
        return mark, model, comment, relay.comment(model, comment)

    def sent_once(names: list[str], patience: int = 3) -> dict[str, Sent]:
        with ThreadPoolExecutor(8) as pool:
            taken = list(pool.map(send, names))
        stories = [relay.ended(event, 120) for *_, event in taken]
        found = {name: Sent(*told[:3], story) for name, told, story in zip(names, taken, stories, strict=True)}
        twice = [name for name, each in found.items() if more_than_once(each.story) and patience]
        return found | (sent_once(twice, patience - 1) if twice else {})

    return sent_once([*CORPUS, "harmless"])


def more_than_once(story: Story) -> bool:
    again = [step for step in story.steps.values() if step.attempts > 1]
    for step in again:
        notes = "; ".join(f"{moment.at:%H:%M:%S} {moment.state} {moment.note}" for moment in step.history)
        warnings.warn(f"{step.id} took {step.attempts} attempts: {notes}", stacklevel=1)
    return bool(again)


@pytest.fixture(scope="module")
def elsewhere(system: System, worker: Any) -> dict[tuple[str, str], tuple[str, Story]]:
    """Some of the values in each other field of an event, with a mark that the model's name bears."""
    relay, cases = Relay(system, worker), [(field, name) for field in FIELDS for name in SOME]

    def send(case: tuple[str, str]) -> tuple[str, str]:
        mark = uuid.uuid4().hex[:10]
        return mark, report(relay, f"hostile-field-{mark}", case[0], f"x{CORPUS[case[1]][0]}")

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(send, cases))
    return {case: (mark, relay.ended(event, 120)) for case, (mark, event) in zip(cases, taken, strict=True)}


def executing(name: str) -> list[str]:
    return [f"hostile-{route}" for route in (EXECUTE if name in THOROUGH else EXECUTE[:1])]


def calls_with(system: System, mark: str) -> list[Call]:
    """Whatever reached a service that executes, with this mark in it."""
    stand_ins = (system.devops, system.arm, system.databricks, system.databricks_live)
    found = [call for each in stand_ins for call in each.faults.log if mark in f"{call.path} {call.query} {call.body}"]
    return [call for call in found if call.path != "/hostile/body"]


def in_clusters(cluster: Cluster, mark: str) -> bool:
    return any(mark in str(command.files) for command in cluster.commands)


def test_a_harmless_value_reaches_everything_that_executes(
    relay: Relay, sent: dict[str, Sent], cluster: Cluster
) -> None:
    mark = sent["harmless"].mark
    paths = " ".join(f"{call.method} {call.path}" for call in calls_with(relay.system, mark))
    for way in ("/pipelines/6/runs", "/Release/releases", "/jobs/run-now", "/models/", "/hostile/url", "/hostile/text"):
        assert way in paths
    assert in_clusters(cluster, mark), paths


@pytest.mark.parametrize("name", CORPUS)
def test_a_hostile_name_reaches_nothing_that_executes_and_the_reason_names_what_is_wrong(
    relay: Relay, sent: dict[str, Sent], cluster: Cluster, name: str
) -> None:
    steps = {step.route: step for step in sent[name].story.steps.values()}
    for route in executing(name):
        step = steps[route]
        assert (step.state, step.attempts) == (State.DEAD, 0), route
        assert f"holds {CORPUS[name][1]!r}" in step.reason or "would lead elsewhere" in step.reason, route
        assert step.reason.isprintable()
    assert calls_with(relay.system, sent[name].mark) == []
    assert not in_clusters(cluster, sent[name].mark)


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("field", FIELDS)
def test_no_other_field_of_an_event_is_a_way_around(
    relay: Relay, elsewhere: dict[tuple[str, str], tuple[str, Story]], field: str, name: str
) -> None:
    mark, story = elsewhere[field, name]
    step = story.steps[f"hostile-{field}.azure_devops_pipeline"]
    assert (step.state, step.attempts) == (State.DEAD, 0)
    assert f"holds {CORPUS[name][1]!r} where it may not stand" in step.reason
    assert calls_with(relay.system, mark) == []


def report(relay: Relay, model: str, field: str, value: str) -> str:
    """Send an event in which a field has this value; return its id."""
    if field == "comment":
        return relay.comment(model, value)
    if field == "stage":
        return relay.stage_change(model, to_stage=value)
    if field == "alias":
        data = {"name": model, "version": "1", "alias": value}
        reply = relay.mlflow(sender.mlflow_body("model_version_alias", "created", data))
    else:
        version = value if field == "version" else "1"
        event = "MODEL_VERSION_CREATED" if field == "version" else "MODEL_VERSION_TAG_SET"
        tags = [{"key": "note", "value": value}]
        now = int(time.time() * 1000)
        body = {"event": event, "event_timestamp": now, "model_name": model, "version": version, "tags": tags}
        reply = relay.databricks(body)
    assert reply.status_code == 202, reply.text
    return str(reply.json()["event"])


@pytest.mark.parametrize(
    "value", ["/../../tags", "?x=1#y", "' or name like '%", '"; x', "%2e%2e%2f", "&name=other", "<b>"]
)
def test_a_registry_is_asked_about_a_name_by_its_value_alone(relay: Relay, model: str, value: str) -> None:
    name = f"reg-tag-{model}{value}"
    assert commented(relay, name).state is State.DEAD, "there is no such model"
    calls = [call for call in relay.system.databricks.faults.log if model in f"{call.path} {call.query} {call.body}"]
    assert calls
    for call in calls:
        assert re.fullmatch(r"/api/2\.0/mlflow/(databricks/)?[a-z/-]+", call.path)
        assert (call.body or call.query)["name"] == name


@pytest.mark.parametrize("name", CORPUS)
def test_slack_gets_it_as_text_that_calls_nobody(relay: Relay, sent: dict[str, Sent], name: str) -> None:
    [message] = [
        each for each in relay.system.chat.messages if each.service == "slack" and sent[name].mark in each.text
    ]
    assert list(message.payload) == ["text"]
    assert not set("<>") & set(message.text)
    assert not re.search(r"&(?!amp;|lt;|gt;)", message.text)
    assert slack_reads(message.text) == f"{sent[name].model}: {sent[name].comment}"


def slack_reads(text: str) -> str:
    """Slack knows three escapes and no more."""
    return re.sub("&(amp|lt|gt);", lambda match: unescape(match[0]), text)


@pytest.mark.parametrize("name", CORPUS)
def test_teams_gets_a_card_of_two_texts_without_links_or_actions(
    relay: Relay, sent: dict[str, Sent], name: str
) -> None:
    [message] = [
        each for each in relay.system.chat.messages if each.service == "teams" and sent[name].mark in each.text
    ]
    [attachment] = message.payload["attachments"]
    title, text = attachment["content"]["body"]
    assert set(attachment["content"]) == {"$schema", "type", "version", "body"}, "no actions, no mentions"
    assert [title["type"], text["type"]] == ["TextBlock", "TextBlock"]
    for shown, meant in ((title["text"], sent[name].model), (text["text"], sent[name].comment)):
        plain, signs = teams_reads(shown)
        assert not set(signs) & set("[]*`~"), "nothing that Markdown would read"
        assert "\n" not in shown
        if name != "long":  # a title is cut
            assert plain == " ".join(meant.split())


def teams_reads(text: str) -> tuple[str, str]:
    """The text without its escapes, and what of it is not escaped."""
    escaped = re.compile(r"\\([\\`*\[\]~_])")
    return escaped.sub(r"\1", text), escaped.sub("", text)


@pytest.mark.parametrize("name", CORPUS)
def test_other_services_get_it_without_what_calls_or_links(relay: Relay, sent: dict[str, Sent], name: str) -> None:
    bodies = [json.loads(each.body) for each in relay.system.receiver.received if each.name == "hostile"]
    [body] = [body for body in bodies if sent[name].mark in body["title"]]
    for shown in (body["title"], body["message"]):
        assert not set("<>") & set(shown)
        assert "](" not in shown
        assert not re.search(r"@\w", shown)
        assert shown.replace("\n", "").replace("\u2060", "").isprintable()


@pytest.mark.parametrize("name", CORPUS)
def test_an_api_gets_it_as_data(relay: Relay, sent: dict[str, Sent], name: str) -> None:
    calls = relay.system.databricks_live.faults.calls("POST", "^/hostile/body$")
    [call] = [call for call in calls if sent[name].mark in call.body["model"]]
    assert call.body == {"model": sent[name].model, "said": sent[name].comment}
    assert call.query == {}
    assert "X-Evil" not in call.headers


@pytest.mark.parametrize("name", CORPUS)
def test_the_ledger_keeps_it_as_it_was_and_each_step_has_ended(sent: dict[str, Sent], name: str) -> None:
    story = sent[name].story
    assert (story.event.model, story.event.comment) == (sent[name].model, sent[name].comment)
    assert json.loads(story.event.payload)["model_name"] == sent[name].model
    assert set(story.steps) == {step.id for step in story.steps.values()}
    assert set(story.routes) == {*executing(name), "hostile-shown"}
    shown = [step for step in story.steps.values() if step.route == "hostile-shown"]
    assert [step.name for step in sorted(shown, key=lambda step: step.created)] == list(SHOW)
    assert {step.state for step in shown} == {State.SUCCEEDED}


@pytest.mark.parametrize("name", CORPUS)
def test_the_page_of_its_event_has_no_tag_more(relay: Relay, sent: dict[str, Sent], name: str) -> None:
    plain = "long" if name in THOROUGH else "accent"
    assert shape(page(relay, sent[name])) == shape(page(relay, sent[plain]))


def page(relay: Relay, sent: Sent) -> str:
    headers = {"x-functions-key": relay.system.function_key, "Accept": BROWSER}
    reply = requests.get(f"{relay.worker.url}/api/events/{sent.story.event.id}", headers=headers, timeout=60)
    assert reply.status_code == 200
    assert sent.mark in reply.text
    return reply.text


def shape(html: str) -> list[tuple[str, list[str]]]:
    return [(tag, list(attributes)) for tag, attributes in Tags(html).found]


@pytest.mark.usefixtures("sent")
def test_no_value_begins_a_line_of_the_log(relay: Relay) -> None:
    """The cluster's pods say what they like, too, and their words are a step's reason."""
    cluster = relay.system.aks.add_cluster("00000000-0000-0000-0000-00000000aaaa", "serving", "serving-cluster")
    cluster.set(failing=True, logs=f"first\n{FORGED} by pods")
    mark = uuid.uuid4().hex[:10]
    [step] = relay.ended(relay.stage_change(f"aks-{mark}")).steps.values()
    cluster.set(failing=False, logs="")
    assert f"\n{FORGED} by pods" in step.reason
    until(lambda: f"\\n{FORGED} by pods" in relay.worker.log())
    assert not [line for line in relay.worker.log().splitlines() if line.startswith(FORGED)]


@pytest.mark.parametrize("name", ["log line", "header", "unicode line", "terminal", "right to left", "nothing"])
def test_what_is_told_is_one_line(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "relay"):
        telemetry.tell("sweep", f"event of wine{CORPUS[name][0]} 🍷")
    [record] = caplog.records
    assert record.getMessage().isprintable()
    assert record.getMessage().startswith("event of wine\\")
    assert record.getMessage().endswith(" 🍷")


@pytest.mark.parametrize("value", ["x/../y", "x/..", "models:/x/../y", "a:..", "x/../../../etc/passwd"])
def test_no_value_leads_out_of_a_folder_in_a_script(value: str) -> None:
    with pytest.raises(PermanentFailure, match=r"holds '\.\.' where it may not stand"):
        harmless(value)


@pytest.mark.parametrize("value", ["v1..2", "x/...", "a.b/c..d", "x.."])
def test_two_dots_within_a_name_are_no_way_out(value: str) -> None:
    assert harmless(value) == value
