"""The guard of outbound hosts: what a URL may look like, which hosts are allowed, which addresses are connected to."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Iterator

import pytest
import requests
from hypothesis import example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from shared.errors import PermanentFailure, SettingError
from shared.outbound import Place, guarded, is_public, place_of, require_allowed
from shared.settings import settings

CLOUD, LAPTOP = "https://relay.vault.azure.net", "https://127.0.0.1:8443"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("KEY_VAULT_URL", CLOUD)
    monkeypatch.setenv("ALLOWED_HOSTS", "api.example.com, *.hooks.example.com,odd.example.com:8443")
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture
def laptop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_VAULT_URL", LAPTOP)
    settings.cache_clear()


@pytest.fixture
def open_port() -> Iterator[tuple[int, list[bool]]]:
    """A port of this machine that notes each connection."""
    seen: list[bool] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                seen.append(True)
                connection.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
                connection.close()

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1], seen
        server.shutdown(socket.SHUT_RDWR)


GOOD = {
    "https://api.example.com": Place("api.example.com", 443),
    "https://api.example.com/": Place("api.example.com", 443),
    "https://api.example.com:443/x": Place("api.example.com", 443),
    "https://api.example.com:8443/x?a=b&c=%20": Place("api.example.com", 8443),
    "https://api.example.com?a={model}": Place("api.example.com", 443),
    "https://xn--bcher-kva.example/{model}/{version}": Place("xn--bcher-kva.example", 443),
    "http://127.0.0.1:9/x": Place("127.0.0.1", 9),
    "http://localhost/x": Place("localhost", 80),
    "https://[::1]:9/x": Place("::1", 9),
}
BAD = [
    "",
    "api.example.com",
    "//api.example.com",
    "ftp://api.example.com",
    "file:///etc/passwd",
    "gopher://api.example.com",
    "HTTPS://api.example.com",
    "http://api.example.com",
    "https://",
    "https:///x",
    "https://api",
    "https://api.example.com.",
    "https://API.example.com",
    "https://.example.com",
    "https://a..example.com",
    "https://-a.example.com",
    "https://a_b.example.com",
    "https://{model}",
    "https://{model}.example.com",
    "https://api.example.com{model}",
    "https://api.example.com:{version}/",
    "https://user@api.example.com",
    "https://user:password@api.example.com",
    "https://api.example.com@169.254.169.254/",
    "https://api.example.com%40169.254.169.254/",
    "https://api.example.com\\@169.254.169.254/",
    "https://api.example.com\\.evil.example/",
    "https://api.example.com#@evil.example/",
    "https://api.example.com/#fragment",
    "https://api.example.com /",
    "https://api.example.com/a b",
    "https://api.example.com/\r\nHost: evil.example",
    "https://api.example.com/\u0000",
    "https://api.example.com\t/",
    "https://\u2024example.com/",
    "https://api。example。com/",
    "https://ⓔxample.com/",
    "https://api.example.com:0/",
    "https://api.example.com:65536/",
    "https://api.example.com:/",
    "https://api.example.com:99999999/",
    "https://api.example.com:44a/",
    "https://8.8.8.8/",
    "https://10.0.0.1/",
    "https://169.254.169.254/metadata/instance",
    "https://168.63.129.16/",
    "https://2852039166/",
    "https://0xa9fea9fe/",
    "https://0xa9.0xfe.0xa9.0xfe/",
    "https://0251.0376.0251.0376/",
    "https://169.254.43518/",
    "https://127.1/",
    "https://0/",
    "https://0x7f.1/",
    "https://a.0x7f/",
    "https://[fd00:ec2::254]/",
    "https://[::ffff:169.254.169.254]/",
    "https://[::ffff:7f00:1]/",
    "https://[2001:4860:4860::8888]/",
    "https://[fe80::1%25eth0]/",
    "http://127.0.0.2/",
    "http://127.0.0.1.example.com/",
    "http://localhost.example.com/",
    "http://127.0.0.1@api.example.com/",
]


@pytest.mark.parametrize(("url", "place"), GOOD.items())
def test_a_url_leads_to_a_host_and_a_port(url: str, place: Place) -> None:
    assert place_of(url) == place


@pytest.mark.parametrize("url", BAD)
def test_what_could_lead_elsewhere_than_it_seems_is_no_url(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|host|port"):
        place_of(url)


@examples(deadline=None, max_examples=500)
@given(st.text(max_size=30).map(lambda text: f"https://{text}") | st.from_regex(r"https?://\S{0,40}", fullmatch=True))
@example("https://a.b/\\@c.d")
def test_whatever_is_taken_leads_requests_to_the_same_host_and_port(url: str) -> None:
    try:
        place = place_of(url)
    except ValueError:
        return
    sent = requests.Request("GET", url).prepare().url
    from urllib3.util import parse_url

    parsed = parse_url(sent or "")
    assert ((parsed.host or "").strip("[]"), parsed.port or (443 if parsed.scheme == "https" else 80)) == place
    assert parsed.auth is None


ALLOWED = ["api.example.com", "a.hooks.example.com", "a.b.hooks.example.com"]
REFUSED = ["example.com", "xapi.example.com", "api.example.com.evil.example", "hooks.example.com", "odd.example.com"]


@pytest.mark.parametrize("host", ALLOWED)
def test_a_host_of_the_list_is_allowed_at_its_port_alone(host: str) -> None:
    require_allowed(Place(host, 443))
    with pytest.raises(PermanentFailure, match=f"{host}:8443 is not in the setting ALLOWED_HOSTS"):
        require_allowed(Place(host, 8443))


def test_a_port_that_the_list_names_is_allowed() -> None:
    require_allowed(Place("odd.example.com", 8443))


@pytest.mark.parametrize("host", [*REFUSED, "evilhooks.example.com", "xhooks.example.com"])
def test_a_host_that_is_not_in_the_list_is_refused(host: str) -> None:
    with pytest.raises(PermanentFailure, match=f"{host} is not in the setting ALLOWED_HOSTS"):
        require_allowed(Place(host, 443))


def test_no_host_is_allowed_where_the_list_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALLOWED_HOSTS")
    settings.cache_clear()
    with pytest.raises(PermanentFailure, match="ALLOWED_HOSTS"):
        require_allowed(Place("api.example.com", 443))


@pytest.mark.parametrize(
    "entry",
    ["*", "*.com", "https://api.example.com", "api", "a.example.com/x", "10.0.0.1", "a.*.com", "API.x.com", "a.b:0"],
)
def test_an_entry_that_is_no_host_names_the_setting(entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_HOSTS", f"api.example.com,{entry}")
    settings.cache_clear()
    with pytest.raises(SettingError, match="setting ALLOWED_HOSTS has to list hosts"):
        settings()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_this_machine_is_a_host_on_a_laptop_only(host: str, request: pytest.FixtureRequest) -> None:
    with pytest.raises(PermanentFailure, match="this machine itself"):
        require_allowed(Place(host, 9))
    request.getfixturevalue("laptop")
    require_allowed(Place(host, 9))


PUBLIC = ["8.8.8.8", "20.50.1.1", "2001:4860:4860::8888", "2603:1030::1"]
PRIVATE = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "168.63.129.16",
    "192.0.0.192",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "::ffff:169.254.169.254",
    "::ffff:8.8.8.8",
    "::127.0.0.1",
    "2002:7f00:1::",
    "2001:0:7f00:1::1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2001:db8::1",
    "api.example.com",
    "2852039166",
    "0x7f.1",
    "",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_of_a_network_within_or_of_the_platform_is_not(address: str) -> None:
    assert not is_public(address)


@given(st.ip_addresses())
def test_no_private_address_is_public_in_any_spelling(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if ip.is_private or ip.is_loopback or ip.is_link_local:
        assert not is_public(str(ip))
        assert not is_public(ip.exploded)
    if isinstance(ip, ipaddress.IPv4Address):
        assert not is_public(f"::ffff:{ip}")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_what_runs_guarded_connects_to_no_private_address_whatever_its_name(
    host: str, open_port: tuple[int, list[bool]]
) -> None:
    """`localhost` is the name of a host whose DNS answer is private: what counts is the address in the connection."""
    port, seen = open_port
    with pytest.raises(PermanentFailure, match="which is no public address"), guarded():
        requests.get(f"http://{host}:{port}/", timeout=5)
    assert not seen
    assert requests.get(f"http://{host}:{port}/", timeout=5).status_code == 204


def test_a_refusal_that_a_library_swallows_is_raised_in_the_end(open_port: tuple[int, list[bool]]) -> None:
    def swallow() -> None:
        with socket.socket() as connection:
            try:
                connection.connect(("127.0.0.1", open_port[0]))
            except Exception:
                return

    with pytest.raises(PermanentFailure, match=r"127\.0\.0\.1"), guarded():
        swallow()
    assert not open_port[1]


def test_datagrams_and_sockets_of_the_file_system_are_guarded_too() -> None:
    with (
        pytest.raises(PermanentFailure, match=r"169\.254\.169\.254"),
        guarded(),
        socket.socket(type=socket.SOCK_DGRAM) as out,
    ):
        out.sendto(b"x", ("169.254.169.254", 514))
    with pytest.raises(PermanentFailure, match="a local socket"), guarded(), socket.socket(socket.AF_UNIX) as out:
        out.connect("/var/run/docker.sock")


@pytest.mark.usefixtures("laptop")
def test_on_a_laptop_its_own_address_is_connected_to_and_no_other_private_one(
    open_port: tuple[int, list[bool]],
) -> None:
    with guarded():
        assert requests.get(f"http://127.0.0.1:{open_port[0]}/", timeout=5).status_code == 204
    with pytest.raises(PermanentFailure, match=r"169\.254\.169\.254"), guarded():
        requests.get("http://169.254.169.254/metadata/instance", timeout=5)


def test_an_error_of_another_kind_comes_through_as_it_is() -> None:
    with pytest.raises(KeyError), guarded():
        raise KeyError("x")


def test_the_guard_does_not_bind_other_threads(open_port: tuple[int, list[bool]]) -> None:
    statuses: list[int] = []

    def ask() -> None:
        statuses.append(requests.get(f"http://127.0.0.1:{open_port[0]}/", timeout=5).status_code)

    with guarded():
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
    assert statuses == [204]
