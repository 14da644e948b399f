"""Addresses that services name in their answers, in Azure: which are gone to, which are not, and what goes there."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from shared import azure_devops, azure_resource_manager
from shared.errors import Failure, PermanentFailure, TransientFailure
from shared.outbound import going_to, place_named
from shared.registries_artifacts import CHUNK, Address, Entry, fetch, files
from shared.registries_mlflow_files import served
from shared.registries_storage import STORAGE, put
from shared.settings import settings

KINDS = ["AZURE_SAS_URI", "AZURE_ADLS_GEN2_SAS_URI", "AWS_PRESIGNED_URL", "GCP_SIGNED_URL"]
INWARD = [
    "http://169.254.169.254/metadata/identity/oauth2/token?resource=https://vault.azure.net",
    "https://169.254.169.254/metadata/instance",
    "http://127.0.0.1:{port}/msi/token",
    "https://127.0.0.1:{port}/",
    "http://localhost:{port}/admin/host/status",
    "http://[::1]:{port}/",
    "https://10.0.0.4/",
    "https://[fd00:ec2::254]/",
    "https://2852039166/",
    "https://intranet/",
    "http://storage.example.com/",
    "https://user:password@storage.example.com/",
    "file:///proc/self/environ",
    "",
]


@pytest.fixture(autouse=True)
def _in_azure(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("KEY_VAULT_URL", "https://relay.vault.azure.net")
    monkeypatch.delenv("AZURE_RESOURCE_MANAGER_URL", raising=False)
    monkeypatch.delenv("AZURE_DEVOPS_URL", raising=False)
    settings.cache_clear()
    yield
    settings.cache_clear()


class Inside:
    """A port of the network within, which notes each connection; names lead there as DNS may have it."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port, self.connections = int(self._server.getsockname()[1]), 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            connection.close()

    def stop(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


class Located:
    """A connection whose service says that its releases are at an address."""

    def __init__(self, url: str) -> None:
        self.clients_v7_1, self._url = self, url

    def get_release_client(self) -> Any:
        from azure.devops.v7_1.release import ReleaseClient

        return ReleaseClient(self._url, None)


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> Iterator[Inside]:
    within = Inside()
    answer = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", within.port))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [answer])
    yield within
    within.stop()


class Poisoned:
    """A folder of a registry that lists what it likes, and says that its files are wherever it likes."""

    def __init__(self, url: str = "", *names: str) -> None:
        self._url, self._names = url, names

    def entries(self, path: str) -> Iterator[Entry]:
        yield from (Entry(name, False, 1) for name in self._names)

    def address(self, path: str) -> Address:
        return Address(self._url, {"Metadata": "true"}, STORAGE, is_signed=True)


def read_at(url: str) -> None:
    fetch(Poisoned(url), "MLmodel", 3, io.BytesIO(), lambda: None)


def stored_at(kind: str) -> Callable[[str], None]:
    return lambda url: put(kind, url, {"Metadata": "true"}, "MLmodel", 3, io.BytesIO(b"abc"), lambda: None)


WAYS: list[Any] = [pytest.param(read_at, id="read"), *(pytest.param(stored_at(kind), id=kind) for kind in KINDS)]


@pytest.mark.parametrize("url", INWARD)
@pytest.mark.parametrize("use", WAYS)
def test_a_registry_can_not_send_us_into_the_network_within(
    inside: Inside, use: Callable[[str], None], url: str
) -> None:
    with pytest.raises(PermanentFailure, match=r"is none to go to|is this machine itself"):
        use(url.format(port=inside.port))
    assert inside.connections == 0


@pytest.mark.parametrize("use", WAYS)
def test_a_name_that_leads_to_a_private_address_is_not_connected_to(inside: Inside, use: Callable[[str], None]) -> None:
    with pytest.raises(PermanentFailure, match=r"the host is at 127\.0\.0\.1, which is no public address"):
        use("https://storage.example.com/MLmodel?sig=a-signature")
    assert inside.connections == 0


@pytest.mark.parametrize("host", ["models.blob.core.windows.net", "models.dfs.core.windows.net"])
@pytest.mark.parametrize("use", WAYS)
def test_azures_own_storage_may_be_at_a_private_endpoint(inside: Inside, use: Callable[[str], None], host: str) -> None:
    with pytest.raises(TransientFailure):  # no TLS is spoken there
        use(f"https://{host}/MLmodel?sig=a-signature")
    assert inside.connections == 1


@pytest.mark.parametrize(
    "host", ["blob.core.windows.net.example.com", "xblob.core.windows.net.example.com", "evilblob.core.windows.net"]
)
def test_what_only_looks_like_azures_storage_has_to_be_public(inside: Inside, host: str) -> None:
    with pytest.raises(PermanentFailure, match="no public address"):
        read_at(f"https://{host}/MLmodel")
    assert inside.connections == 0


def test_the_reason_names_no_signature(inside: Inside) -> None:
    for url in ("http://storage.example.com/x?sig=a-signature", "https://storage.example.com/x?sig=a-signature"):
        with pytest.raises(Failure) as failure:
            read_at(url)
        assert "a-signature" not in failure.value.reason


def test_an_address_of_the_internet_may_be_gone_to() -> None:
    url = "https://bucket.s3.eu-west-1.amazonaws.com/a%20b/MLmodel?X-Amz-Signature=0a&X-Amz-Expires=900"
    assert place_named(url, "it").host == "bucket.s3.eu-west-1.amazonaws.com"
    with going_to(url, "it"):
        pass


class Endless(Poisoned):
    """A folder on a server that sends far more than it lists."""

    def address(self, path: str) -> Address:
        return Address(self._url, {}, STORAGE)


def test_reading_ends_soon_after_the_size_that_was_listed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def send() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 30000000\r\n\r\n" + bytes(30_000_000))

        threading.Thread(target=send, daemon=True).start()
        content = io.BytesIO()
        with pytest.raises(TransientFailure, match="is not the 12 bytes that are listed"):
            fetch(Endless(f"http://127.0.0.1:{server.getsockname()[1]}/"), "MLmodel", 12, content, lambda: None)
    assert len(content.getvalue()) <= CHUNK


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "../x", "/etc/passwd", "a\\b", "a\nb", "a\x00b", "a\u202eb"])
def test_a_registry_that_lists_a_name_that_no_file_has_is_not_believed(name: str) -> None:
    with pytest.raises(PermanentFailure, match="lists an artifact that no folder holds") as failure:
        files(Poisoned("", name), 1e6)
    assert failure.value.reason.isprintable()


@pytest.mark.parametrize("name", ["$(id)", "; id", "%2e%2e%2fx", "a b?x=1#y", "{model}", "-rf", "🍷"])
def test_any_other_name_is_only_a_name(name: str) -> None:
    assert files(Poisoned("", name), 1e6) == {name: 1}


@pytest.mark.parametrize(
    "uri",
    [
        "mlflow-artifacts:/../../2.0/mlflow/registered-models/list",
        "mlflow-artifacts:/1/../../x",
        "mlflow-artifacts:/1/%2e%2e/x",
        "mlflow-artifacts:/1/..\\x",
        "mlflow-artifacts:/1/./x",
    ],
)
def test_a_version_whose_files_lie_outside_the_servers_artifacts_is_not_read(uri: str) -> None:
    with pytest.raises(PermanentFailure, match="at a path that no folder has"):
        served(uri)


def test_files_within_the_servers_artifacts_are_read() -> None:
    assert served("mlflow-artifacts:/1/abc/artifacts/a..b") == "1/abc/artifacts/a..b"


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example.com/operations/1",
        "https://management.azure.com.evil.example.com/operations/1",
        "https://management.azure.com@evil.example.com/operations/1",
        "https://management.azure.com:8443/operations/1",
        "https://management.azure.com",
        "http://management.azure.com/operations/1",
        "//management.azure.com/operations/1",
        "/subscriptions/1",
        "http://169.254.169.254/metadata/instance",
        "",
    ],
)
def test_an_operation_is_followed_at_resource_manager_alone(inside: Inside, url: str) -> None:
    with pytest.raises(PermanentFailure, match="another host"):
        azure_resource_manager.follow(url)
    assert inside.connections == 0


@pytest.mark.parametrize("url", ["https://vsrm.dev.azure.com/team", "https://team.vsrm.visualstudio.com"])
def test_azure_devops_is_spoken_to_at_its_own_hosts(url: str) -> None:
    assert azure_devops.client(Located(url), "release").config.base_url == url


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example.com/team",
        "https://vsrm.dev.azure.com.evil.example.com/team",
        "https://vsrm.dev.azure.com@evil.example.com/team",
        "https://evildev.azure.com/team",
        "http://vsrm.dev.azure.com/team",
        "http://127.0.0.1/team",
        "https://169.254.169.254/team",
    ],
)
def test_a_host_that_azure_devops_names_as_its_own_and_is_another_s_gets_no_token(url: str) -> None:
    with pytest.raises(PermanentFailure, match="no token goes there"):
        azure_devops.client(Located(url), "release")
