from collections.abc import Iterator

import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import DefaultAzureCredential, ManagedIdentityCredential

from local.identity import AZURE_DEVOPS_AUDIENCE, VAULT_AUDIENCE, Identity

ARM_AUDIENCE = "https://management.azure.com"


@pytest.fixture
def identity(monkeypatch: pytest.MonkeyPatch) -> Iterator[Identity]:
    with Identity() as service:
        for name, value in service.environment.items():
            monkeypatch.setenv(name, value)
        yield service


def test_the_default_credential_gets_a_token_that_holds_for_its_audience_only(identity: Identity) -> None:
    token = DefaultAzureCredential().get_token(f"{AZURE_DEVOPS_AUDIENCE}/.default").token
    assert identity.accepts(f"Bearer {token}", AZURE_DEVOPS_AUDIENCE)
    assert not identity.accepts(f"Bearer {token}", VAULT_AUDIENCE)
    assert not identity.accepts(f"Basic {token}", AZURE_DEVOPS_AUDIENCE)


def test_the_expiry_is_the_one_that_was_set(identity: Identity) -> None:
    identity.clock = lambda: 4_000_000_000.0
    identity.lifetime_seconds = 600
    assert DefaultAzureCredential().get_token(f"{ARM_AUDIENCE}/.default").expires_on == 4_000_000_600


def test_an_expired_token_no_longer_holds(identity: Identity) -> None:
    token = identity.issue(VAULT_AUDIENCE)
    assert identity.accepts(f"Bearer {token}", VAULT_AUDIENCE)
    later = identity.clock() + identity.lifetime_seconds + 1
    identity.clock = lambda: later
    assert not identity.accepts(f"Bearer {token}", VAULT_AUDIENCE)


def test_revoked_tokens_no_longer_hold(identity: Identity) -> None:
    token = identity.issue(VAULT_AUDIENCE)
    identity.revoke_all()
    assert not identity.accepts(f"Bearer {token}", VAULT_AUDIENCE)


def test_a_user_assigned_identity_is_asked_for_by_client_id(identity: Identity) -> None:
    identity.client_ids = {"1111"}
    token = ManagedIdentityCredential(client_id="1111").get_token(f"{ARM_AUDIENCE}/.default").token
    assert identity.tokens[token].client_id == "1111"
    with pytest.raises(ClientAuthenticationError):
        ManagedIdentityCredential(client_id="2222").get_token(f"{ARM_AUDIENCE}/.default")


def test_a_caller_without_the_secret_header_gets_no_token(identity: Identity) -> None:
    query = {"api-version": "2019-08-01", "resource": VAULT_AUDIENCE}
    url = identity.environment["IDENTITY_ENDPOINT"]
    assert requests.get(url, query, timeout=5).status_code == 400
    assert requests.get(url, query, headers={"X-IDENTITY-HEADER": "wrong"}, timeout=5).status_code == 401
    assert identity.tokens == {}


def test_a_refusing_endpoint_is_an_authentication_error(identity: Identity) -> None:
    identity.faults.add("GET", "/msi/token", times=None, status=400, body={"statusCode": 400, "message": "no"})
    with pytest.raises(ClientAuthenticationError):
        DefaultAzureCredential().get_token(f"{ARM_AUDIENCE}/.default")
