"""Copies from and to a registry, or a storage behind it, that answers with what would lead us astray."""

from __future__ import annotations

from typing import Any

import pytest

from local.databricks import Databricks
from shared.steps import State
from tests.conftest import Relay
from tests.handlers.targets.registries import commented, states

FILES = {"MLmodel": b"flavors: {}\n", "data/w.bin": b"weights"}
READ, WRITE = "/get-signed-download-uri$", "/credentials-for-write$"
INWARD = "http://169.254.169.254/metadata/identity/oauth2/token"
METADATA = [{"name": "Metadata", "value": "true"}]


@pytest.fixture
def live(relay: Relay) -> Any:
    yield relay.system.databricks_live
    for workspace in (relay.system.databricks, relay.system.databricks_live):
        workspace.faults.clear()
        workspace.storage.faults.clear()


def furnished(relay: Relay, model: str) -> str:
    name = f"reg-dbx-{model}"
    team = relay.system.databricks
    team.add_model(name, level="CAN_READ")
    team.add_version(name)
    team.add_files(name, "1", FILES)
    return name


def is_copied(live: Databricks, name: str) -> bool:
    return name in live.models and bool(live.models[name].versions)


@pytest.mark.parametrize("address", [INWARD, "https://10.0.0.4/MLmodel", "file:///proc/self/environ"])
def test_a_registry_that_says_its_files_are_within_our_network_is_not_believed(
    relay: Relay, live: Databricks, model: str, address: str
) -> None:
    name = furnished(relay, model)
    answer = {"signed_uri": address, "headers": METADATA}
    relay.system.databricks.faults.add("GET", READ, times=None, status=200, body=answer)
    step = commented(relay, name)
    assert (step.state, step.attempts) == (State.DEAD, 1)
    assert step.reason.startswith("the address that Databricks signed is none to go to:")
    assert not is_copied(live, name)


def test_a_registry_that_wants_our_files_within_our_network_does_not_get_them(
    relay: Relay, live: Databricks, model: str
) -> None:
    name = furnished(relay, model)
    answer = {"credential_infos": [{"signed_uri": INWARD, "type": "AWS_PRESIGNED_URL", "headers": METADATA}]}
    live.faults.add("POST", WRITE, times=None, status=200, body=answer)
    step = commented(relay, name)
    assert (step.state, step.attempts) == (State.DEAD, 1)
    assert "is none to go to" in step.reason
    assert not is_copied(live, name)


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize("status", [302, 307])
def test_a_storage_that_redirects_is_not_followed(
    relay: Relay, live: Databricks, model: str, method: str, status: int
) -> None:
    name = furnished(relay, model)
    storage = (relay.system.databricks if method == "GET" else live).storage
    elsewhere = f"{relay.system.receiver.url}/stolen-{model}"
    storage.faults.add(method, "/MLmodel$", times=None, status=status, headers={"Location": elsewhere})
    step = commented(relay, name)
    assert step.state is State.DEAD
    assert str(status) in step.reason
    assert not relay.system.receiver.faults.calls("*", f"/stolen-{model}$")
    assert not is_copied(live, name)


def test_no_token_of_ours_goes_to_a_storage(relay: Relay, live: Databricks, model: str) -> None:
    before = {id(each): len(each.storage.faults.log) for each in (relay.system.databricks, live)}
    assert commented(relay, furnished(relay, model)).state is State.SUCCEEDED
    for workspace in (relay.system.databricks, live):
        calls = workspace.storage.faults.log[before[id(workspace)] :]
        assert calls
        assert all("Authorization" not in call.headers for call in calls)


def test_a_file_that_is_larger_than_it_is_listed_is_not_taken(relay: Relay, live: Databricks, model: str) -> None:
    name = furnished(relay, model)
    relay.system.databricks.storage.faults.add("GET", "/MLmodel$", status=200, body="x" * 3_000_000)
    step = commented(relay, name)
    assert states(step) == [State.READY, State.RUNNING, State.RETRY, State.RUNNING, State.SUCCEEDED]
    assert any("is not the 12 bytes that are listed" in str(each) for each in step.history)
    assert live.files_of(name, "1") == FILES
