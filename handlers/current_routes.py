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
from shared.waits import about_to_wait

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
    if _is_due():
        about_to_wait()
        # Whoever comes first looks; the others go on with what is known, and wait only if nothing is.
        if _lock.acquire(blocking=_loaded.routes is None and _loaded.problem is None):
            try:
                if _is_due():
                    _look()
            finally:
                _lock.release()
    routes, problem = _loaded.routes, _loaded.problem
    if problem is not None:
        raise problem
    if routes is None:
        raise RoutesUnavailable("the routes have not been read")
    return routes


def _is_due() -> bool:
    return time.monotonic() - _loaded.looked >= LOOK_AGAIN_SECONDS


def _look() -> None:
    name = settings().routes
    try:
        text = _fetch(name)
        if text != _loaded.text:
            _loaded.routes = parse_routes(text, name.rsplit("/", 1)[-1].split("?")[0], rules())
        _loaded.text, _loaded.problem = text, None
    except RoutesError as error:
        _loaded.text, _loaded.problem = None, error
    except Exception as error:  # storage and identity fail in many ways; none of them may end the worker
        if _loaded.routes is None:  # else the last known good serves on
            _loaded.problem = RoutesUnavailable(f"ROUTES could not be fetched: {type(error).__name__}")
            return  # not looked: the next delivery tries again
    _loaded.looked = time.monotonic()


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
