"""HTTP requests: to allowed hosts only, signed, the same in each attempt, with bodies that no value breaks out of."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from handlers.sources import SOURCES
from handlers.targets import rules_of_targets
from local.receiver import Received
from local.system import System
from shared.errors import RoutesError
from shared.routes import Routes
from shared.routes_file import parse_routes
from shared.routes_rules import Rules
from tests.conftest import IMPATIENT, Relay, until

RECIPES = Path(__file__).parents[3] / "docs" / "recipes.md"
SIGNING, BEARER = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "a-bearer-token-of-a-test"
SYNAPSE = "https://dev.azuresynapse.net"
ROUTES = """
sources: {wine-dev: {kind: databricks, secret: wine-dev-webhook}}
routes:
  - {name: body, when: {event: "*", model: "body*"}, steps: [http: {
      url: "URL/body", body: {model: "{model}", deep: [{said: "{comment}"}], n: 1}, headers: {X-Team: wine},
      idempotency_header: Idempotency-Key}]}
  - {name: path, when: {event: "*", model: "path*"}, steps: [http: {
      url: "URL/path/{model}/v?c={comment}", method: PUT, text: "v{version}"}]}
  - {name: signed, when: {event: "*", model: "signed*"}, steps: [http: {
      url: URL/signed, signing_secret: http-signing, body: {said: "{comment}"}}]}
  - {name: bearer, when: {event: "*", model: "bearer*"}, steps: [http: {url: URL/bearer, bearer_secret: http-bearer}]}
  - {name: own, when: {event: "*", model: "own*"}, steps: [http: {url: URL/own, audience: "https://dev.azuresynapse.net"}]}
  - {name: other, when: {event: "*", model: "other*"}, steps: [http: {url: URL/own, audience: "https://graph.microsoft.com"}]}
  - {name: once, when: {event: "*", model: "once*"}, steps: [http: {url: URL/once, body: {}, at_most_once: true}]}
  - {name: listed, when: {event: "*", model: "listed*"}, steps: [http: {url: URL/listed, expect_status: [202, 409]}]}
  - {name: away, when: {event: "*", model: "away*"}, steps: [http: {
      url: "https://evil.example.com/x", bearer_secret: http-bearer}]}
  - {name: weak, when: {event: "*", model: "weak*"}, steps: [http: {url: URL/weak, signing_secret: http-weak}]}
"""


class Place:
    """A relay whose routes name the port of a receiver, and that receiver."""

    def __init__(self, relay: Relay) -> None:
        self.relay, self.receiver = relay, relay.system.receiver

    def ended(self, model: str, comment: str = "hello") -> dict[str, Any]:
        """Comment on a model whose name begins as the route wants it; return the row of the step that has ended."""
        route = model.partition("-")[0]
        event = self.relay.comment(model, comment)

        def look() -> dict[str, Any] | None:
            row = self.relay.row(event, f"{route}.http")
            return row if row.get("state") in ("succeeded", "dead", "parked") else None

        return until(look)

    def received(self, route: str) -> list[Received]:
        """What has come for a route since the test began."""
        return [each for each in self.receiver.received if each.name == route]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    with System() as system:
        routes = tmp_path_factory.mktemp("http") / "routes.yaml"
        routes.write_text(ROUTES.replace("URL", system.receiver.url))
        for name, value in (("signing", SIGNING), ("bearer", BEARER), ("weak", "whsec_dG9vIHNob3J0")):
            system.vault.set(f"http-{name}", value)
        yield Relay(system, system.worker({**IMPATIENT, "ROUTES": str(routes)}))


@pytest.fixture
def place(running: Relay) -> Iterator[Place]:
    running.system.receiver.received.clear()
    yield Place(running)
    running.system.receiver.faults.clear()


HOSTILE = ['"}], "model": "x', "\\", "{{7*7}}", "<script>&</script>", "$(id); `id`", "\n\r\nHost: evil", "🍷\u202e"]


@pytest.mark.parametrize("comment", HOSTILE)
def test_a_value_is_a_value_in_the_body_whatever_it_holds(place: Place, model: str, comment: str) -> None:
    row = place.ended(f"body-{model}", comment)
    assert (row["state"], row["outcome"]) == ("succeeded", "127.0.0.1 answered 200")
    [got] = place.received("body")
    assert json.loads(got.body) == {"model": f"body-{model}", "deep": [{"said": comment}], "n": 1}
    assert (got.method, got.path) == ("POST", "/body")
    assert got.headers["content-type"] == "application/json"
    assert got.headers["x-team"] == "wine"


def test_a_value_in_the_url_is_percent_encoded(place: Place, model: str) -> None:
    assert place.ended(f"path-{model} a/b@c", "one=1,two")["state"] == "succeeded"
    [got] = place.received("path")
    assert (got.method, got.body) == ("PUT", b"v1")
    assert got.path == f"/path/path-{model}%20a%2Fb%40c/v?c=one%3D1%2Ctwo"


@pytest.mark.parametrize(
    ("name", "comment"),
    [
        ("/../other", "a"),
        ("/./other", "a"),
        ("//x", "a"),
        ("?x", "a"),
        ("#", "a"),
        ("", ".."),
        ("", "a&b=c"),
        ("", "a\nb"),
        ("", "🍷"),
    ],
)
def test_a_hostile_value_never_reaches_the_url(place: Place, model: str, name: str, comment: str) -> None:
    row = place.ended(f"path-{model}{name}", comment)
    assert row["state"] == "dead"
    assert re.search("may not stand|lead elsewhere", row["reason"])
    assert not place.received("path")


def test_a_signed_request_whose_reply_was_lost_comes_again_under_its_id_and_is_done_once(
    place: Place, model: str
) -> None:
    place.receiver.demand("signed", signing_secret=SIGNING)
    place.receiver.faults.add("POST", "^/signed", before=False, drop=True)
    assert place.ended(f"signed-{model}", f"größer {model}")["state"] == "succeeded"
    assert len([call for call in place.receiver.faults.calls("POST", "^/signed") if model in str(call.body)]) == 2
    [got] = place.received("signed")
    assert re.fullmatch("msg_[0-9a-f]{32}", got.headers["webhook-id"])
    assert json.loads(got.body) == {"said": f"größer {model}"}


def test_a_request_under_an_idempotency_key_is_done_once_although_its_reply_was_lost(place: Place, model: str) -> None:
    place.receiver.faults.add("POST", "^/body", before=False, status=502)
    assert place.ended(f"body-{model}")["state"] == "succeeded"
    assert len([call for call in place.receiver.faults.calls("POST", "^/body") if model in str(call.body)]) == 2
    [got] = place.received("body")
    assert re.fullmatch("[0-9a-f]{64}", got.headers["idempotency-key"])


def test_a_bearer_token_comes_from_the_vault_and_is_told_to_nobody(place: Place, model: str) -> None:
    place.receiver.demand("bearer", bearer=BEARER)
    row = place.ended(f"bearer-{model}")
    assert row["state"] == "succeeded"
    assert len(place.received("bearer")) == 1
    assert BEARER not in str(row)


def test_the_apps_own_token_is_for_the_audience_that_the_route_names(place: Place, model: str) -> None:
    place.receiver.demand("own", audience=SYNAPSE)
    assert place.ended(f"own-{model}")["state"] == "succeeded"
    row = place.ended(f"other-{model}")
    assert (row["state"], len(place.received("own"))) == ("dead", 1)
    assert row["reason"].startswith("127.0.0.1 did not accept the credentials (401)")


@pytest.mark.parametrize("loss", [{"drop": True}, {"status": 503}], ids=["dropped", "503"])
def test_a_request_that_may_be_made_once_only_is_left_to_a_person_when_its_reply_was_lost(
    place: Place, model: str, loss: dict[str, Any]
) -> None:
    place.receiver.faults.add("POST", "^/once", before=False, **loss)
    row = place.ended(f"once-{model}")
    assert row["state"] == "parked"
    assert "it may have happened" in row["reason"]
    assert len(place.received("once")) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(place: Place, model: str, status: int) -> None:
    place.receiver.faults.add("POST", "^/body", status=status, headers={"Location": f"{place.receiver.url}/elsewhere"})
    row = place.ended(f"body-{model}")
    assert (row["state"], row["reason"]) == ("dead", f"127.0.0.1 answered {status}: redirects are not followed")
    assert not place.receiver.faults.calls("*", "^/elsewhere")


@pytest.mark.parametrize(("status", "state"), [(202, "succeeded"), (409, "succeeded"), (200, "dead"), (404, "dead")])
def test_a_status_means_what_the_route_says(place: Place, model: str, status: int, state: str) -> None:
    place.receiver.faults.add("POST", "^/listed", status=status)
    row = place.ended(f"listed-{model}")
    assert row["state"] == state
    assert f"127.0.0.1 answered {status}" in row["outcome"] + row["reason"]


def test_a_host_that_is_not_allowed_gets_nothing_not_even_a_connection(place: Place, model: str) -> None:
    row = place.ended(f"away-{model}")
    assert (row["state"], row["reason"]) == ("dead", "evil.example.com is not in the setting ALLOWED_HOSTS")


def test_a_key_that_is_too_short_signs_nothing(place: Place, model: str) -> None:
    row = place.ended(f"weak-{model}")
    assert (row["state"], row["reason"]) == (
        "dead",
        "secret 'http-weak' is shorter than 16 bytes: too short to sign with",
    )


def parsed(text: str) -> Routes:
    rules = Rules(dict.fromkeys(SOURCES, 1.0), rules_of_targets())
    return parse_routes(text, "routes.yaml", rules)


def with_step(options: str) -> str:
    return (
        "sources: {models: {kind: mlflow, secret: s}}\n"
        f"routes: [{{name: a, when: {{event: model_version.created}}, steps: [http: {options}]}}]"
    )


MISTAKES = [
    ("{url: 'https://{model}/x'}", "the host without user, password or placeholder"),
    ("{url: 'https://a.example.com@{model}/'}", "the host without user"),
    ("{url: 'https://10.0.0.1/'}", "is no host"),
    ("{url: 'http://a.example.com/'}", "has to be https"),
    ("{url: 'https://a.example.com', method: TRACE}", "Invalid enum value"),
    ("{url: 'https://a.example.com', method: GET, text: x}", "a GET has no"),
    ("{url: 'https://a.example.com', body: {}, text: x}", "not both"),
    ("{url: 'https://a.example.com', body: {a: 2020-01-01}}", "put dates in quotes"),
    ("{url: 'https://a.example.com', body: {a: .nan}}", "JSON has no form"),
    ("{url: 'https://a.example.com', body: {'{model}': 1}}", "takes no placeholders"),
    ("{url: 'https://a.example.com', headers: {X-A: '{model}'}}", "takes no placeholders"),
    ("{url: 'https://a.example.com', headers: {Authorization: Bearer x}}", "is not the route's to give"),
    ("{url: 'https://a.example.com', headers: {webhook-id: x}}", "is not the route's to give"),
    ("{url: 'https://a.example.com', headers: {hOsT: x}}", "is not the route's to give"),
    ("{url: 'https://a.example.com', headers: {'X A': x}}", "is no header"),
    ('{url: "https://a.example.com", headers: {X-A: "x\\r\\nHost: y"}}', "is no header"),
    ("{url: 'https://a.example.com', idempotency_header: Host}", "is not the route's to give"),
    ("{url: 'https://a.example.com', expect_status: [302]}", "can't hold 302"),
    ("{url: 'https://a.example.com', expect_status: [500]}", "<= 499"),
    ("{url: 'https://a.example.com', bearer_secret: 'a secret'}", "is no name of a Key Vault secret"),
    ("{url: 'https://a.example.com', bearer_secret: a, audience: 'https://graph.microsoft.com'}", "one Authorization"),
    ("{url: 'https://a.example.com', audience: 'https://vault.azure.net'}", "`audience` is none of"),
    ("{url: 'https://a.example.com', audience: 'https://graph.microsoft.com'}", "must not go to a.example.com"),
    ("{url: 'https://dev.azuresynapse.net.example.com', audience: 'https://dev.azuresynapse.net'}", "must not go to"),
    ("{url: 'https://xdev.azuresynapse.net', audience: 'https://dev.azuresynapse.net'}", "must not go to"),
    ("{url: 'https://api.powerbi.com', audience: 'https://management.azure.com'}", "must not go to api.powerbi.com"),
]


@pytest.mark.parametrize(("options", "reason"), MISTAKES)
def test_what_makes_no_safe_request_is_told_when_the_file_is_read(options: str, reason: str) -> None:
    with pytest.raises(RoutesError) as error:
        parsed(with_step(options))
    assert reason in str(error.value)


RECIPE = re.compile(r"```yaml\n(.*?)```", re.DOTALL)


def test_every_recipe_is_a_valid_routes_file_for_the_host_it_names() -> None:
    hosts = set()
    routes = [route for text in RECIPE.findall(RECIPES.read_text()) for route in parsed(text).routes]
    for step in [step for route in routes for step in (*route.steps, *route.on_failure) if step.target == "http"]:
        url = step.options["url"]
        assert " " not in url
        hosts.add(urlsplit(url).hostname)
    assert hosts == {
        "management.azure.com",
        "ml-synapse.dev.azuresynapse.net",
        "api.powerbi.com",
        "mlops.example.com",
    }
    assert all(f"`{host}`" in RECIPES.read_text() for host in hosts - {"mlops.example.com"})
