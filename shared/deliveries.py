"""What a source reads out of one signed HTTP request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from shared.errors import InvalidEvent
from shared.messages import Event
from shared.shapes import converted

Body = TypeVar("Body")


class Delivery(msgspec.Struct, frozen=True):
    """One delivery whose signature held.

    `sent` is when it was sent, in seconds since 1970 (None: the sender doesn't say), for the age gate. `test` tells
    that somebody only pressed Test: it is answered with the plan and never acted on.
    """

    event: Event
    sent: float | None
    test: bool


@dataclass(frozen=True)
class SourceKind:
    """How one kind of sender is read. Pure: time and secrets are passed in.

    `is_signed(headers, body, secrets)` judges the raw bytes; header names are lower case. `read(source name,
    headers, body, now)` is called only after that, and raises InvalidEvent. `max_age` in seconds.
    """

    max_age: float
    is_signed: Callable[[Mapping[str, str], bytes, Sequence[bytes]], bool]
    read: Callable[[str, Mapping[str, str], bytes, float], Delivery]


def shaped(value: Any, shape: type[Body]) -> Body:
    """Return parsed JSON as an instance of the shape. Raises InvalidEvent that names the field at fault."""
    try:
        return converted(value, shape)
    except msgspec.ValidationError as error:
        raise InvalidEvent(str(error)) from None


def required(value: str | None, field: str, event: str) -> str:
    """Return the value. Raises InvalidEvent if the event lacks it."""
    if not value:
        raise InvalidEvent(f"{event} needs the field `{field}`")
    return value
