"""Strict JSON: what two parsers could read in two ways is refused.

Python's own parser takes duplicate keys (the last wins), NaN, lone surrogates and integers of any length; a
receiver that verifies one reading and acts on another is open to attack, so none of these is accepted here.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any, NoReturn

from shared.errors import InvalidEvent

MAX_DEPTH = 32
MAX_DIGITS = 400  # beyond any double; keeps int() from running long on a megabyte of digits


def parse(body: bytes) -> Any:
    """Return the value of a UTF-8 JSON text. Raises InvalidEvent, and nothing else, for anything not strict."""
    try:
        text = body.decode("utf-8")
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_double,
            parse_constant=_constant,
        )
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
    _check_depth(value, MAX_DEPTH)
    return value


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
