"""Which events start which routes, and why not."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.messages import Event
from shared.routes import EVENT_TYPES, Route, Routes, StepPlan, When, matches, mismatch

EVENT = Event(
    id="e" * 64,
    source="wine-dev",
    type="model_version.stage_changed",
    delivery="d",
    timestamp=1,
    received=1.0,
    model="wine-red",
    version="3",
    from_stage="Staging",
    to_stage="Production",
    tags={"approved": "true", "empty": ""},
)
STAGE = "model_version.stage_changed"

HOLDS: dict[str, dict[str, Any]] = {
    "the type alone": {"event": STAGE},
    "a glob of types": {"event": "model_version*"},
    "every type": {"event": "*"},
    "one type of a list": {"event": ["comment.created", STAGE]},
    "a glob of models": {"event": STAGE, "model": "wine*"},
    "one model of a list": {"event": STAGE, "model": ["beer*", "wine-?ed"]},
    "a set of letters": {"event": STAGE, "model": "wine-[rw]ed"},
    "its source": {"event": STAGE, "source": "wine-dev"},
    "one source of a list": {"event": STAGE, "source": ["models", "wine-*"]},
    "both stages": {"event": STAGE, "from_stage": "Staging", "to_stage": ["Archived", "Production"]},
    "an empty alias": {"event": STAGE, "alias": ""},
    "a tag": {"event": STAGE, "tags": {"approved": "true"}},
    "any value of a tag": {"event": STAGE, "tags": {"approved": "*", "empty": "*"}},
    "one value of a list": {"event": STAGE, "tags": {"approved": ["yes", "true"]}},
}


@pytest.mark.parametrize("when", HOLDS.values(), ids=HOLDS.keys())
def test_a_condition_holds_when_all_its_fields_do(when: dict[str, Any]) -> None:
    assert mismatch(msgspec.convert(when, type=When), EVENT) == ""


FAILS: dict[str, tuple[dict[str, Any], str]] = {
    "type": ({"event": "comment.created"}, f"event is '{STAGE}', not 'comment.created'"),
    "type in another case": ({"event": STAGE.upper()}, "event is "),
    "part of a type": ({"event": "model_version"}, "event is "),
    "model": ({"event": STAGE, "model": "beer*"}, "model is 'wine-red', not 'beer*'"),
    "model in another case": ({"event": STAGE, "model": "Wine*"}, "model is 'wine-red', not 'Wine*'"),
    "list of models": ({"event": STAGE, "model": ["a", "b*"]}, "model is 'wine-red', not 'a' or 'b*'"),
    "part of a model": ({"event": STAGE, "model": "wine"}, "model is 'wine-red', not 'wine'"),
    "source": ({"event": STAGE, "source": "models"}, "source is 'wine-dev', not 'models'"),
    "stage before": ({"event": STAGE, "from_stage": "None"}, "from_stage is 'Staging', not 'None'"),
    "stage after": ({"event": STAGE, "to_stage": "production"}, "to_stage is 'Production', not 'production'"),
    "alias": ({"event": STAGE, "alias": "champion"}, "alias is '', not 'champion'"),
    "a tag that is not there": ({"event": STAGE, "tags": {"owner": "*"}}, "tag 'owner' is not in the event"),
    "a tag's key in another case": ({"event": STAGE, "tags": {"Approved": "*"}}, "tag 'Approved' is not in"),
    "a tag's value": ({"event": STAGE, "tags": {"approved": "false"}}, "tag 'approved' is 'true', not 'false'"),
    "one tag of two": ({"event": STAGE, "tags": {"approved": "true", "empty": "?"}}, "tag 'empty' is '', not '?'"),
}


@pytest.mark.parametrize(("when", "reason"), FAILS.values(), ids=FAILS.keys())
def test_a_condition_that_does_not_hold_says_why(when: dict[str, Any], reason: str) -> None:
    assert reason in mismatch(msgspec.convert(when, type=When), EVENT)


@pytest.mark.parametrize("type", ["databricks.model_renamed", "webhook.created", "comment.deleted", "", "*"])
@pytest.mark.parametrize("glob", ["*", ["*"], "databricks.*", ["comment.*", "webhook.created"]])
def test_an_event_of_unknown_type_matches_nothing(type: str, glob: str | list[str]) -> None:
    assert mismatch(When(event=glob), msgspec.structs.replace(EVENT, type=type)) != ""


@pytest.mark.parametrize("type", EVENT_TYPES)
def test_every_known_type_can_be_routed(type: str) -> None:
    event = msgspec.structs.replace(EVENT, type=type)
    assert mismatch(When(event=type), event) == ""
    assert mismatch(When(event="*"), event) == ""


def test_matching_routes_come_in_the_files_order_each_once() -> None:
    step = StepPlan(id="tell", target="slack", options={})
    whens = {
        "b": When(event="*"),
        "x": When(event="*", model="beer"),
        "a": When(event=[STAGE, "*"]),
        "c": When(event="*"),
    }
    routes = Routes(routes=tuple(Route(name=name, when=when, steps=(step,)) for name, when in whens.items()))
    assert [route.name for route in routes.matching(EVENT)] == ["b", "a", "c"]


@settings(deadline=None, max_examples=100)
@given(st.text(), st.lists(st.text(), max_size=3))
def test_a_list_means_any_of_it(given_text: str, globs: list[str]) -> None:
    assert matches(globs, given_text) is any(matches(glob, given_text) for glob in globs)


@settings(deadline=None, max_examples=100)
@given(st.text())
def test_a_star_matches_any_text_line_ends_included(text: str) -> None:
    assert matches("*", text)
    assert matches(f"*{text.translate(str.maketrans('', '', '*?['))}", text) or set(text) & set("*?[")


WORDS = st.text("abA*?[]!-\n", max_size=6)


@settings(deadline=None, max_examples=500)
@given(WORDS | st.text(), WORDS | st.text())
def test_a_glob_matches_what_fnmatch_says(glob: str, text: str) -> None:
    assert matches(glob, text) is fnmatchcase(text, glob)
    assert matches(glob, glob.swapcase()) is fnmatchcase(glob.swapcase(), glob)
    assert matches(text, text) is fnmatchcase(text, text)


GLOBS = st.sampled_from(["*", "a", "ab", "a*", "?", "", "[ab]"])
WANTED = GLOBS | st.lists(GLOBS, max_size=2)
TYPES = st.sampled_from([STAGE, "comment.created", "comment.unheard", "*"])
VALUES = st.sampled_from(["", "a", "ab", "b"])
WHENS = st.builds(
    When,
    event=TYPES | st.lists(TYPES, max_size=2),
    source=WANTED,
    model=WANTED,
    from_stage=st.none() | WANTED,
    to_stage=st.none() | WANTED,
    alias=st.none() | WANTED,
    tags=st.dictionaries(st.sampled_from(["type", "model", "key"]), WANTED, max_size=2),
)
EVENTS = st.builds(
    Event,
    id=st.just("e" * 64),
    source=VALUES,
    type=TYPES,
    delivery=st.just("d"),
    timestamp=st.just(1),
    received=st.just(1.0),
    model=VALUES,
    from_stage=VALUES,
    to_stage=VALUES,
    alias=VALUES,
    tags=st.dictionaries(st.sampled_from(["type", "model", "key"]), VALUES, max_size=2),
)


def holds(when: When, event: Event) -> bool:
    """The condition word for word, by fnmatch alone."""
    wanted = [(getattr(when, name), getattr(event, name)) for name in ("source", "model")]
    wanted += [(getattr(when, name), getattr(event, name)) for name in ("from_stage", "to_stage", "alias")]
    wanted += [(globs, event.tags.get(key)) for key, globs in when.tags.items()]
    wanted += [(when.event, event.type if event.type in EVENT_TYPES else None)]
    return all(
        globs is None or (given is not None and any(fnmatchcase(given, each) for each in listed(globs)))
        for globs, given in wanted
    )


def listed(globs: str | list[str]) -> list[str]:
    return [globs] if isinstance(globs, str) else globs


@settings(deadline=None, max_examples=500)
@given(st.lists(WHENS, min_size=1, max_size=3), EVENTS)
def test_the_routes_that_match_are_those_of_which_nothing_is_amiss(whens: list[When], event: Event) -> None:
    routes = Routes(routes=tuple(Route(name=str(number), when=when, steps=()) for number, when in enumerate(whens)))
    found = [route.name for route in routes.matching(event)]
    assert found == [str(number) for number, when in enumerate(whens) if not mismatch(when, event)]
    assert found == [str(number) for number, when in enumerate(whens) if holds(when, event)]
