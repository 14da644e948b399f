"""Apprise: its answers become outcomes, its URLs are secrets, and its services are no way into the network within."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from handlers.targets import notify
from handlers.targets.notify import Options, connect
from local.faults import Faults
from local.receiver import Receiver
from shared.attempts import Access, Attempt
from shared.errors import AmbiguousFailure, Failure, PermanentFailure
from shared.settings import settings
from shared.steps import State, Step
from tests.conftest import Relay

TOKEN = "a-part-of-the-url-that-nobody-may-see"
SLACK = "slack://TAAAAAAAA/BBBBBBBBB/CCCCCCCCCCCCCCCCCCCCCCCC/#general"
DISCORD = "discord://123456789012345678/abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def url(receiver: Receiver, name: str, query: str = "") -> str:
    return f"{receiver.url.replace('http://', 'json://')}/{name}/{TOKEN}{query}"


@pytest.fixture
def receiver(relay: Relay) -> Iterator[Receiver]:
    receiver = relay.system.receiver
    # what a URL says of retries and redirects would send twice, or to elsewhere
    relay.system.vault.set("notify-one", url(receiver, "one", "?retry=2&wait=0&redirect=yes&optional=yes"))
    relay.system.vault.set("notify-several", f"{url(receiver, 'first')}\n{url(receiver, 'second')} ")
    yield receiver
    receiver.faults.clear()


def told(relay: Relay, prefix: str, model: str, comment: str = "hello") -> Step:
    [step] = relay.ended(relay.comment(f"{prefix}-{model}", comment)).steps.values()
    assert TOKEN not in str(step)
    return step


def messages(receiver: Receiver, name: str, model: str) -> list[dict[str, Any]]:
    bodies = [json.loads(each.body) for each in receiver.received if each.name == name]
    return [body for body in bodies if model in body["title"]]


def posts(faults: Faults, name: str, model: str) -> int:
    return len([call for call in faults.calls("POST", f"^/{name}/") if model in str(call.body)])


def test_a_message_has_a_title_a_text_and_a_type(relay: Relay, receiver: Receiver, model: str) -> None:
    step = told(relay, "notify", model, "is ready\nfor you")
    assert (step.state, step.outcome) == (State.SUCCEEDED, "JSON took the message")
    [message] = messages(receiver, "one", model)
    assert (message["title"], message["message"]) == (f"notify-{model}", "is ready\nfor you")
    assert message["type"] == "warning"


HOSTILE = [
    "<!channel> <https://evil.example|here>",
    "@everyone @here",
    "[here](https://evil.example)",
    "a\x00b\x1b[31m\u202e",
]


@pytest.mark.parametrize("comment", HOSTILE)
def test_a_hostile_comment_calls_nobody_and_makes_no_link(
    relay: Relay, receiver: Receiver, model: str, comment: str
) -> None:
    assert told(relay, "notify", model, comment).state is State.SUCCEEDED
    [message] = messages(receiver, "one", model)
    assert not any(sign in message["message"] for sign in ("<", ">", "@e", "@h", "](", "\x00", "\x1b", "\u202e"))


@pytest.mark.parametrize("loss", [{"drop": True}, {"status": 500}], ids=["dropped", "500"])
def test_a_message_whose_reply_was_lost_is_sent_again(
    relay: Relay, receiver: Receiver, model: str, loss: dict[str, Any]
) -> None:
    receiver.faults.add("POST", "^/one/", before=False, **loss)
    assert told(relay, "notify", model).state is State.SUCCEEDED
    assert len(messages(receiver, "one", model)) == 2


@pytest.mark.parametrize("loss", [{"drop": True}, {"status": 500}], ids=["dropped", "500"])
def test_a_message_that_may_come_once_only_is_left_to_a_person_when_its_reply_was_lost(
    relay: Relay, receiver: Receiver, model: str, loss: dict[str, Any]
) -> None:
    receiver.faults.add("POST", "^/one/", before=False, **loss)
    step = told(relay, "single-notify", model)
    assert step.state is State.PARKED
    assert "it may have happened" in step.reason
    assert posts(receiver.faults, "one", model) == 1


def test_a_throttled_message_is_sent_again_even_where_once_is_the_limit(
    relay: Relay, receiver: Receiver, model: str
) -> None:
    receiver.faults.add("POST", "^/one/", status=429)
    step = told(relay, "single-notify", model)
    assert (step.state, step.attempts) == (State.SUCCEEDED, 2)
    assert len(messages(receiver, "one", model)) == 1


@pytest.mark.parametrize("status", [302, 400, 403, 404])
def test_a_refusal_ends_the_step_with_the_services_reason(
    relay: Relay, receiver: Receiver, model: str, status: int
) -> None:
    receiver.faults.add("POST", "^/one/", status=status, headers={"Location": f"{receiver.url}/elsewhere"})
    step = told(relay, "notify", model)
    assert step.state is State.DEAD
    assert step.reason.startswith("JSON: Failed to send JSON POST notification")
    assert f"error={status}" in step.reason
    assert posts(receiver.faults, "one", model) == 1
    assert not receiver.faults.calls("*", "^/elsewhere")


def test_of_several_services_only_the_one_that_did_not_take_it_gets_it_again(
    relay: Relay, receiver: Receiver, model: str
) -> None:
    receiver.faults.add("POST", "^/first/", status=500)
    step = told(relay, "several-notify", model)
    assert (step.state, step.outcome) == (State.SUCCEEDED, "JSON, JSON took the message")
    assert [posts(receiver.faults, name, model) for name in ("first", "second")] == [2, 1]


def test_a_service_that_refuses_keeps_the_message_from_no_other(relay: Relay, receiver: Receiver, model: str) -> None:
    receiver.faults.add("POST", "^/first/", status=404)
    assert told(relay, "several-notify", model).state is State.DEAD
    assert len(messages(receiver, "second", model)) == 1


def test_a_url_that_apprise_cannot_use_ends_the_step_without_showing_it(relay: Relay, model: str) -> None:
    relay.system.vault.set("notify-bad", f"{SLACK} no-such-scheme://{TOKEN}")
    step = told(relay, "bad-notify", model)
    assert step.state is State.DEAD
    assert step.reason == "secret 'notify-bad': URL 2 is none that Apprise can send to from here"


def services(urls: str) -> list[notify.Service]:
    access: Callable[..., Any] = lambda name: urls  # noqa: E731
    return connect(Options(url_secret="a", text="hello"), Access(secret=access, registry=access))


def test_many_services_are_known_by_their_urls() -> None:
    found = services(f"{SLACK}\n{DISCORD} mailto://user:password@example.com")
    assert [service.name for service in found] == ["Slack", "Discord", "E-Mail"]
    assert "CCCC" not in str(found)
    assert "password" not in str(found)


@pytest.mark.parametrize(
    "bad",
    [
        "syslog://",
        "windows://",
        "macosx://",
        "dbus://",
        "DBUS://",
        "gnome://",
        "slack://",
        "json://",
        "http://",
        "x",
        " ",
        SLACK + f" {SLACK}" * 10,
    ],
)
def test_what_reaches_no_person_is_no_service(bad: str) -> None:
    with pytest.raises(PermanentFailure, match=r"^secret 'a'"):
        services(bad)


def attempt(urls: str) -> Attempt:
    given: dict[str, Any] = {
        "key": "",
        "marker": "",
        "progress": {},
        "started": None,
        "step": "",
        "save": lambda progress: None,
    }
    return Attempt(options=Options(url_secret="a", text="hello"), connection=services(urls), **given)


@pytest.fixture
def _in_azure(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("KEY_VAULT_URL", "https://relay.vault.azure.net")
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.mark.usefixtures("_in_azure")
@pytest.mark.parametrize("scheme", ["json", "xml", "form", "apprise", "gotify", "mailto"])
def test_in_azure_no_service_is_a_way_to_a_private_address(scheme: str, receiver: Receiver) -> None:
    port = receiver.url.rpartition(":")[2]
    before = len(receiver.faults.log)
    host = f"user:password@127.0.0.1:{port}" if scheme == "mailto" else f"localhost:{port}/{'a' * 15}"
    with pytest.raises(Failure) as error:
        notify.start(attempt(f"{scheme}://{host}" + ("?from=a@b.example&to=a@b.example" if scheme == "mailto" else "")))
    assert isinstance(error.value, PermanentFailure)
    assert "which is no public address" in error.value.reason
    assert len(receiver.faults.log) == before


@pytest.mark.usefixtures("_in_azure")
@pytest.mark.parametrize("host", ["169.254.169.254", "168.63.129.16", "10.0.0.1", "[fd00:ec2::254]"])
def test_in_azure_the_platforms_own_addresses_are_out_of_reach(host: str) -> None:
    with pytest.raises(PermanentFailure, match="which is no public address"):
        notify.start(attempt(f"json://{host}/metadata/instance"))


def test_a_service_that_cannot_be_reached_leaves_in_doubt_whether_the_message_came(relay: Relay) -> None:
    with pytest.raises(AmbiguousFailure) as error:
        notify.start(attempt(f"json://127.0.0.1:9/{TOKEN}"))
    assert error.value.reason == "JSON: A Connection error occurred sending JSON notification to …."


def test_a_message_that_came_to_one_of_two_channels_is_in_doubt_however_the_other_was_refused(
    receiver: Receiver, model: str
) -> None:
    receiver.faults.add("POST", f"^/{model}/", status=429)
    place = f"{receiver.url.removeprefix('http://')}/{model}/{'a' * 26}"
    with pytest.raises(AmbiguousFailure, match="error=429"):
        notify.start(attempt(f"mmost://{place}?channels=one,two"))
    assert len([each for each in receiver.received if each.name == model]) == 1
