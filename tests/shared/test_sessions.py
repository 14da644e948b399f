"""What is found out once, not at each call: proxies and certificates. And that calls then go where they should."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from local.serving import StandIn, certificate
from local.worker import ROOT
from shared import storage
from shared.errors import TransientFailure
from shared.rest import request
from shared.sessions import client_options
from tests.conftest import Relay

NETWORK = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
TELL = """
import json
from shared.sessions import client_options, new_session
print(json.dumps([client_options(), new_session().trust_env]))
"""
NOBODY = "http://127.0.0.1:9"


class Greeter(StandIn):
    """Says what it was told in the header Authorization."""

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/", self._greet)]

    async def _greet(self, request: web.Request) -> web.Response:
        return web.json_response({"authorization": request.headers.get("Authorization")})


@pytest.fixture
def greeter() -> Iterator[Greeter]:
    with Greeter() as service:
        yield service


@pytest.fixture
def secure_greeter() -> Iterator[Greeter]:
    service = Greeter()
    service.tls = certificate().context
    with service:
        yield service


def told_by_a_new_process(code: str, variables: dict[str, str]) -> Any:
    """What the code prints where of all that says something of the network only these variables are set."""
    plain = {name: value for name, value in os.environ.items() if name.upper() not in NETWORK}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**plain, **variables}, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_without_proxies_nothing_is_looked_up_at_each_call() -> None:
    assert told_by_a_new_process(TELL, {}) == [{"use_env_settings": False}, False]


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_certificates_that_the_environment_names_are_handed_on(name: str) -> None:
    bundle = certificate().ca_file
    options = {"use_env_settings": False, "connection_verify": bundle}
    assert told_by_a_new_process(TELL, {name: bundle}) == [options, False]


@pytest.mark.parametrize("name", ["HTTP_PROXY", "https_proxy", "ALL_PROXY", "no_proxy"])
def test_with_proxies_each_call_finds_its_own_way(name: str) -> None:
    variables = {name: "127.0.0.1", "REQUESTS_CA_BUNDLE": certificate().ca_file}
    assert told_by_a_new_process(TELL, variables) == [{}, True]


def test_a_call_goes_through_the_proxy_that_is_configured(greeter: Greeter) -> None:
    code = (
        "import json\nfrom shared.rest import request\n"
        "print(json.dumps(request('GET', 'http://nowhere.example/', 'a service').json()))"
    )
    assert told_by_a_new_process(code, {"HTTP_PROXY": greeter.url}) == {"authorization": None}
    assert len(greeter.faults.calls("GET")) == 1


def test_a_certificate_is_verified_by_the_file_that_is_named(
    secure_greeter: Greeter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate().ca_file)
    for _ in range(2):
        assert request("GET", secure_greeter.url, "the greeter").status == 200
    other = secure_greeter.url.replace("127.0.0.1", "127.1")
    with pytest.raises(TransientFailure, match="could not be reached: SSLError"):
        request("GET", other, "a name that the certificate does not bear")
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    with pytest.raises(TransientFailure, match="could not be reached: SSLError"):
        request("GET", secure_greeter.url, "the greeter")


def test_a_netrc_file_does_not_take_the_place_of_our_token(
    greeter: Greeter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    reply = request("GET", greeter.url, "the greeter", headers={"Authorization": "Bearer ours"})
    assert reply.json() == {"authorization": "Bearer ours"}


def test_storage_is_reached_without_another_look_at_the_environment(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client_options()["use_env_settings"] is False
    storage.send("looking-once", "first")
    monkeypatch.setenv("HTTP_PROXY", NOBODY)
    storage.send("looking-once", "second")
    storage.put_row("lookingonce", {"PartitionKey": "a", "RowKey": "b", "seen": 1})
    storage.write_blob("looking-once", "a text")
    assert storage.read_blob("looking-once") == "a text"
    assert [row["seen"] for row in storage.rows("lookingonce", "PartitionKey eq @key", {"key": "a"})] == [1]
    found = storage.queue("looking-once").receive_messages()
    assert sorted(b64decode(each.content) for each in found) == [b"first", b"second"]
