"""Sessions of requests that know proxies and certificates beforehand, instead of finding them out at each call.

To load the certificates that are trusted takes requests 20 to 40 ms of CPU for each new session; here it is done once.
Connections are not kept for the next call: one that the service has closed meanwhile would make a POST fail in a way of
which nobody knows whether it was carried out.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from shared.settings import variable

if TYPE_CHECKING:
    from collections.abc import Callable
    from ssl import SSLContext

    from requests import Session
    from requests.adapters import HTTPAdapter


def client_options() -> dict[str, Any]:
    """Return the options that spare an Azure client's transport the search at each call.

    Contract: azure.core's RequestsTransport, which hands `use_env_settings` on as requests' `trust_env`, and
    `connection_verify` as its `verify`. Where proxies are configured there are none: the client looks by itself.
    """
    if _has_proxies():
        return {}
    bundle = _bundle()
    return {"use_env_settings": False, **({"connection_verify": bundle} if bundle else {})}


def new_session() -> Session:
    """Return a session for one call. It reads no .netrc, whose password would take the place of our own token.

    Where proxies are configured, it is an ordinary one, which finds out for itself which hosts they are for.
    """
    import requests

    session = requests.Session()
    if not _has_proxies():
        session.trust_env = False
        session.mount("https://", _adapter_type()(_trusting(_bundle())))
    return session


@cache
def _has_proxies() -> bool:
    """Tell whether proxies are configured: HTTP_PROXY and its kin, NO_PROXY, or the settings of macOS or Windows."""
    from urllib.request import getproxies

    return bool(getproxies())


def _bundle() -> str:
    """Return the file or folder of certificates that requests is told to trust, empty if it is to trust its own."""
    return variable("REQUESTS_CA_BUNDLE") or variable("CURL_CA_BUNDLE")


@cache
def _trusting(bundle: str) -> SSLContext:
    """Return what trusts the certificates of the file or folder, of certifi's file if none is given."""
    from pathlib import Path

    from requests.utils import DEFAULT_CA_BUNDLE_PATH
    from urllib3.util import create_urllib3_context

    context, place = create_urllib3_context(), bundle or DEFAULT_CA_BUNDLE_PATH
    if Path(place).is_dir():
        context.load_verify_locations(capath=place)
    else:
        context.load_verify_locations(cafile=place)
    # urllib3 sets the protocols for each connection anew, while others are begun with the same context: OpenSSL frees
    # the list under their hands
    context.set_alpn_protocols(["http/1.1"])
    context.set_alpn_protocols = lambda alpn_protocols: None  # type: ignore[method-assign]
    return context


@cache
def _adapter_type() -> Callable[[SSLContext], HTTPAdapter]:
    from requests.adapters import HTTPAdapter

    class Trusting(HTTPAdapter):
        """Verifies with the context that it is given, where requests would load the certificates again."""

        def __init__(self, context: SSLContext) -> None:
            self._context = context
            super().__init__()

        def init_poolmanager(self, *args: Any, **options: Any) -> None:
            super().init_poolmanager(*args, ssl_context=self._context, **options)

        def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
            conn.cert_reqs = "CERT_REQUIRED"

    return Trusting
