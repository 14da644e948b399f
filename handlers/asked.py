"""A request to an operators' function: who asks, for a page or for JSON, and whether another site made them ask.

The host has checked the key before. What is judged here is that a browser, which sends keys and sign-ins by itself,
does so because of our own page: its forms bear a token, and it says from which site it comes.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import msgspec

from shared.markers import sign
from shared.settings import settings

FORM = "application/x-www-form-urlencoded"
FORM_LIFE = timedelta(hours=1)
MAX_FORM, MAX_NAME = 20_000, 100
_ACCOUNT = "x-ms-client-principal-name"  # set by App Service authentication, which strips what a caller sends


@dataclass(frozen=True)
class Asked:
    """A request: `headers` with lower-case names, the `query`, the `body` as it was sent, and the URL's `path`."""

    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes = b""
    path: str = ""

    @property
    def wants_page(self) -> bool:
        """Whether the sender would rather have HTML than JSON: it names it, as browsers do and programs do not."""
        wanted = _qualities(self.headers.get("accept", ""))
        return wanted.get("text/html", 0.0) > wanted.get("application/json", 0.0)

    @property
    def is_form(self) -> bool:
        """Whether a page's form was sent. Some clients call JSON a form, and no body too."""
        return self._kind == FORM and bool(self.body.strip()) and not self.body.lstrip().startswith(b"{")

    @property
    def account(self) -> str:
        """The signed-in account; without App Service authentication anybody could send that header."""
        return account_of(self.headers)

    @property
    def form(self) -> dict[str, str]:
        """The fields of a form, the first of each name."""
        fields = parse_qs(self.body[:MAX_FORM].decode("utf-8", "replace"), max_num_fields=50)
        return {name: values[0] for name, values in fields.items()}

    @property
    def _kind(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def trouble(self) -> str:
        """Return why this POST is not to be trusted, empty if it is: another site made a browser send it."""
        if is_from_elsewhere(self.headers):
            return "another site has sent this: open the event's page here, and press the button there"
        may_be_forged = self._kind not in ("", FORM, "application/json") or (self._kind == FORM and not self.is_form)
        if may_be_forged and "x-functions-key" not in self.headers:  # a header that no form can send
            return "send the body as Content-Type: application/json"
        return ""

    def token(self, purpose: str, now: datetime) -> str:
        """Return the token of a form that does what `purpose` says, for whoever asks now, within an hour."""
        until = int((now + FORM_LIFE).timestamp())
        return f"{until}.{self._signature(purpose, until)}"

    def has_token(self, given: str, purpose: str, now: datetime) -> bool:
        """Tell whether a form's token was made for this purpose and this person, and not too long ago."""
        until, _, signature = given.partition(".")
        if not (until.isascii() and until.isdigit() and len(until) < 15) or int(until) < now.timestamp():
            return False
        return hmac.compare_digest(signature.encode(), self._signature(purpose, int(until)).encode())

    def _signature(self, purpose: str, until: int) -> str:
        key = self.headers.get("x-functions-key") or self.query.get("code") or ""
        who = [self.account, hashlib.sha256(key.encode()).hexdigest()]
        return sign("form/" + msgspec.json.encode([who, purpose, until]).decode())[:40]


def account_of(headers: Mapping[str, str]) -> str:
    """Return the signed-in account, empty without App Service authentication: then anybody could send that header."""
    return headers.get(_ACCOUNT, "") if settings().is_authenticated else ""


def named(given: str) -> str:
    """Return a name that a person gave, on one line and not too long."""
    return " ".join(given.split())[:MAX_NAME]


def is_from_elsewhere(headers: Mapping[str, str]) -> bool:
    """Tell whether a browser says that another site's page made it send this.

    Our pages send no referrer, hence their forms the origin `null`: it tells nothing. Programs send neither header.
    """
    if site := headers.get("sec-fetch-site"):
        return site not in ("same-origin", "none")
    origin = headers.get("origin", "null")
    hosts = {headers.get("host", ""), headers.get("x-forwarded-host", ""), urlsplit(settings().public_url).netloc}
    return origin != "null" and urlsplit(origin).netloc not in hosts - {""}


def _qualities(accept: str) -> dict[str, float]:
    """Return the media types of an Accept header with how much each is wanted."""
    wanted = {}
    for part in accept.split(","):
        kind, *parameters = (word.strip().lower() for word in part.split(";"))
        given = next((word[2:] for word in parameters if word.startswith("q=")), "1")
        wanted[kind] = float(given) if given.replace(".", "", 1).isdecimal() and given.isascii() else 0.0
    return wanted
