"""Strict JSON: whatever two parsers could read in two ways is refused, and nothing but InvalidEvent ever comes out."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import InvalidEvent
from shared.strict_json import MAX_DEPTH, MAX_PLAIN_BYTES, UNCLEAR, parse, parse_any, parse_plain

REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not JSON"),
    "only space": (b"  \n", "not JSON"),
    "not UTF-8": (b'{"a": "\xff"}', "not UTF-8 (byte 7)"),
    "Latin-1": ('{"a": "é"}'.encode("latin-1"), "not UTF-8 (byte 7)"),
    "UTF-16 with BOM": ('{"a": 1}'.encode("utf-16"), "not UTF-8 (byte 0)"),
    "UTF-16 without BOM": ('{"a": 1}'.encode("utf-16-le"), "not JSON"),
    "UTF-32": ('{"a": 1}'.encode("utf-32-be"), "not JSON"),
    "UTF-8 with BOM": ('{"a": 1}'.encode("utf-8-sig"), "not JSON"),
    "overlong encoding": (b'{"a": "\xc0\xaf"}', "not UTF-8"),
    "half a pair in raw bytes": (b'{"a": "\xed\xa0\x80"}', "not UTF-8"),
    "text": (b"hello", "not JSON"),
    "single quotes": (b"{'a': 1}", "not JSON"),
    "trailing comma": (b'{"a": 1,}', "not JSON"),
    "comment": (b'{"a": 1} // really', "not JSON"),
    "two values": (b'{"a": 1}{"a": 1}', "not JSON"),
    "cut short": (b'{"a": 1', "not JSON"),
    "raw newline in a text": (b'{"a": "b\nc"}', "not JSON"),
    "raw NUL in a text": (b'{"a": "b\x00c"}', "not JSON"),
    "unknown escape": (rb'{"a": "\x41"}', "not JSON"),
    "leading zero": (b'{"a": 01}', "not JSON"),
    "plus sign": (b'{"a": +1}', "not JSON"),
    "hexadecimal": (b'{"a": 0x1}', "not JSON"),
    "digits of another script": ('{"a": \u0661}'.encode(), "not JSON"),
    "duplicate key": (b'{"a": 1, "a": 1}', "'a' stands twice"),
    "duplicate key in an object": (b'{"x": {"a": 1, "b": 2, "a": 3}}', "'a' stands twice"),
    "duplicate key in a list": (b'[1, [{"a": 1, "a": 2}]]', "'a' stands twice"),
    "duplicate key by escape": (rb'{"a": 1, "\u0061": 2}', "'a' stands twice"),
    "duplicate key of which the value is as much longer when written": (b'{"a":1,"a":1e6}', "'a' stands twice"),
    "duplicate empty key": (b'{"": 1, "": 2}', "stands twice"),
    "NaN": (b'{"a": NaN}', "NaN is not JSON"),
    "Infinity": (b'{"a": Infinity}', "Infinity is not JSON"),
    "-Infinity": (b"[-Infinity]", "-Infinity is not JSON"),
    "integer that no double holds": (b'{"a": %d}' % (2**53 + 1), "no double holds the integer 9007199254740993"),
    "negative integer that no double holds": (b'{"a": %d}' % -(2**53 + 1), "no double holds"),
    "integer of 309 digits": (b"1" * 309, "no double holds"),
    "integer of 5000 digits": (b'{"a": ' + b"9" * 5000 + b"}", "too large for a double"),
    "power of ten of 5000 digits": (b'{"a": 1' + b"0" * 5000 + b"}", "too large for a double"),
    "integer of a million digits": (b"-" + b"9" * 1_000_000, "too large for a double"),
    "1e999": (b'{"a": 1e999}', "no double holds the number 1e999"),
    "-1e999": (b'{"a": -1e999}', "no double holds the number -1e999"),
    "first half of a pair": (rb'{"a": "\ud83d"}', "surrogate pair"),
    "second half of a pair": (rb'{"a": "\ude00"}', "surrogate pair"),
    "pair the wrong way round": (rb'{"a": "\ude00\ud83d"}', "surrogate pair"),
    "half a pair in a key": (rb'{"\ud83d": 1}', "surrogate pair"),
    "half a pair deep inside": (rb'[{"a": [["x\uDC00"]]}]', "surrogate pair"),
    "a list too deep": (b"[" * 33 + b"]" * 33, f"deeper than {MAX_DEPTH} levels"),
    "an object too deep": (b'{"a":' * 33 + b"1" + b"}" * 33, f"deeper than {MAX_DEPTH} levels"),
    "100,000 open brackets": (b"[" * 100_000, f"deeper than {MAX_DEPTH} levels"),
    "100,000 brackets": (b"[" * 100_000 + b"]" * 100_000, f"deeper than {MAX_DEPTH} levels"),
    "100,000 open braces": (b'{"a":' * 100_000, f"deeper than {MAX_DEPTH} levels"),
}


@pytest.mark.parametrize(("body", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_strict_is_refused_with_its_reason(body: bytes, reason: str) -> None:
    with pytest.raises(InvalidEvent) as refusal:
        parse(body)
    assert reason in str(refusal.value)
    assert len(str(refusal.value)) < 300


ACCEPTED: dict[str, tuple[bytes, Any]] = {
    "the largest integer of the dense range": (b"%d" % 2**53, 2**53),
    "an even integer beyond it": (b"%d" % (2**53 + 2), 2**53 + 2),
    "2**64": (b'{"a": %d}' % 2**64, {"a": 2**64}),
    "-2**63": (b"%d" % -(2**63), -(2**63)),
    "2**1023": (b"%d" % 2**1023, 2**1023),
    "a double": (b"1.7976931348623157e308", 1.7976931348623157e308),
    "a surrogate pair": (rb'"\ud83d\ude00"', "😀"),
    "the same in bytes": ('"😀"'.encode(), "😀"),
    "escapes": (rb'"\"\\\/\b\f\n\r\t\u0041\u0000"', '"\\/\b\f\n\r\tA\x00'),
    "an escaped backslash before a u": (rb'"\\ud83d"', "\\ud83d"),
    "a list of 32 levels": (b"[" * 32 + b"]" * 32, json.loads("[" * 32 + "]" * 32)),
    "keys that differ in case": (b'{"a": 1, "A": 2}', {"a": 1, "A": 2}),
    "one key in two objects": (b'[{"a": 1}, {"a": 1}]', [{"a": 1}, {"a": 1}]),
    "space around": (b' \t\r\n{"a" : null }\n', {"a": None}),
    "NaN as a text": (b'"NaN"', "NaN"),
}


@pytest.mark.parametrize(("body", "value"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_what_has_one_reading_is_read(body: bytes, value: Any) -> None:
    assert parse(body) == value


def test_a_late_duplicate_among_very_many_keys_is_found_without_long_thought() -> None:
    keys = ",".join(f'"k{number}":1' for number in range(80_000))
    with pytest.raises(InvalidEvent, match="'k79999' stands twice"):
        parse(f'{{{keys},"k79999":1}}'.encode())


def read_as_json_or_refused(body: bytes) -> None:
    try:
        value = parse(body)
    except InvalidEvent:
        return
    assert repr(value) == repr(json.loads(body))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda child: st.lists(child) | st.dictionaries(st.text(), child),
    max_leaves=12,
)


@settings(deadline=None, max_examples=200)
@given(st.binary())
def test_any_bytes_are_read_as_json_or_refused(body: bytes) -> None:
    read_as_json_or_refused(body)


@settings(deadline=None, max_examples=200)
@given(JSON, st.booleans())
def test_any_json_is_read_as_it_is_or_refused(value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    with suppress(UnicodeEncodeError):
        read_as_json_or_refused(text.encode())


@settings(deadline=None, max_examples=200)
@given(JSON, st.data())
def test_json_with_a_piece_put_in_or_left_out_is_read_as_it_is_or_refused(value: Any, data: st.DataObject) -> None:
    text = json.dumps(value, ensure_ascii=True)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(start + 3, len(text))))
    pieces = ["", "[", "{", '"', "\\", "\\u", "\\ud800", ",", ":", "1e400", "-", "NaN", '{"a":1,"a":2}', "\x00", "٣"]
    piece = data.draw(st.sampled_from(pieces))
    read_as_json_or_refused((text[:start] + piece + text[end:]).encode())


@settings(deadline=None, max_examples=100)
@given(st.integers(min_value=-(2**80), max_value=2**80))
def test_an_integer_is_read_if_and_only_if_a_double_holds_it(number: int) -> None:
    if int(float(number)) == number:
        assert parse(b"%d" % number) == number
    else:
        with pytest.raises(InvalidEvent):
            parse(b"%d" % number)


DELIVERIES = Path(__file__).parents[1] / "deliveries"
RECORDED = [
    *(base64.b64decode(json.loads(path.read_text())["body_b64"]) for path in sorted(DELIVERIES.glob("mlflow-*.json"))),
    *(json.dumps(body).encode() for body in json.loads((DELIVERIES / "databricks.json").read_text()).values()),
]


def outcome(read: Callable[[bytes], Any], body: bytes) -> str:
    try:
        return repr(read(body))  # of 1, 1.0 and True, or of 0.0 and -0.0, each has its own
    except InvalidEvent as refusal:
        return f"refused: {refusal}"


def both_ways_agree(body: bytes) -> bool:
    """Assert that the quick reading changes nothing. Returns whether it has read the body."""
    assert outcome(parse, body) == outcome(parse_any, body)
    return parse_plain(body) is not UNCLEAR


@pytest.mark.parametrize("body", RECORDED, ids=range(len(RECORDED)))
def test_what_registries_send_is_read_quickly_unless_it_has_escapes(body: bytes) -> None:
    assert both_ways_agree(body) is (b"\\u" not in body)


@pytest.mark.parametrize("body", [body for body, _ in [*REFUSED.values(), *ACCEPTED.values()]])
def test_the_quick_way_accepts_nothing_that_the_slow_one_refuses(body: bytes) -> None:
    both_ways_agree(body)


SMALL = rb'{"a": [1, -0.5, true, null], "b\n": {"c": "d\u0041"}}'.replace(rb"\u0041", "\u00e9".encode())


@pytest.mark.parametrize("position", range(len(SMALL) + 1))
def test_any_byte_at_any_place_is_read_alike_both_ways(position: int) -> None:
    for number in range(256):
        piece = bytes([number])
        both_ways_agree(SMALL[:position] + piece + SMALL[position:])
        both_ways_agree(SMALL[:position] + piece + SMALL[position + 1 :])


def test_only_short_and_shallow_texts_are_read_quickly() -> None:
    text = b'"' + b"x" * (MAX_PLAIN_BYTES - 2) + b'"'
    assert both_ways_agree(text)
    assert not both_ways_agree(text + b" ")
    assert both_ways_agree(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    assert not both_ways_agree(b"[" * MAX_DEPTH + b"[]" + b"]" * MAX_DEPTH)
    assert both_ways_agree(b"999999999999999")
    assert not both_ways_agree(b"9999999999999999")


NUMBERS = ["0", "-0", "1", "-1", "1.0", "0.0", "-0.0", "0.1", "1.50", "1.", ".5", "01", "+1", "NaN", "Infinity", "0x1"]
NUMBERS += ["1e2", "1E2", "1e+2", "5e-324", "1e400", "1e22", "1e16", "1e15", "123456789012345", "1234567890123456"]
NUMBERS += [str(2**53 + 1), str(2**64), "0.1234567890123456789"]
TEXTS = ['""', '"a"', '"b"', '"é"', '"😀"', '"/"', '"{[,:]}"', '"1e400"', "'a'", '"\n"', '"\x7f"', '"\u2028"', '" \t"']
TEXTS += [r'"\u0061"', r'"\/"', r'"\n"', r'"\u000a"', r'"\u007f"', r'"\u00e9"', r'"\ud83d\ude00"', r'"\ud83d"']
TEXTS += [r'"\\u0061"', r'"\\"', r'"\""']
SPACE = st.sampled_from(["", "", " ", "\n ", "\t\r", "\u00a0", "\x0b"])


def written(value: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Lists and objects around the texts, of which some keys stand twice, written in any way."""
    member = st.tuples(st.sampled_from(TEXTS), SPACE, value).map(lambda part: f"{part[0]}{part[1]}:{part[1]}{part[2]}")
    joined = [st.tuples(st.lists(each, max_size=4), SPACE) for each in (value, member)]
    parts = [each.map(lambda part: f",{part[1]}".join(part[0])) for each in joined]
    return parts[0].map("[{}]".format) | parts[1].map("{{{}}}".format)


WRITTEN = st.recursive(st.sampled_from([*NUMBERS, *TEXTS, "true", "false", "null"]), written, max_leaves=15)


@settings(deadline=None, max_examples=500)
@given(WRITTEN)
def test_json_written_in_any_way_with_keys_twice_at_any_depth_is_read_alike_both_ways(text: str) -> None:
    both_ways_agree(text.encode())


@settings(deadline=None, max_examples=300)
@given(JSON, st.sampled_from([(", ", ": "), (",", ":"), (" ,\n", " :\t")]))
def test_any_json_is_read_alike_both_ways(value: Any, separators: tuple[str, str]) -> None:
    with suppress(UnicodeEncodeError):
        both_ways_agree(json.dumps(value, ensure_ascii=False, separators=separators).encode())


@settings(deadline=None, max_examples=500)
@given(st.sampled_from(RECORDED), st.data())
def test_a_recorded_body_with_bytes_put_in_or_left_out_is_read_alike_both_ways(
    body: bytes, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(body)))
    end = data.draw(st.integers(start, min(start + 8, len(body))))
    again = body[(copied := data.draw(st.integers(0, len(body)))) : data.draw(st.integers(copied, len(body)))]
    piece = data.draw(st.binary(max_size=4) | st.sampled_from([again, *(each.encode() for each in TEXTS + NUMBERS)]))
    both_ways_agree(body[:start] + piece + body[end:])
