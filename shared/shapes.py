"""The door to msgspec's validation: JSON and plain values into the shapes that this app knows.

msgspec 0.22 works out a Struct's type when it is first decoded, and a second thread that comes meanwhile reads what is
half made: the process ends with a segmentation fault. A worker that wakes up with a full queue decodes in many threads
at once, so each shape is worked out here, under a lock, before it is used.
"""

from __future__ import annotations

import threading
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_ready: set[Any] = set()
_lock = threading.Lock()


def decoded(text: bytes | str, shape: type[T]) -> T:
    """Return a JSON text as that shape. Raises msgspec.DecodeError; ValidationError, a kind of it, names the place."""
    return msgspec.json.decode(text, type=_known(shape))


def converted(value: Any, shape: type[T]) -> T:
    """Return a plain value (dicts, lists, texts, numbers) as that shape. Raises msgspec.ValidationError."""
    return msgspec.convert(value, type=_known(shape))


def _known(shape: type[T]) -> type[T]:
    if shape not in _ready:
        with _lock:
            msgspec.json.Decoder(shape)
            _ready.add(shape)
    return shape
