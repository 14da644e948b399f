"""The routes in force: the file or blob that `ROUTES` names, read again when it has changed."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import msgspec

from handlers.sources import SOURCES
from handlers.targets import rules_of_targets
from shared import storage
from shared.errors import RelayError, RoutesError, RoutesUnavailable
from shared.routes import Routes
from shared.routes_file import parse_routes
from shared.routes_rules import Rules
from shared.settings import allowed_url, settings

LOOK_AGAIN_SECONDS = 30.0
_APP = Path(__file__).resolve().parent.parent


class _Loaded(msgspec.Struct):
    text: str | None = None
    routes: Routes | None = None
    problem: RelayError | None = None
    looked: float = -LOOK_AGAIN_SECONDS


_loaded = _Loaded()
_lock = threading.Lock()


def current_routes() -> Routes:
    """Return the routes in force.

    Raises RoutesError for an invalid file: routes that nobody reviewed in this form act on nothing, the former ones
    neither, since other workers may never have seen them. Raises RoutesUnavailable if the file was never read.
    """
    with _lock:
        if time.monotonic() - _loaded.looked >= LOOK_AGAIN_SECONDS:
            _look()
        if _loaded.problem is not None:
            raise _loaded.problem
        if _loaded.routes is None:
            raise RoutesUnavailable("the routes have not been read")
        return _loaded.routes


def _look() -> None:
    _loaded.looked = time.monotonic()
    name = settings().routes
    try:
        text = _fetch(name)
    except RoutesError as error:
        _loaded.text, _loaded.problem = None, error
        return
    except Exception as error:  # storage and identity fail in many ways; none of them may end the worker
        if _loaded.routes is None:  # else the last known good serves on
            _loaded.looked = -LOOK_AGAIN_SECONDS
            _loaded.problem = RoutesUnavailable(f"ROUTES could not be fetched: {type(error).__name__}")
        return
    if text == _loaded.text:
        return
    _loaded.text, _loaded.problem = text, None
    try:
        _loaded.routes = parse_routes(text, name.rsplit("/", 1)[-1].split("?")[0], rules())
    except RoutesError as error:
        _loaded.problem = error


def rules() -> Rules:
    """Return what a routes file is checked against in this app."""
    return Rules({name: kind.max_age for name, kind in SOURCES.items()}, rules_of_targets())


def _fetch(name: str) -> str:
    if "://" in name:
        return storage.read_blob_url(allowed_url(name, "setting ROUTES"))
    try:
        return (_APP / name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise RoutesError([f"{name}: the file that ROUTES names can't be read: {reason}"]) from None
