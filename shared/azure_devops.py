"""The door to Azure DevOps: the azure-devops SDK, with our credentials, timeouts and judgement of what came back."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from shared.errors import AmbiguousFailure, Failure, PermanentFailure
from shared.identity import AZURE_DEVOPS_SCOPE, token
from shared.rest import TIMEOUT_SECONDS, failure_of_error, judge, retry_after
from shared.sessions import client_options
from shared.settings import is_loopback, settings, use_cache_folder
from shared.telemetry import span

SERVICE = "Azure DevOps"
_advice = threading.local()
_loading = threading.Lock()


def _load(*modules: str) -> None:
    """Import modules of the SDK in one thread while others wait: they import each other in circles, and threads that
    meet there get halves of modules (ImportError, KeyError)."""
    with _loading:
        for name in modules:
            import_module(name)


@lru_cache(maxsize=16)
def connect(organization: str, pat: str) -> Any:
    """Return a Connection of the SDK to the organization, with a personal access token or (if empty) as the app.

    Its credentials ask for the token at each request, so it never grows stale. Raises a Failure if there is no token.
    """
    use_cache_folder("AZURE_DEVOPS_CACHE_DIR", str(Path(tempfile.gettempdir()) / "registry-relay-azure-devops"))
    _load("azure.core.exceptions", "msrest.authentication", "azure.devops.connection")
    from azure.devops.connection import Connection

    return Connection(base_url=f"{settings().azure_devops_url}/{organization}", creds=_credentials(pat))


def client(connection: Any, area: str) -> Any:
    """Return the SDK's client of an area (`release`, `pipelines`, `build`), set up to fail fast and not to retry."""
    _load(f"azure.devops.v7_1.{area}")
    with answering():
        found = getattr(connection.clients_v7_1, f"get_{area}_client")()
    _require_its_own(str(found.config.base_url))
    found.config.connection.timeout = TIMEOUT_SECONDS
    found.config.retry_policy.retries = 0  # the ledger decides whether anything is tried again
    known = client_options()
    found.config.proxies.use_env_settings = known.get("use_env_settings", True)
    found.config.connection.verify = known.get("connection_verify", True)
    return found


def _require_its_own(url: str) -> None:
    """The SDK asks the service on which host an area is, and sends our token there: hosts of others get none."""
    host, own = urlsplit(url).hostname or "", urlsplit(settings().azure_devops_url).hostname
    is_its_own = host == own or (own == "dev.azure.com" and host.endswith((".dev.azure.com", ".visualstudio.com")))
    if not is_its_own or not (url.startswith("https://") or is_loopback(url)):
        raise PermanentFailure(f"{SERVICE} names {host[:100]!r} as a host of its own, and no token goes there")


@contextmanager
def answering() -> Iterator[None]:
    """Turn whatever the SDK raises into a Failure. Our hook on the response has judged most outcomes before."""
    _advice.seconds = 0.0
    _load("azure.core.exceptions", "msrest.exceptions")
    from azure.core.exceptions import DeserializationError
    from msrest.exceptions import ClientException, ClientRequestError

    try:
        yield
    except Failure:
        raise
    except DeserializationError as error:
        raise AmbiguousFailure(f"the reply of {SERVICE} could not be read: {error}") from None
    except ClientRequestError as error:
        cause = getattr(error, "inner_exception", None)
        if cause is None:
            raise PermanentFailure(f"{SERVICE}: {error}") from None
        method = getattr(getattr(cause, "request", None), "method", None) or "POST"
        raise failure_of_error(cause, method, SERVICE) from None
    except (ClientException, ValueError) as error:
        raise PermanentFailure(f"{SERVICE}: {error}") from None


def advised_delay() -> float:
    """Return the seconds of the longest Retry-After since `answering` was entered in this thread: Azure DevOps asks
    for patience with it on a 200 too, before it begins to refuse."""
    return float(_advice.seconds)


def whole(resource: Any) -> Any:
    """Return what the SDK made of a reply. Raises AmbiguousFailure if it made nothing of it: an empty 200, say."""
    if getattr(resource, "id", None) is None:
        raise AmbiguousFailure(f"the reply of {SERVICE} does not tell what it did")
    return resource


def web_link(resource: Any) -> str:
    """Return the address at which a person sees the release or run, empty if the service gave none."""
    links = resource._links
    found = getattr(links, "links", None) or getattr(links, "additional_properties", None) or links or {}
    web = found.get("web") if isinstance(found, dict) else None
    return str(web.get("href", "")) if isinstance(web, dict) else ""


def _credentials(pat: str) -> Any:
    from msrest.authentication import Authentication, BasicAuthentication

    class Credentials(Authentication):
        def signed_session(self, session: Any = None) -> Any:
            if pat:
                session = BasicAuthentication("", pat).signed_session(session)
            else:
                session = super().signed_session(session)
                session.headers["Authorization"] = f"Bearer {token(AZURE_DEVOPS_SCOPE)}"
            session.hooks["response"] = [_judge]
            session.send = partial(_send, session)
            return session

    return Credentials()


def _send(session: Any, request: Any, **options: Any) -> Any:
    with span(f"{request.method} {SERVICE}", asks=True) as told:
        response = type(session).send(session, request, **options)
        told["http.response.status_code"] = response.status_code
        return response


def _judge(response: Any, *_: Any, **__: Any) -> None:
    """Judge before the SDK does: it follows redirects, takes a sign-in page for an answer and drops the status."""
    _advice.seconds = max(getattr(_advice, "seconds", 0.0), retry_after(response.headers))
    judge(response.status_code, response.headers, _message(response), response.request.method, SERVICE)


def _message(response: Any) -> str:
    if 200 <= response.status_code < 300 and response.status_code != 203:
        return ""
    if "json" not in response.headers.get("Content-Type", ""):
        signed_out = response.status_code in (203, 302, 401, 403)
        return "a page instead of an answer" + (", as it gives to those who are not signed in" if signed_out else "")
    try:
        return str(response.json().get("message", ""))[:500]
    except (json.JSONDecodeError, AttributeError):
        return ""
