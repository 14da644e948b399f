"""Resource Manager: who may call, resource groups, operations by both of their URLs, and what is mounted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from aiohttp import web

from local.azure_resource_manager import AUDIENCE, AzureResourceManager, Operation, RefusedError
from local.identity import VAULT_AUDIENCE, Identity

GROUP = "/subscriptions/s-1/resourceGroups/models"
THING = GROUP + "/providers/Sample/things/one"


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Things:
    def routes(self) -> list[web.RouteDef]:
        return [web.get(THING, self._thing), web.get("/open", self._thing)]

    async def _thing(self, _request: web.Request) -> web.Response:
        return web.json_response({"name": "one"})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def arm(clock: Clock) -> Iterator[AzureResourceManager]:
    with Identity() as identity:
        service = AzureResourceManager(identity)
        service.mount(Things())
        service.add_group("S-1", "Models")
        with service:
            service.clock = identity.clock = clock
            yield service


def get(
    arm: AzureResourceManager, path: str, audience: str = AUDIENCE, version: str = "2024-10-01"
) -> requests.Response:
    headers = {"Authorization": f"Bearer {arm.identity.issue(audience)}"}
    url = path if path.startswith("http") else arm.url + path
    return requests.get(url, params={"api-version": version} if version else {}, headers=headers, timeout=5)


def code(reply: requests.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["error"]["code"]


def begin(arm: AzureResourceManager, failure: RefusedError | None = None) -> Operation:
    def finish() -> dict[str, str]:
        if failure:
            raise failure
        return {"name": "one"}

    return arm.begin("s-1", "Sample", "westeurope", 10, finish)


def test_what_is_mounted_answers_to_a_token_for_resource_manager(arm: AzureResourceManager) -> None:
    assert get(arm, THING).json() == {"name": "one"}
    assert code(get(arm, THING, VAULT_AUDIENCE)) == (401, "InvalidAuthenticationToken")
    nobody = requests.get(arm.url + THING, timeout=5)
    assert code(nobody) == (401, "AuthenticationFailed")
    assert "Bearer" in nobody.headers["WWW-Authenticate"]


def test_a_path_outside_of_subscriptions_is_its_parts_own_affair(arm: AzureResourceManager) -> None:
    assert requests.get(f"{arm.url}/open", timeout=5).json() == {"name": "one"}


@pytest.mark.parametrize(
    ("path", "version", "expected"),
    [
        (THING, "", (400, "MissingApiVersionParameter")),
        (THING, "latest", (400, "InvalidApiVersionParameter")),
        (THING.replace("s-1", "s-2"), "2024-10-01", (404, "SubscriptionNotFound")),
        (THING.replace("models", "others"), "2024-10-01", (404, "ResourceGroupNotFound")),
    ],
)
def test_a_call_that_makes_no_sense_is_refused(
    arm: AzureResourceManager, path: str, version: str, expected: tuple[int, str]
) -> None:
    assert code(get(arm, path, version=version)) == expected


def test_an_operation_is_in_progress_until_its_time_has_come(arm: AzureResourceManager, clock: Clock) -> None:
    operation = begin(arm)
    assert get(arm, operation.status_url, version="").json()["status"] == "InProgress"
    pending = get(arm, operation.location, version="")
    assert (pending.status_code, pending.headers["Location"]) == (202, operation.location)
    clock.now += 10
    assert get(arm, operation.status_url, version="").json()["status"] == "Succeeded"
    assert get(arm, operation.location, version="").json() == {"name": "one"}


def test_an_operation_that_fails_says_why(arm: AzureResourceManager, clock: Clock) -> None:
    operation = begin(arm, RefusedError(400, "OutOfQuota", "No cores are left."))
    clock.now += 10
    body = get(arm, operation.status_url, version="").json()
    assert (body["status"], body["error"]) == ("Failed", {"code": "OutOfQuota", "message": "No cores are left."})
    assert code(get(arm, operation.location, version="")) == (409, "OutOfQuota")


def test_an_operation_that_nobody_began_is_not_found(arm: AzureResourceManager) -> None:
    path = "/subscriptions/s-1/providers/Sample/locations/westeurope/operationsStatus/none"
    assert code(get(arm, path)) == (404, "OperationNotFound")
