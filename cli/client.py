"""Speaks to the running app: its URL and its function key, from options or the environment."""

from __future__ import annotations

from typing import Any

import requests
import typer

TIMEOUT_SECONDS = 120


class Client:
    """The app at a URL. What it refuses ends the command with its reason and exit status 1."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._headers = url.rstrip("/"), {"x-functions-key": key}

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON at a path below /api."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._answer("GET", path, params=given)

    def post(self, path: str, **body: Any) -> Any:
        """Post a JSON body to a path below /api; return the JSON of the answer."""
        given = {name: value for name, value in body.items() if value is not None}
        return self._answer("POST", path, json=given)

    def _answer(self, method: str, path: str, **more: Any) -> Any:
        try:
            reply = requests.request(
                method, f"{self._url}/api/{path}", headers=self._headers, timeout=TIMEOUT_SECONDS, **more
            )
        except requests.RequestException as error:
            raise _refused(f"{self._url} can't be reached: {type(error).__name__}") from None
        if reply.status_code == 401:
            raise _refused("the app refuses the key: give a function key with --key or RELAY_KEY")
        if not reply.ok:
            raise _refused(_reason(reply))
        return reply.json()


def _reason(reply: requests.Response) -> str:
    try:
        return str(reply.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"the app answered {reply.status_code}"


def _refused(reason: str) -> typer.Exit:
    typer.echo(reason, err=True)
    return typer.Exit(1)
