"""The receiver stand-in: as strict with callers as it was told to be."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Iterator

import pytest
import requests

from local.identity import Identity
from local.receiver import Receiver

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(Identity()) as running:
        yield running


def headers(body: bytes, identifier: str = "msg_1", sent: float | None = None, secret: str = SECRET) -> dict[str, str]:
    timestamp = str(int(time.time() if sent is None else sent))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    mac = hmac.new(key, f"{identifier}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(mac).decode()}"
    return {"webhook-id": identifier, "webhook-timestamp": timestamp, "webhook-signature": signature}


def test_a_name_without_a_demand_takes_everything(receiver: Receiver) -> None:
    assert requests.put(f"{receiver.url}/any/path?a=1", data=b"x", timeout=5).ok
    [got] = receiver.received
    assert (got.name, got.method, got.path, got.query, got.body) == ("any", "PUT", "/any/path?a=1", {"a": "1"}, b"x")


def test_the_example_of_the_specification_is_a_right_signature(receiver: Receiver) -> None:
    receiver.clock = lambda: 1614265330.0
    url = receiver.demand("hook", signing_secret=SECRET)
    given = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    assert requests.post(url, data=b'{"test": 2432232314}', headers=given, timeout=5).status_code == 200


def test_a_request_that_is_not_rightly_signed_is_refused(receiver: Receiver) -> None:
    url, good = receiver.demand("hook", signing_secret=SECRET), headers(b"x")
    bad = [
        {},
        {**good, "webhook-id": "msg_2"},
        {**good, "webhook-timestamp": "1"},
        {**good, "webhook-signature": "v1,AAAA"},
        headers(b"y"),
        headers(b"x", sent=time.time() - 400),
        headers(b"x", secret="whsec_" + base64.b64encode(b"another secret of it").decode()),
    ]
    assert [requests.post(url, data=b"x", headers=each, timeout=5).status_code for each in bad] == [401] * len(bad)
    assert not receiver.received
    assert requests.post(url, data=b"x", headers=good, timeout=5).ok


@pytest.mark.parametrize("header", ["webhook-id", "Idempotency-Key"])
def test_what_comes_twice_under_one_id_is_done_once(receiver: Receiver, header: str) -> None:
    for _ in range(2):
        reply = requests.post(f"{receiver.url}/hook", headers={header: "a"}, timeout=5)
        assert reply.ok
    assert reply.json() == {"received": "a", "duplicate": True}
    assert requests.post(f"{receiver.url}/hook", headers={header: "b"}, timeout=5).ok
    assert len(receiver.received) == 2


def test_a_bearer_token_has_to_be_the_one_or_for_the_audience(receiver: Receiver) -> None:
    fixed, own = receiver.demand("fixed", bearer="secret"), receiver.demand("own", audience="https://a.example")
    right, wrong = receiver.identity.issue("https://a.example"), receiver.identity.issue("https://b.example")
    answers = [
        requests.post(url, headers={"Authorization": f"Bearer {token}"}, timeout=5).status_code
        for url, token in ((fixed, "secret"), (fixed, "other"), (own, right), (own, wrong), (own, "x"))
    ]
    assert answers == [200, 401, 200, 401, 401]
