"""Strict JSON: what two parsers could read in two ways is refused.

Python's own parser takes duplicate keys (the last wins), NaN, lone surrogates and integers of any length; a
receiver that verifies one reading and acts on another is open to attack, so none of these is accepted here.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any, NoReturn

import msgspec

from shared.errors import InvalidEvent

MAX_DEPTH = 32
MAX_DIGITS = 400  # beyond any double; keeps int() from running long on a megabyte of digits
MAX_PLAIN_BYTES = 64 * 1024  # beyond, what the quick reading costs in vain is no trifle any more
UNCLEAR = object()
_TO_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)
_LONG = b"0" * 16  # a double holds every integer of fifteen digits


def parse(body: bytes) -> Any:
    """Return the value of a UTF-8 JSON text. Raises InvalidEvent, and nothing else, for anything not strict."""
    value = parse_plain(body)
    return parse_any(body) if value is UNCLEAR else value


def parse_plain(body: bytes) -> Any:
    """Return the value if the text is what msgspec writes of it, but for the space between tokens; else UNCLEAR.

    What is written of a value holds no key twice, no half of a surrogate pair and nothing that is not JSON, and reads
    back as that value. So a text of the same bytes is strict too. Nothing is refused here: whatever is written in
    another way (an escape, an exponent), is deep, long, or has long numbers, is left to the slow reading.
    """
    if len(body) > MAX_PLAIN_BYTES or not _is_shallow(body) or _LONG in body.translate(_TO_ZEROS):
        return UNCLEAR
    try:
        value = msgspec.json.decode(body)
        written = msgspec.json.encode(value)
        same = written == body or written == msgspec.json.format(body, indent=-1)
    except (msgspec.MsgspecError, UnicodeError):
        return UNCLEAR
    return value if same else UNCLEAR


def parse_any(body: bytes) -> Any:
    """Do as `parse`, slowly: each object and each number is looked at."""
    try:
        text = body.decode("utf-8")
        value = _DECODER.decode(text)
        if "\\u" in text:  # only an escape can bring in half of a surrogate pair
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidEvent(f"the body is not UTF-8 (byte {error.start})") from None
    except UnicodeEncodeError:
        raise InvalidEvent("the body holds half of a surrogate pair") from None
    except json.JSONDecodeError as error:
        raise InvalidEvent(f"the body is not JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise InvalidEvent(f"the body is nested deeper than {MAX_DEPTH} levels") from None
    if not _is_shallow(body):
        _check_depth(value, MAX_DEPTH)
    return value


def _is_shallow(body: bytes) -> bool:
    """Tell whether so few brackets open that the text can't be too deep."""
    return body.count(b"{") + body.count(b"[") <= MAX_DEPTH


def _check_depth(value: Any, left: int) -> None:
    if isinstance(value, dict | list):
        if left == 0:
            raise InvalidEvent(f"the body is nested deeper than {MAX_DEPTH} levels")
        for child in value.values() if isinstance(value, dict) else value:
            _check_depth(child, left - 1)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise InvalidEvent(f"the key {twice[:80]!r} stands twice in one object")
    return found


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise InvalidEvent("a number is too large for a double")
    value = int(digits)
    try:
        held = int(float(value)) == value
    except OverflowError:
        held = False
    if not held:
        raise InvalidEvent(f"no double holds the integer {digits[:40]}")
    return value


def _double(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise InvalidEvent(f"no double holds the number {text[:40]}")
    return value


def _constant(name: str) -> NoReturn:
    raise InvalidEvent(f"{name} is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_double, parse_constant=_constant
)
