"""The running app against docs/openapi.yaml: whatever is sent, each answer is one that the document has."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate
from schemathesis import Case, GenerationMode
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from local import sender
from tests.conftest import Relay, until
from tests.test_function_app import in_new_process

load_all_checks()
ROOT = Path(__file__).parent.parent
DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "openapi.yaml").read_text())
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
RECEIVE = SCHEMA["/api/webhooks/{source}"]["POST"]
CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 60
FIXED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,  # the tests assert which statuses were seen
    database=None,
    suppress_health_check=list(HealthCheck),
)
MODES = pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
HEADERS: dict[str, Callable[[str, bytes], dict[str, str]]] = {
    "wine-dev": sender.databricks_headers,
    "models": sender.mlflow_headers,
}
SECRETS = {"wine-dev": "wine-dev-webhook", "models": "models-webhook"}
ROUTES_OF_APP = """
import json, pathlib
from local.host_functions import index
triggers = [function.trigger for function in index(pathlib.Path(".").resolve())]
http = [trigger for trigger in triggers if trigger["type"] == "httpTrigger"]
print(json.dumps([["/api/" + trigger["route"], method.lower()] for trigger in http for method in trigger["methods"]]))
"""


class Signature(requests.auth.AuthBase):
    """Signs a request as the source's registry does, over the bytes that go out."""

    def __init__(self, relay: Relay, source: str) -> None:
        self._headers, self._secret = HEADERS[source], relay.system.secret(SECRETS[source])

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        body = request.body or b""
        raw = body.encode() if isinstance(body, str) else body
        request.body = raw
        kind = request.headers.get("Content-Type", "application/json")
        request.headers.update({**self._headers(self._secret, raw), "Content-Type": kind})
        return request


def answer(case: Case[Any], relay: Relay, **how: Any) -> requests.Response:
    """Send the case; fail if the document does not have its answer, in full."""
    reply = case.call(base_url=relay.worker.url, **how)
    case.validate_response(reply, checks=CHECKS)
    return reply  # type: ignore[return-value]


def kept(relay: Relay) -> int:
    """How many events are in the ledger or on their way there."""
    return len(relay.events()) + relay.queued("events")


def body_of_now(body: Any, data: st.DataObject) -> Any:
    """The body, now and then with a time that passes the age gate."""
    if isinstance(body, dict) and "event" in body and data.draw(st.booleans()):
        return {**body, "event_timestamp": int(time.time() * 1000)}
    return body


# The document


def test_the_document_is_valid_openapi() -> None:
    validate(DOCUMENT)


def test_every_http_route_of_the_app_stands_in_the_document_and_no_other() -> None:
    routes = {tuple(route) for route in json.loads(in_new_process(ROUTES_OF_APP).splitlines()[-1])}
    assert {(path, method) for path, item in DOCUMENT["paths"].items() for method in item} == routes


# The app


@MODES
def test_whatever_is_sent_unsigned_is_refused_and_leaves_nothing(relay: Relay, mode: GenerationMode) -> None:
    seen: set[int] = set()
    until(lambda: relay.queued("events") == 0)
    before = kept(relay)

    @FIXED
    @given(case=RECEIVE.as_strategy(mode), data=st.data())
    def send(case: Case[Any], data: st.DataObject) -> None:
        if data.draw(st.booleans()):  # else the source is unknown
            case.path_parameters = {"source": data.draw(st.sampled_from(["wine-dev", "models", "guarded"]))}
        case.body = body_of_now(case.body, data)
        seen.add(answer(case, relay).status_code)

    send()
    assert 401 in seen
    assert seen <= {401, 404, 400}  # 404: no source in the path; 400: the host's, for headers that are not UTF-8
    assert kept(relay) == before


@MODES
@pytest.mark.parametrize("source", HEADERS)
def test_whatever_is_sent_signed_gets_a_documented_answer(relay: Relay, source: str, mode: GenerationMode) -> None:
    seen: set[int] = set()
    signature = Signature(relay, source)

    @FIXED
    @given(case=RECEIVE.as_strategy(mode), data=st.data())
    def send(case: Case[Any], data: st.DataObject) -> None:
        case.path_parameters, case.query = {"source": source}, {}
        case.headers.clear()  # they are the signature's
        case.body = body_of_now(case.body, data)
        seen.add(answer(case, relay, auth=signature).status_code)

    send()
    assert 401 not in seen
    assert {202, 400} <= seen if mode is GenerationMode.POSITIVE else 400 in seen


@pytest.mark.parametrize("source", HEADERS)
def test_a_body_that_is_too_large_gets_the_documented_answer(relay: Relay, source: str) -> None:
    case = RECEIVE.Case(path_parameters={"source": source}, body={"event": "x" * 2**20}, media_type="application/json")
    assert answer(case, relay, auth=Signature(relay, source)).status_code == 413


@pytest.mark.parametrize("path", DOCUMENT["paths"])
@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete", "options"])
def test_a_method_that_the_document_lacks_is_answered_404(relay: Relay, path: str, method: str) -> None:
    if method in DOCUMENT["paths"][path]:
        pytest.skip("the document has it")
    url = relay.worker.url + path.replace("{source}", "wine-dev")
    assert requests.request(method, url, timeout=30).status_code == 404


@MODES
@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/api/events", "GET"),
        ("/api/events/{event}", "GET"),
        ("/api/events/{event}/replay", "POST"),
        ("/api/events/{event}/resolve", "POST"),
        ("/api/routes", "GET"),
        ("/api/routes/{route}/stop", "POST"),
        ("/api/routes/{route}/start", "POST"),
    ],
)
def test_whatever_an_operator_asks_gets_a_documented_answer(
    relay: Relay, path: str, method: str, mode: GenerationMode
) -> None:
    operation = SCHEMA[path][method]

    @settings(FIXED, max_examples=25)
    @given(case=operation.as_strategy(mode))
    def ask(case: Case[Any]) -> None:
        reply = answer(case, relay, headers={"x-functions-key": relay.system.function_key})
        assert reply.status_code != 401 or mode is GenerationMode.NEGATIVE, "a made-up case may spoil the key too"

    ask()


@pytest.mark.parametrize(("path", "method"), [(path, m) for path in DOCUMENT["paths"] for m in DOCUMENT["paths"][path]])
def test_operators_need_a_key_and_nobody_else_does(relay: Relay, path: str, method: str) -> None:
    url = relay.worker.url + path.replace("{source}", "models").replace("{event}", "e").replace("{route}", "r").replace(
        "{link}", "l"
    )
    guarded = DOCUMENT["paths"][path][method]["security"] == [{"functionKey": []}]
    reply = requests.request(method, url, timeout=30)
    assert (reply.status_code == 401 and not reply.content) == guarded


def test_the_health_page_is_as_documented(relay: Relay) -> None:
    case = SCHEMA["/api/health"]["GET"].Case()
    assert answer(case, relay).status_code in (200, 503)
