"""The door to HTTP services, and the one place that decides what an HTTP outcome means for a step.

Definite no that may pass: 408, 425, 429, nothing sent. Definite no that stays: other 4xx, redirects, a sign-in page.
Nobody knows: 5xx, a connection that broke after the request was sent, a reply that can't be read; but where the
request only asked (GET), asking again is harmless, so these are transient there.
"""

from __future__ import annotations

import json
import logging
import ssl
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from shared.errors import AmbiguousFailure, Failure, PermanentFailure, TransientFailure
from shared.sessions import new_session
from shared.telemetry import span

if TYPE_CHECKING:
    from requests import Response

TIMEOUT_SECONDS = (5.0, 25.0)  # to connect, to read: three calls fit into STEP_LEASE_SECONDS
logging.getLogger("urllib3").setLevel(logging.INFO)  # at DEBUG it tells each request's path: a webhook's secret
_TRANSIENT = (408, 425, 429)
_ASKING = ("GET", "HEAD", "OPTIONS")
MAX_RETRY_AFTER = 6 * 3600.0
MAX_REPLY_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Reply:
    """What a service answered: `headers` are looked up without regard to case, `method` is that of the request."""

    service: str
    method: str
    status: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:
        """Return the body as JSON. Raises a Failure if it is none: then nobody knows what was done."""
        try:
            return json.loads(self.text)
        except ValueError:
            raise _unclear(f"the reply of {self.service} is not JSON", self.method, 0.0) from None


def request(
    method: str,
    url: str,
    service: str,
    *,
    payload: Any = None,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
    allowed: Collection[int] = (),
    passing: Collection[int] = (),
    timeout: tuple[float, float] = TIMEOUT_SECONDS,
) -> Reply:
    """Send a request with a JSON payload (bytes go as they are), without following redirects; return the reply.

    Raises a Failure unless the status is 2xx or in `allowed`. A status in `passing` is a no that may be a yes later.
    """
    import requests
    from urllib3.exceptions import LocationValueError

    body = {"data": payload} if isinstance(payload, bytes) else {"json": payload}
    with span(f"{method} {service}", asks=True) as told:
        try:
            with (
                new_session() as session,
                session.request(
                    method,
                    url,
                    **body,
                    headers=headers,
                    params=params,
                    timeout=timeout,
                    allow_redirects=False,
                    stream=True,
                ) as got,
            ):
                text = _text(got)
        except (requests.RequestException, LocationValueError) as error:
            raise failure_of_error(error, method, service) from None
        told["http.response.status_code"] = got.status_code
    if text is None:
        raise _unclear(f"the reply of {service} is longer than {MAX_REPLY_BYTES} bytes", method, 0.0)
    if got.status_code not in allowed:
        if got.status_code in passing:
            reason = f"{service} answered {got.status_code}: {_message(text)}"
            raise TransientFailure(reason, retry_after=retry_after(got.headers))
        judge(got.status_code, got.headers, _message(text), method, service)
    return Reply(service, method, got.status_code, got.headers, text)


def _text(got: Response) -> str | None:
    """Return the body as text, None if it is longer than this worker's memory is for."""
    read = bytearray()
    for chunk in got.iter_content(65_536):
        read += chunk
        if len(read) > MAX_REPLY_BYTES:
            return None
    try:
        return read.decode(got.encoding or "utf-8", "replace")
    except LookupError:  # a character set that nobody knows
        return read.decode("utf-8", "replace")


def post(url: str, payload: Any, service: str) -> str:
    """POST a JSON payload, without following redirects; return the reply's text. Raises a Failure unless it is 2xx."""
    return request("POST", url, service, payload=payload).text


def judge(status: int, headers: Mapping[str, str], message: str, method: str, service: str) -> None:
    """Raise the Failure that an HTTP status means, with the service's own message; return if it is a success.

    203 is none: Azure DevOps sends its sign-in page with it when a token is wrong or has expired.
    """
    if 200 <= status < 300 and status != 203:
        return
    reason = f"{service} answered {status}: {' '.join(message.split()) or 'no message'}"
    after = retry_after(headers)
    if status in _TRANSIENT:
        raise TransientFailure(reason, retry_after=after)
    if status >= 500:
        raise _unclear(reason, method, after)
    if status in (203, 302, 401, 403):
        raise PermanentFailure(f"{service} did not accept the credentials ({status}): {' '.join(message.split())}")
    raise PermanentFailure(reason)


def failure_of_error(error: Exception, method: str, service: str) -> Failure:
    """Return the Failure that an exception of requests means: whether the request was sent decides."""
    if _cannot_be_sent(error):
        return PermanentFailure(f"the request to {service} can't be made: {_named(error)}")
    if _was_not_sent(error):
        return TransientFailure(f"{service} could not be reached: {_named(error)}")
    return _unclear(f"the reply of {service} was lost: {_named(error)}", method, 0.0)


def retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds that the header Retry-After asks for (a number or a date), 0 without one."""
    text = headers.get("Retry-After", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return 0.0
    return min(max(seconds, 0.0), MAX_RETRY_AFTER) if seconds == seconds else 0.0


def _message(text: str) -> str:
    """Return the service's own words out of an error's body, in the forms that Azure, Databricks and MLflow use."""
    try:
        body = json.loads(text)
    except ValueError:
        return text[:300]
    found = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(found, dict):
        return str(found)[:300]
    code = found.get("code") or found.get("error_code") or ""
    words = f"{code}: {found.get('message', '')}" if code else found.get("message") or text
    return str(words)[:500]


def _unclear(reason: str, method: str, after: float) -> Failure:
    if method in _ASKING:
        return TransientFailure(reason, retry_after=after)
    return AmbiguousFailure(reason, retry_after=after)


def _cannot_be_sent(error: Exception) -> bool:
    """A URL or payload that makes no request: requests raises these as ValueErrors, before it connects."""
    from requests.exceptions import InvalidHeader, InvalidJSONError, InvalidSchema, InvalidURL, MissingSchema
    from urllib3.exceptions import LocationValueError

    wrong = (InvalidHeader, InvalidJSONError, InvalidSchema, InvalidURL, MissingSchema, LocationValueError)
    return isinstance(error, wrong)


def _was_not_sent(error: Exception) -> bool:
    import requests
    from urllib3 import exceptions as urllib3

    if isinstance(error, requests.ConnectTimeout | requests.exceptions.ProxyError):
        return True
    cause = error.args[0] if error.args else None
    reason = getattr(cause, "reason", cause)
    if isinstance(reason, urllib3.SSLError):  # else TLS may have broken after the request was sent
        return bool(reason.args) and isinstance(reason.args[0], ssl.SSLCertVerificationError)
    return isinstance(reason, urllib3.NewConnectionError | urllib3.ConnectTimeoutError | urllib3.NameResolutionError)


def _named(error: Exception) -> str:
    """Name the error's kind only: its text may hold the URL, and a webhook's URL is a secret."""
    return type(error).__name__
