"""The guard of hosts that a routes file or a secret names freely: which of them this app may talk to.

A URL is held against a strict form and the setting ALLOWED_HOSTS. What a name resolves to is checked where it counts,
on the very connection: within `guarded()` no socket connects to an address that isn't public, whichever library opens
it, whatever DNS said a moment before. On a laptop (KEY_VAULT_URL is on loopback) loopback is allowed besides.
An address that a service names in an answer is held against the same form, and connected to in the same way.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, NamedTuple

from shared.errors import PermanentFailure
from shared.settings import LOOPBACK, is_loopback, settings

HTTPS = 443
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[::1\]|[^/?#:@\\\[\]{}]+)(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?:[/?][A-Za-z0-9{}._~:/?\[\]@!$&'()*+,;=%-]*)?"
)
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# the last label begins with a letter: what doesn't is read as a number by some, and 0x7f.1 is this machine then
_NAME = re.compile(rf"(?:{_LABEL}\.)+[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?")
# what older Pythons take for global, or what is by its number: the platform's own 168.63.129.16
_NOT_PUBLIC = tuple(
    map(ip_network, ("168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24", "64:ff9b:1::/48", "fec0::/10"))
)
_CONNECTING = ("socket.connect", "socket.sendto", "socket.sendmsg")
# Azure's storage may be at a private endpoint. Nobody outside can have such a name lead to a private address: the
# zones are Microsoft's, and the private ones those of the app's own network
_STORAGE = tuple(
    f".{service}.{cloud}"
    for service in ("blob", "dfs")
    for cloud in ("core.windows.net", "core.usgovcloudapi.net", "core.chinacloudapi.cn", "storage.azure.net")
)


class Place(NamedTuple):
    """Where a URL leads: a host in lower case, and a port."""

    host: str
    port: int

    @property
    def is_here(self) -> bool:
        """Whether it is this machine, by its name."""
        return self.host in LOOPBACK


def place_of(url: str) -> Place:
    """Return where a URL leads; its path and query may hold placeholders, its host none.

    Raises ValueError with a sentence unless it is https with a host by its full name, without userinfo or fragment;
    http and an address are taken on loopback only. The URL is not in the sentence.
    """
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError(
            "a URL is https://host/path?query, the host without user, password or placeholder, no fragment"
        )
    host = match["host"].strip("[]")
    place = Place(host, int(match["port"] or (HTTPS if match["scheme"] == "https" else 80)))
    if place.port > 65535:
        raise ValueError(f"there is no port {place.port}")
    if place.is_here:
        return place
    if match["scheme"] != "https":
        raise ValueError("the URL has to be https (http only on this machine)")
    if len(host) > 253 or _NAME.fullmatch(host) is None:
        raise ValueError(f"{host!r} is no host: give its full name in lower-case letters, no number")
    return place


def require_allowed(place: Place) -> None:
    """Raise PermanentFailure unless ALLOWED_HOSTS has the place, or it is loopback on a laptop."""
    _require_outside(place)
    if place.is_here:
        return
    if not any(_allows(entry, place) for entry in settings().allowed_hosts):
        port = "" if place.port == HTTPS else f":{place.port}"
        raise PermanentFailure(f"{place.host}{port} is not in the setting ALLOWED_HOSTS")


def place_named(url: str, what: str) -> Place:
    """Return where an address leads that a service has named in its answer; `what` it is begins the sentence if wrong.

    Raises PermanentFailure unless it is https with a host by its full name; this machine is one on a laptop only.
    """
    try:
        place = place_of(url)
    except ValueError as error:
        raise PermanentFailure(f"{what} is none to go to: {error}") from None
    _require_outside(place)
    return place


@contextmanager
def going_to(url: str, what: str) -> Iterator[None]:
    """Connect within to the address that a service has named, as `place_named` and `guarded` allow.

    Azure's storage, by its own names, may be at a private address.
    """
    place = place_named(url, what)
    with nullcontext() if place.host.endswith(_STORAGE) else guarded():
        yield


def is_public(address: str) -> bool:
    """Tell whether an IP address belongs to the internet at large; False for what is no address."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, IPv6Address) and (ip.ipv4_mapped or ip.sixtofour or ip.teredo):
        return False  # an IPv4 address within, which may be any
    return ip.is_global and not ip.is_multicast and not ip.is_reserved and not any(ip in each for each in _NOT_PUBLIC)


@contextmanager
def guarded() -> Iterator[None]:
    """Let nothing that runs within connect to an address that isn't public. Raises PermanentFailure.

    That is also raised at the end if the refusal was swallowed on its way, as by a library that logs and goes on.
    """
    _watch()
    refused: list[PermanentFailure] = []
    token = _refusals.set(refused)
    try:
        yield
    except Exception:
        if not refused:
            raise
    finally:
        _refusals.reset(token)
    if refused:
        raise refused[0] from None


_refusals: ContextVar[list[PermanentFailure]] = ContextVar("refusals")


@cache
def _watch() -> None:
    """Have the interpreter tell of each connection before it is made. There is no way back, hence only on first use."""
    sys.addaudithook(_on_audit_event)


def _on_audit_event(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in _CONNECTING:
        return
    refused = _refusals.get(None)
    if refused is None or arguments[1] is None or _may_connect(arguments[1]):
        return
    refused.append(PermanentFailure(f"the host is at {_shown(arguments[1])}, which is no public address"))
    raise refused[-1]


def _require_outside(place: Place) -> None:
    if place.is_here and not _on_a_laptop():
        raise PermanentFailure(f"{place.host} is this machine itself: no service of the outside")


def _may_connect(address: Any) -> bool:
    if not isinstance(address, tuple):  # a socket in the file system
        return False
    host = str(address[0])
    return is_public(host) or (_is_loopback_address(host) and _on_a_laptop())


def _shown(address: Any) -> str:
    return str(address[0]) if isinstance(address, tuple) else "a local socket"


def _is_loopback_address(host: str) -> bool:
    try:
        return ip_address(host) in (IPv4Address("127.0.0.1"), IPv6Address("::1"))
    except ValueError:
        return False


def _on_a_laptop() -> bool:
    return is_loopback(settings().key_vault_url)


def _allows(entry: str, place: Place) -> bool:
    host, _, port = entry.partition(":")
    if place.port != int(port or HTTPS):
        return False
    return place.host.endswith(host[1:]) if host.startswith("*.") else place.host == host
