"""Signing secrets change while deliveries come in, and Key Vault fails: nothing that is rightly signed is refused."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from local import sender
from local.faults import Fault
from local.key_vault import FORBIDDEN, THROTTLED
from local.system import System
from tests.conftest import IMPATIENT, Relay, until

CACHE_SECONDS = 3.0
NEWS_SECONDS = 1.2  # so long after it was read, a secret may have news
UNTIL_ASKED_AGAIN = 5.0  # seconds for which a failed vault is left alone
FAULTS: dict[str, dict[str, Any]] = {
    "403": {"status": 403, "body": FORBIDDEN},
    "429": {"status": 429, "body": THROTTLED, "headers": {"Retry-After": "1"}},
    "500": {"status": 500, "body": {"error": {"code": "InternalServerError", "message": "try again"}}},
    "dropped": {"drop": True},
    "hanging": {"hang": 60},
    "429 for long": {"status": 429, "body": THROTTLED, "headers": {"Retry-After": "18"}},
    "a page": {"status": 200, "body": "<html>This proxy has a few words for you</html>"},
}
FLOWS = ("uncached", "due", "mismatch")
PATIENCE = 15.0  # seconds that a registry waits for the answer
MANY = 100
WRONG = "wrong" * 8


def source_of(flow: str, fault: str) -> str:
    return f"{flow}-{fault.replace(' ', '-')}"


OUTAGES = [(flow, fault) for flow in FLOWS for fault in FAULTS]
SOURCES = ("rotated", "changed", "hammered", "crowded", "down", "slow", *(source_of(*outage) for outage in OUTAGES))


def webhook(source: str) -> str:
    return f"{source}-webhook"


def routes_file(folder: Path) -> Path:
    sources = [f"  {source}: {{kind: databricks, secret: {webhook(source)}}}\n" for source in SOURCES]
    text = 'text: "{model}: {comment}"'
    routes = [
        f"  - name: {name}\n"
        f"    when: {{event: comment.created, model: '{name}*'}}\n"
        f"    steps: [slack: {{url_secret: {secret}, {text}}}]\n"
        for name, secret in {"told": "mlops-slack", "late": "late-slack"}.items()
    ]
    file = folder / "routes.yaml"
    file.write_text("".join(["sources:\n", *sources, "routes:\n", *routes]))
    return file


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A system of its own, whose worker asks the vault again after three seconds."""
    settings = {
        "ROUTES": str(routes_file(tmp_path_factory.mktemp("rotation"))),
        "SECRET_CACHE_SECONDS": str(CACHE_SECONDS),
        "RETRY_DELAYS": ",".join(["0.5"] * 60),
        "PYTHON_THREADPOOL_THREAD_COUNT": "64",
    }
    with System() as system:
        for source in SOURCES:
            system.vault.set(webhook(source), secrets.token_hex(16))
        yield Relay(system, system.worker({**IMPATIENT, **settings}))


@pytest.fixture
def rotating(impatient: Relay) -> Iterator[Relay]:
    yield impatient
    impatient.system.vault.faults.clear()


def send(relay: Relay, source: str, secret: str = "", model: str = "quiet") -> requests.Response:
    """Send a comment, signed with the source's newest secret unless another one is given."""
    raw = json.dumps(sender.databricks_comment(model, "hello")).encode()
    headers = sender.databricks_headers(secret or relay.system.secret(webhook(source)), raw)
    return requests.post(relay.url(source), data=raw, headers=headers, timeout=PATIENCE)


def asked(relay: Relay, secret: str) -> int:
    """How often the vault was asked anything about a secret."""
    return len(relay.system.vault.faults.calls("GET", f"^/secrets/{secret}/"))


def break_vault(relay: Relay, secret: str, **fault: Any) -> Fault:
    """Fail all questions about the secret; `times = 0` of what is returned mends it."""
    return relay.system.vault.faults.add("*", f"^/secrets/{secret}/", times=None, **fault)


def told(relay: Relay, prefix: str) -> Counter[str]:
    """How many messages came of each model whose name begins so."""
    models = (message.text.partition(":")[0] for message in relay.system.chat.messages)
    return Counter(model for model in models if model.startswith(prefix))


def listed(relay: Relay, model: str) -> list[dict[str, Any]]:
    headers = {"x-functions-key": relay.system.function_key}
    url = f"{relay.worker.url}/api/events?model={model}"
    events: list[dict[str, Any]] = requests.get(url, headers=headers, timeout=60).json()["events"]
    return events


# Rotation


class Traffic(threading.Thread):
    """Sends twenty deliveries a second, each of another model, with the signers in turn."""

    def __init__(self, relay: Relay, prefix: str, signers: list[str]) -> None:
        super().__init__(daemon=True)
        self.relay, self.prefix, self.signers = relay, prefix, signers
        self.statuses: dict[str, tuple[str, int]] = {}
        self._enough = threading.Event()

    def run(self) -> None:
        while not self._enough.wait(0.05):
            secret = self.signers[len(self.statuses) % len(self.signers)]
            model = f"{self.prefix}-{len(self.statuses)}"
            self.statuses[model] = (secret, send(self.relay, "rotated", secret, model).status_code)

    def stop(self) -> None:
        self._enough.set()
        self.join()

    def signed_with(self, secret: str) -> int:
        return sum(1 for signer, _ in list(self.statuses.values()) if signer == secret)


def test_a_secret_is_rotated_under_traffic_without_a_refusal_and_the_old_one_ends_when_disabled(
    rotating: Relay, model: str
) -> None:
    vault, name = rotating.system.vault, webhook("rotated")
    old, prefix = rotating.system.secret(name), f"told-{model}"
    old_version = vault.secrets[name][-1].id
    traffic = Traffic(rotating, prefix, [old])
    traffic.start()
    until(lambda: traffic.signed_with(old) > 10)

    new = secrets.token_hex(16)
    vault.set(name, new)
    time.sleep(NEWS_SECONDS)  # the operator turns from the vault to the webhook
    traffic.signers = [old, new]
    until(lambda: traffic.signed_with(new) > 20)
    traffic.stop()
    assert {status for _, status in traffic.statuses.values()} == {202}
    until(lambda: len(told(rotating, prefix)) == len(traffic.statuses))

    vault.disable(name, old_version)
    time.sleep(CACHE_SECONDS + 0.1)
    refused = [send(rotating, "rotated", old, f"told-old-{model}").status_code for _ in range(3)]
    assert refused == [401, 401, 401]
    last = f"{prefix}-last"
    assert send(rotating, "rotated", new, last).status_code == 202
    until(lambda: told(rotating, last))
    until(lambda: rotating.queued("events") == rotating.queued("steps") == 0)
    assert listed(rotating, f"told-old-{model}") == []
    assert told(rotating, prefix) == dict.fromkeys([*traffic.statuses, last], 1)


# Outages of the vault. They take seconds of waiting each, so all of them run beside each other, once.

Answers = dict[str, requests.Response]


def uncached(relay: Relay, source: str, fault: dict[str, Any]) -> Answers:
    """No worker knows the secret yet."""
    outage = break_vault(relay, webhook(source), **fault)
    answers = {"right": send(relay, source), "wrong": send(relay, source, WRONG)}
    return answers | after(relay, source, outage)


def due(relay: Relay, source: str, fault: dict[str, Any]) -> Answers:
    """The cached secret is so old that it is time to read it again."""
    answers = {"before": send(relay, source)}
    outage = break_vault(relay, webhook(source), **fault)
    time.sleep(CACHE_SECONDS)
    before = asked(relay, webhook(source))
    answers["right"] = send(relay, source)
    assert asked(relay, webhook(source)) > before
    answers["right again"] = send(relay, source)
    return answers | after(relay, source, outage)


def mismatch(relay: Relay, source: str, fault: dict[str, Any]) -> Answers:
    """The cached secret is fresh, but does not match a signature: it may have been rotated."""
    answers = {"before": send(relay, source)}
    outage = break_vault(relay, webhook(source), **fault)
    time.sleep(NEWS_SECONDS)
    answers |= {"wrong": send(relay, source, WRONG), "wrong again": send(relay, source, WRONG)}
    answers["right"] = send(relay, source)
    return answers | after(relay, source, outage)


def after(relay: Relay, source: str, outage: Fault) -> Answers:
    """The vault is back, with a new version of the secret."""
    outage.times = 0
    time.sleep(UNTIL_ASKED_AGAIN)
    relay.system.vault.set(webhook(source), secrets.token_hex(16))
    return {"after": send(relay, source), "wrong after": send(relay, source, WRONG)}


Outages = dict[tuple[str, str], Future[Answers]]


@pytest.fixture(scope="module")
def outages(impatient: Relay) -> Outages:
    """What the app answered, by flow and fault."""
    flows: list[Callable[[Relay, str, dict[str, Any]], Answers]] = [uncached, due, mismatch]
    with ThreadPoolExecutor(len(OUTAGES)) as pool:
        return {
            (flow.__name__, name): pool.submit(flow, impatient, source_of(flow.__name__, name), fault)
            for flow in flows
            for name, fault in FAULTS.items()
        }


def statuses(outages: Outages, flow: str, fault: str) -> dict[str, int]:
    """The statuses of a flow; each 503 says when to come again."""
    answers = outages[flow, fault].result()
    assert all("Retry-After" in answer.headers for answer in answers.values() if answer.status_code == 503)
    return {moment: answer.status_code for moment, answer in answers.items()}


BACK = {"after": 202, "wrong after": 401}
each_fault = pytest.mark.parametrize("fault", FAULTS)


@each_fault
def test_without_any_secret_a_delivery_is_answered_503_never_401_and_202_once_the_vault_is_back(
    outages: Outages, fault: str
) -> None:
    assert statuses(outages, "uncached", fault) == {"right": 503, "wrong": 503, **BACK}


@each_fault
def test_the_last_known_good_secret_serves_while_the_vault_is_out(outages: Outages, fault: str) -> None:
    assert statuses(outages, "due", fault) == {"before": 202, "right": 202, "right again": 202, **BACK}


@each_fault
def test_a_wrong_signature_is_503_when_the_vault_can_not_be_asked_and_401_when_it_was_asked_just_now(
    outages: Outages, fault: str
) -> None:
    expected = {"before": 202, "wrong": 503, "wrong again": 401, "right": 202, **BACK}
    assert statuses(outages, "mismatch", fault) == expected


def test_a_slow_vault_is_waited_for(rotating: Relay) -> None:
    break_vault(rotating, webhook("slow"), slow=1.0)
    assert send(rotating, "slow").status_code == 202
    assert send(rotating, "slow", WRONG).status_code == 401


def test_a_step_whose_secret_can_not_be_had_is_tried_again_and_done_once(rotating: Relay, model: str) -> None:
    rotating.system.vault.set("late-slack", rotating.system.chat.slack_url())
    outage = break_vault(rotating, "late-slack", drop=True)
    event = send(rotating, "rotated", model=f"late-{model}").json()["event"]
    waiting = until(lambda: (row := rotating.row(event, "late.slack")).get("state") == "retry" and row)
    assert "Key Vault could not be asked for 'late-slack'" in waiting["reason"]
    assert not told(rotating, f"late-{model}")
    outage.times = 0
    until(lambda: rotating.row(event, "late.slack").get("state") == "succeeded")
    assert told(rotating, f"late-{model}") == {f"late-{model}": 1}


# Many senders


def flood(relay: Relay, source: str, secret: str) -> tuple[set[int], float]:
    """Send many deliveries at once; return the statuses, and how many seconds it took."""
    began = time.monotonic()
    with ThreadPoolExecutor(25) as pool:
        found = list(pool.map(lambda _: send(relay, source, secret).status_code, range(MANY)))
    return set(found), time.monotonic() - began


def test_those_that_come_at_once_with_a_secret_that_was_just_changed_are_all_taken(rotating: Relay) -> None:
    assert send(rotating, "changed").status_code == 202
    rotating.system.vault.set(webhook("changed"), secrets.token_hex(16))
    time.sleep(NEWS_SECONDS)
    break_vault(rotating, webhook("changed"), slow=0.5)
    answers, _ = flood(rotating, "changed", "")
    assert answers == {202}


def test_wrong_signatures_do_not_make_the_app_ask_the_vault_more_often(rotating: Relay) -> None:
    assert send(rotating, "hammered").status_code == 202
    time.sleep(NEWS_SECONDS)
    before = asked(rotating, webhook("hammered"))
    answers, seconds = flood(rotating, "hammered", WRONG)
    assert answers == {401}
    reads = 2 + seconds / CACHE_SECONDS  # one for the signature, and as often as the cache would be read again anyway
    assert 2 <= asked(rotating, webhook("hammered")) - before <= 2 * reads  # the versions, and the one there is


def test_senders_that_come_at_once_share_one_question_to_the_vault(rotating: Relay) -> None:
    answers, seconds = flood(rotating, "crowded", "")
    assert answers == {202}
    assert 2 <= asked(rotating, webhook("crowded")) <= 2 * (1 + seconds / CACHE_SECONDS)


def test_a_vault_that_is_down_is_not_hammered(rotating: Relay) -> None:
    break_vault(rotating, webhook("down"), status=503)
    answers, seconds = flood(rotating, "down", "")
    assert answers == {503}
    assert 1 <= asked(rotating, webhook("down")) <= 2 * (1 + seconds / UNTIL_ASKED_AGAIN)  # the SDK asks twice


def test_a_name_that_is_no_source_is_never_asked_for(rotating: Relay) -> None:
    assert send(rotating, "no-such-source", WRONG).status_code == 401
    assert asked(rotating, webhook("no-such-source")) == 0
