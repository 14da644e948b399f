"""Speaks to the running app: its URL, and its function key or a token for App Service authentication in front of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec
import typer

from cli.output import refused

if TYPE_CHECKING:
    import requests

KNOWN = {"findings", "events", "steps", "ready", "routes", "route"}  # every answer of the app holds one of these
# for questions, once the app has been reached: whoever follows it stays through a restart
TRIES, PAUSE_SECONDS = 6, 1.0
ON_THE_WAY = (502, 503, 504)
TIMEOUT_SECONDS = 230  # after that Azure ends a request by itself


class Place(msgspec.Struct, frozen=True):
    """Where the app is, and how it lets us in: options of the command line, or the environment."""

    url: str = ""
    key: str = ""
    audience: str = ""


def client(context: typer.Context) -> Client:
    """Return the client of the app that the command line names. Raises BadParameter where it names none."""
    place: Place = context.obj or Place()
    return Client(app_url(context), place.key, place.audience)


def app_url(context: typer.Context) -> str:
    """Return the app's URL. Raises BadParameter if none is given, or one over which a key would go in clear."""
    place: Place = context.obj or Place()
    if not place.url:
        raise typer.BadParameter("this command speaks to the app: give --url, or RELAY_URL in the environment")
    return safe_url(place.url, "--url")


def safe_url(url: str, option: str) -> str:
    """Return the URL without a slash at its end. Raises BadParameter unless it is https, or on this machine."""
    from shared.errors import SettingError
    from shared.settings import allowed_url

    try:
        return allowed_url(url, option)
    except SettingError as error:
        raise typer.BadParameter(str(error)) from None


class Client:
    """The app at a URL. What it refuses ends the command with its reason and exit status 1."""

    def __init__(self, url: str, key: str = "", audience: str = "") -> None:
        from shared.redaction import remember

        self._url, self._key, self._audience = url, key, audience
        self._was_reached = False
        remember(key)

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON at a path below /api."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._answer("GET", path, params=given)

    def find(self, path: str) -> Any:
        """Return the JSON at a path below /api, None for what is not there."""
        return self._answer("GET", path, absent=True)

    def events(self, **query: Any) -> Iterator[dict[str, Any]]:
        """Yield the events that a query finds, newest first, page by page."""
        after = None
        while True:
            answer = self.get("events", after=after, **query)
            yield from answer["events"]
            after = answer.get("next")
            if not after:
                return

    def post(self, path: str, **body: Any) -> Any:
        """Post a JSON body to a path below /api; return the JSON of the answer."""
        given = {name: value for name, value in body.items() if value is not None}
        return self._answer("POST", path, json=given)

    def _answer(self, method: str, path: str, absent: bool = False, **more: Any) -> Any:
        tries = TRIES if method == "GET" and self._was_reached else 1
        for left in reversed(range(tries)):
            reply = self._reply(method, path, last=not left, **more)
            if reply is not None:
                break
            time.sleep(PAUSE_SECONDS)
        assert reply is not None  # noqa: S101  # the last one ends the command instead
        self._was_reached = True
        return None if absent and reply.status_code == 404 else _judged(reply)

    def _reply(self, method: str, path: str, last: bool, **more: Any) -> requests.Response | None:
        """Return the reply; None for one that was lost on its way, unless it is the last that is asked for."""
        import requests

        try:
            reply = requests.request(
                method,
                f"{self._url}/api/{path}",
                headers=self._headers(),
                timeout=TIMEOUT_SECONDS,
                allow_redirects=False,  # to a sign-in page, with our key
                **more,
            )
        except requests.RequestException as error:
            if last:
                raise refused(f"{self._url} can't be reached: {type(error).__name__}") from None
            return None
        return None if reply.status_code in ON_THE_WAY and not last else reply

    def _headers(self) -> dict[str, str]:
        headers = {"x-functions-key": self._key} if self._key else {}
        if self._audience:
            headers["Authorization"] = f"Bearer {_token(self._audience)}"
        return headers


def _judged(reply: requests.Response) -> Any:
    if reply.is_redirect or reply.status_code == 401:
        raise refused(
            f"the app lets nobody in so ({reply.status_code}): give a function key in RELAY_KEY or, where App Service "
            "authentication stands in front, its application in RELAY_AUDIENCE"
        )
    if reply.status_code == 403:
        raise refused("the app refuses this account (403): it has no role there")
    if not reply.ok:
        raise refused(_reason(reply))
    found = _json(reply)
    if not isinstance(found, dict) or not found.keys() & KNOWN:
        raise refused("what is at this URL does not answer as this app does: is it the right one?")
    return found


def _json(reply: requests.Response) -> Any:
    try:
        return reply.json()
    except ValueError:
        return None


def _reason(reply: requests.Response) -> str:
    found = _json(reply)
    told = found.get("error") if isinstance(found, dict) else None
    return str(told) if told else f"the app answered {reply.status_code}"


def _token(audience: str) -> str:
    from shared.errors import TransientFailure
    from shared.identity import token

    try:
        return token(f"{audience.removesuffix('/.default')}/.default")
    except TransientFailure as failure:
        raise refused(failure.reason) from None
