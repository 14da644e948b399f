from collections.abc import Iterator
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError, ServiceRequestError
from azure.identity import DefaultAzureCredential
from azure.keyvault.secrets import SecretClient

from local.identity import Identity
from local.key_vault import FORBIDDEN, THROTTLED, KeyVault
from local.serving import certificate


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyVault]:
    with Identity() as identity, KeyVault(identity) as service:
        for name, value in identity.environment.items():
            monkeypatch.setenv(name, value)
        yield service


def client_for(vault: KeyVault, retries: int = 0) -> SecretClient:
    return SecretClient(
        vault.url,
        DefaultAzureCredential(),
        verify_challenge_resource=False,
        connection_verify=certificate().ca_file,
        retry_total=retries,
    )


def test_the_sdk_reads_the_latest_value_after_one_challenge(vault: KeyVault) -> None:
    vault.set("wine-dev-webhook", "old")
    version = vault.set("wine-dev-webhook", "new")
    client = client_for(vault)
    secret = client.get_secret("wine-dev-webhook")
    assert (secret.value, secret.properties.version) == ("new", version)
    assert client.get_secret("wine-dev-webhook").value == "new"
    assert vault.counts == {"challenge": 1, "get": 2}


def test_one_version_can_be_read_by_its_id(vault: KeyVault) -> None:
    old = vault.set("pat", "old")
    vault.set("pat", "new")
    assert client_for(vault).get_secret("pat", old).value == "old"


def test_versions_of_one_second_still_sort_by_age(vault: KeyVault) -> None:
    vault.clock = lambda: 1_700_000_000.5
    made = [vault.set("pat", str(number)) for number in range(5)]
    listed = list(client_for(vault).list_properties_of_secret_versions("pat"))
    assert {each.version for each in listed} == set(made)
    ages = sorted(listed, key=lambda each: each.created_on.timestamp() if each.created_on else 0)
    assert [each.version for each in ages] == made


def test_versions_come_in_pages(vault: KeyVault) -> None:
    made = {vault.set("pat", str(number)) for number in range(7)}
    vault.page_size = 3
    listed = list(client_for(vault).list_properties_of_secret_versions("pat"))
    assert len(listed) == 7
    assert {each.version for each in listed} == made
    assert vault.counts["versions"] == 3


def test_a_disabled_version_is_listed_as_such_and_can_not_be_read(vault: KeyVault) -> None:
    old, new = vault.set("pat", "old"), vault.set("pat", "new")
    vault.disable("pat", new)
    client = client_for(vault)
    enabled = {each.version: each.enabled for each in client.list_properties_of_secret_versions("pat")}
    assert enabled == {old: True, new: False}
    # The latest version is the one that counts, also while it is disabled.
    with pytest.raises(HttpResponseError) as refused:
        client.get_secret("pat")
    assert refused.value.status_code == 403
    assert refused.value.error is not None
    assert refused.value.error.code == "Forbidden"
    assert refused.value.error.innererror == {"code": "SecretDisabled"}


def test_an_unknown_secret_or_version_is_not_found(vault: KeyVault) -> None:
    vault.set("pat", "value")
    client = client_for(vault)
    for name, version in [("nothing", None), ("pat", "0" * 32)]:
        with pytest.raises(ResourceNotFoundError) as missing:
            client.get_secret(name, version)
        assert missing.value.error is not None
        assert missing.value.error.code == "SecretNotFound"
    assert list(client.list_properties_of_secret_versions("nothing")) == []


def test_a_token_that_was_revoked_is_challenged_again_and_replaced(vault: KeyVault) -> None:
    vault.set("pat", "value")
    client = client_for(vault)
    client.get_secret("pat")
    vault.identity.revoke_all()
    # The credential still has the old token in its cache, and the second attempt brings it again.
    with pytest.raises(HttpResponseError) as refused:
        client.get_secret("pat")
    assert refused.value.status_code == 401
    assert client_for(vault).get_secret("pat").value == "value"


def test_throttling_and_missing_rights_come_through_as_they_are(vault: KeyVault) -> None:
    vault.set("pat", "value")
    client = client_for(vault)
    client.get_secret("pat")
    vault.faults.add("GET", "/secrets/pat", status=429, body=THROTTLED, headers={"Retry-After": "9"})
    with pytest.raises(HttpResponseError) as throttled:
        client.get_secret("pat")
    assert throttled.value.status_code == 429
    response: Any = throttled.value.response
    assert response.headers["Retry-After"] == "9"
    vault.faults.add("GET", "/secrets/pat", status=403, body=FORBIDDEN)
    with pytest.raises(HttpResponseError) as forbidden:
        client.get_secret("pat")
    assert forbidden.value.error is not None
    assert forbidden.value.error.innererror == {"code": "ForbiddenByRbac"}


def test_a_vault_that_is_down_can_not_be_reached(vault: KeyVault) -> None:
    client = client_for(vault)
    vault.stop()
    with pytest.raises(ServiceRequestError):
        client.get_secret("pat")
    vault.start()
