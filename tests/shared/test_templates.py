"""Placeholders, and what a value may hold that goes into a pipeline."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.errors import PermanentFailure
from shared.templates import as_is, fill, fill_all, harmless, names

VALUES = {"model": "wine", "version": "3", "tags.approved": "true", "steps.slack.link": "https://x"}
MANY = settings(deadline=None, max_examples=200)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("", ""),
        ("plain", "plain"),
        ("{model} v{version}", "wine v3"),
        ("{model}{model}", "winewine"),
        ("{tags.approved} {steps.slack.link}", "true https://x"),
        ("{{model}} {{}}", "{model} {}"),
        ("{{{model}}}", "{wine}"),
    ],
)
def test_placeholders_become_values_and_double_braces_become_braces(text: str, filled: str) -> None:
    assert fill(text, VALUES, as_is) == filled


def test_a_value_that_looks_like_a_placeholder_is_not_filled_again() -> None:
    assert fill("{model}", {"model": "{version}", "version": "3"}, as_is) == "{version}"


def test_values_are_made_safe_and_the_files_own_text_is_left_alone() -> None:
    assert fill("<b>{model}</b>", {"model": "<i>"}, lambda value: value.replace("<", "&lt;")) == "<b>&lt;i></b>"


def test_texts_are_filled_however_deep_they_stand() -> None:
    options = {"a": ["{model}", {"b": "{version}", "c": 3}], "d": True, "e": None}
    assert fill_all(options, VALUES, as_is) == {"a": ["wine", {"b": "3", "c": 3}], "d": True, "e": None}


@pytest.mark.parametrize(
    "text", ["{", "}", "{model", "model}", "{model}{", "{model!r}", "{model:>9}", "{a:{b}}", "{a["]
)
def test_an_open_brace_and_a_format_are_errors(text: str) -> None:
    with pytest.raises(ValueError, match=r"brace|'[{}]'|takes no format|'}'"):
        list(names(text))


@MANY
@given(st.text(alphabet="{}[]!:.ab0 \n\\", max_size=12))
def test_a_text_whose_names_are_known_can_be_filled(text: str) -> None:
    try:
        used = list(names(text))
    except ValueError:
        return
    values = dict.fromkeys(used, "value")
    assert fill(text, values, as_is).count("value") == len(used)


@MANY
@given(st.text())
def test_a_text_with_its_braces_doubled_is_filled_as_itself(text: str) -> None:
    doubled = text.replace("{", "{{").replace("}", "}}")
    assert list(names(doubled)) == []
    assert fill(doubled, {}, harmless) == text


HARMLESS = [
    "wine",
    "3",
    "_private",
    "Airline_Delay_SparkML",
    "wine model 3",
    "prod.catalog.wine@champion",
    "models:/wine/3",
    "https://example.com/a/b:443",
    "a=b,c+d",
    "2026-11-20T22:57:36",
    "wine-v3",
]


@pytest.mark.parametrize("value", HARMLESS)
def test_a_harmless_value_comes_back_unchanged(value: str) -> None:
    assert harmless(value) == value


FORBIDDEN = sorted(set(string.printable) - set(string.ascii_letters + string.digits + " _.:/@+,=-"))
FORBIDDEN += ["\x00", "\x1b", "\x7f", "\x85", "\xa0", "é", "\u2028", "\u202e", "\uff04", "\u0661", "\ufeff", "😀"]


@pytest.mark.parametrize("char", FORBIDDEN, ids=[f"U+{ord(char):04X}" for char in FORBIDDEN])
@pytest.mark.parametrize("shape", ["{}", "{}wine", "wine{}", "wi{}ne"])
def test_one_character_that_a_shell_reads_as_more_is_refused_wherever_it_stands(char: str, shape: str) -> None:
    with pytest.raises(PermanentFailure) as failure:
        harmless(shape.format(char))
    assert repr(char) in failure.value.reason


@pytest.mark.parametrize(
    "value",
    [
        "",
        " wine",
        "-rf",
        "--help",
        "/etc/passwd",
        "=1+1",
        "@file",
        "+x",
        ".",
        "../x",
        ":",
        ",",
        "$(x)",
        "wine$(System.AccessToken)",
        "${{ variables.x }}",
        "$[x]",
        "`id`",
        "a;id",
        "a|id",
        "a&&id",
        "a>b",
        "%PATH%",
        "##vso[task.setvariable variable=x]y",
        "wine\n##vso[x]y",
        "wine\r",
        "wine\n",
        "'; drop",
        "wine --delete",
        "wine -x",
    ],
)
def test_a_value_that_could_be_more_than_text_is_refused(value: str) -> None:
    with pytest.raises(PermanentFailure):
        harmless(value)


def test_the_refusal_shows_little_of_a_long_value() -> None:
    with pytest.raises(PermanentFailure) as failure:
        harmless("x" * 100_000 + ";")
    assert "';'" in failure.value.reason
    assert len(failure.value.reason) < 400


@MANY
@given(st.text() | st.from_regex(re.compile(r"[\w .:/@+,=-]*"), fullmatch=True))
@example("a\n")
def test_a_value_comes_back_unchanged_or_is_refused(value: str) -> None:
    try:
        assert harmless(value) == value
    except PermanentFailure:
        return
    assert value
    assert set(value) <= set(string.ascii_letters + string.digits + " _.:/@+,=-")
