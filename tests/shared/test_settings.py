"""App settings: each error names the setting at fault, and no secret travels without TLS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from shared.errors import SettingError
from shared.settings import allowed_url, is_loopback, settings, storage_setting

NAMES = [
    "ROUTES",
    "AZURE_DEVOPS_URL",
    "AZURE_RESOURCE_MANAGER_URL",
    "STEP_LEASE_SECONDS",
    "SETTLE_SECONDS",
    "RETRY_DELAYS",
    "SECRET_CACHE_SECONDS",
]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KEY_VAULT_URL", "https://relay.vault.azure.net/")
    settings.cache_clear()
    yield
    settings.cache_clear()


def test_only_the_vault_has_to_be_named() -> None:
    found = settings()
    assert found.key_vault_url == "https://relay.vault.azure.net"
    assert found.routes == "routes.yaml"
    assert found.azure_devops_url == "https://dev.azure.com"
    assert found.azure_resource_manager_url == "https://management.azure.com"
    assert found.retry_delays == (5, 30, 120, 600, 3600, 10800, 21600, 43200)
    assert (found.step_lease_seconds, found.settle_seconds, found.secret_cache_seconds) == (120, 60, 300)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_setting_is_as_good_as_none(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    default = settings()
    settings.cache_clear()
    monkeypatch.setenv(name, "")
    assert settings() == default


@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_vault_is_named(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if value is None:
        monkeypatch.delenv("KEY_VAULT_URL")
    else:
        monkeypatch.setenv("KEY_VAULT_URL", value)
    with pytest.raises(SettingError, match="KEY_VAULT_URL is missing"):
        settings()


BAD_URLS = [
    "http://relay.vault.azure.net",
    "relay.vault.azure.net",
    "//relay.vault.azure.net",
    "ftp://127.0.0.1",
    "file:///etc/passwd",
    "https://",
    "https:///path",
    "http://127.0.0.1.example.com",
    "http://127.0.0.1@example.com",
    "http://localhost.example.com",
    "http://10.0.0.1",
    "http://[2001:db8::1]",
    "https://[",
    "https://[::1",
    "https://\u2100.example.com",
    "nonsense",
    "@Microsoft.KeyVault(SecretUri=https://relay.vault.azure.net/secrets/x)",
]


@pytest.mark.parametrize("name", ["KEY_VAULT_URL", "AZURE_DEVOPS_URL", "AZURE_RESOURCE_MANAGER_URL"])
@pytest.mark.parametrize("value", BAD_URLS)
def test_a_url_that_is_not_https_names_its_setting(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingError, match=f"setting {name} has to be an https:// URL"):
        settings()


@pytest.mark.parametrize("url", ["https://x.example", "http://127.0.0.1:7071", "http://localhost:1", "http://[::1]:1"])
def test_https_goes_anywhere_and_http_on_this_machine_only(url: str) -> None:
    assert allowed_url(f"{url}//", "setting X") == url


@examples(deadline=None, max_examples=200)
@given(st.text(max_size=12) | st.text(max_size=12).map(lambda text: f"https://{text}"))
def test_any_text_is_a_url_or_a_setting_error(text: str) -> None:
    try:
        assert allowed_url(text, "setting X") == text.rstrip("/")
    except SettingError as error:
        refusal = str(error)
    else:
        return
    assert refusal.startswith("setting X ")


def test_a_host_that_only_looks_like_this_machine_is_not() -> None:
    assert not is_loopback("http://localhost@example.com")
    assert not is_loopback("http://127.0.0.1.example.com")


BAD_NUMBERS = ["0", "-1", "soon", "5s", "nan", "inf", "1e99", "5,30", "0x10", "1 2"]


@pytest.mark.parametrize("name", ["STEP_LEASE_SECONDS", "SETTLE_SECONDS", "SECRET_CACHE_SECONDS"])
@pytest.mark.parametrize("value", BAD_NUMBERS)
def test_a_number_that_is_none_names_its_setting(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingError, match=f"setting {name} has to be a number of seconds above 0") as error:
        settings()
    assert repr(value) in str(error.value)


@pytest.mark.parametrize("value", ["5,,30", ",", "5,30,", "5;30", "5,soon", "5,-30", "0", "5,nan", "5,inf"])
def test_a_delay_that_is_none_names_its_setting(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRY_DELAYS", value)
    with pytest.raises(SettingError, match="setting RETRY_DELAYS has to be"):
        settings()


def test_delays_may_have_spaces_and_fractions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRY_DELAYS", "0.5, 30 ,120")
    assert settings().retry_delays == (0.5, 30.0, 120.0)


def test_the_error_of_a_url_does_not_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_VAULT_URL", "http://user:a-password@example.com")
    with pytest.raises(SettingError) as error:
        settings()
    assert "a-password" not in str(error.value)


def test_storage_is_named_whole_or_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AzureWebJobsStorage", "UseDevelopmentStorage=true")
    monkeypatch.setenv("AzureWebJobsStorage__accountName", "relay")
    monkeypatch.delenv("AzureWebJobsStorage__queueServiceUri", raising=False)
    assert storage_setting() == "UseDevelopmentStorage=true"
    assert storage_setting("accountName") == "relay"
    assert storage_setting("queueServiceUri") == ""
