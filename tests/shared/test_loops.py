"""Loops: what may start what, and by what an event is known as our own doing."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.attempts import Caused
from shared.loops import cycle, echo_key, is_status, may_start, overlap
from shared.messages import Event
from shared.routes import Route, Source, StepPlan, When

GLOBS = st.text("ab*?", max_size=5) | st.sampled_from(["[ab]a", "a[!b]*", "*[a]"])
TEXTS = st.text("ab", max_size=5)
SOURCES = {
    "dev": Source(kind="databricks", secret="s", workspace="https://dev.example.com"),
    "dev-too": Source(kind="databricks", secret="s", workspace="https://dev.example.com/"),
    "prod": Source(kind="databricks", secret="s", workspace="https://prod.example.com"),
}
STAGE = "model_version.stage_changed"


def route(name: str, **when: object) -> Route:
    step = StepPlan(id="slack", target="slack", options={})
    return Route(name=name, when=When(**{"event": STAGE, **when}), steps=(step,))  # type: ignore[arg-type]


def event(type: str = STAGE, **fields: object) -> Event:
    given = {"model": "wine", "version": "3", **fields}
    return Event(id="e", source="dev", type=type, delivery="d", timestamp=1, received=1.0, **given)  # type: ignore[arg-type]


@given(GLOBS, GLOBS, TEXTS)
def test_globs_that_one_text_matches_overlap(one: str, other: str, text: str) -> None:
    if fnmatchcase(text, one) and fnmatchcase(text, other):
        assert overlap(one, other)
        assert overlap(["never", one], [other])


@pytest.mark.parametrize(
    ("one", "other"), [("wine-*", "beer-*"), ("*-dev", "*-prod"), ("wine", "beer"), ("wine?", "wine"), ([], "*")]
)
def test_globs_that_no_text_matches_do_not_overlap(one: str, other: str) -> None:
    assert not overlap(one, other)
    assert not overlap(other, one)


def test_a_cycle_is_found_with_its_way_and_a_chain_is_none() -> None:
    assert cycle({"a": ["b"], "b": ["c"], "c": ["a"]}, "a") == ["a", "b", "c"]
    assert cycle({"a": ["a"]}, "a") == ["a"]
    assert cycle({"a": ["b"], "b": ["c", "b"], "c": []}, "a") == []


def test_a_step_may_start_the_routes_that_listen_for_what_it_causes() -> None:
    caused = Caused(STAGE, model="{model}", to_stage="Production")
    cause = route("cause", model="wine*", source="dev")
    assert may_start(caused, cause, route("all"), SOURCES)
    assert may_start(caused, cause, route("stage", to_stage=["Staging", "Prod*"]), SOURCES)
    assert may_start(caused, cause, route("a glob of the model", model="*-quality"), SOURCES)
    assert may_start(caused, cause, route("another source of the same registry", source="dev-too"), SOURCES)
    assert not may_start(caused, cause, route("other stage", to_stage="Staging"), SOURCES)
    assert not may_start(caused, cause, route("other model", model="beer*"), SOURCES)
    assert not may_start(caused, cause, route("other registry", source="prod"), SOURCES)
    assert not may_start(caused, cause, route("other event", event="comment.created"), SOURCES)


def test_a_step_that_names_another_registry_starts_the_routes_of_that_one() -> None:
    caused = Caused(STAGE, registry="prod", to_stage="Production")
    cause = route("cause", source="dev")
    assert may_start(caused, cause, route("there", source="prod"), SOURCES)
    assert not may_start(caused, cause, route("here", source="dev"), SOURCES)


def test_a_placeholder_may_come_to_be_anything() -> None:
    caused = Caused(STAGE, to_stage="{tags.next}")
    assert may_start(caused, route("cause"), route("stage", to_stage="Archived"), SOURCES)


def test_a_tag_starts_what_listens_for_that_tag_and_value() -> None:
    caused = Caused("model_version_tag.set", tags={"approved": "true"})
    listening = {"event": "model_version_tag.set"}
    assert may_start(caused, route("c"), route("r", **listening, tags={"approved": "t*"}), SOURCES)
    assert not may_start(caused, route("c"), route("r", **listening, tags={"approved": "false"}), SOURCES)
    assert not may_start(caused, route("c"), route("r", **listening, tags={"other": "true"}), SOURCES)


def test_an_event_has_the_key_of_what_caused_it_whatever_it_does_not_know() -> None:
    caused = Caused(STAGE, model="wine", version="3", to_stage="Production")
    assert echo_key("a", caused) == echo_key("a", event(from_stage="Staging", to_stage="Production", text="t"))
    tag = Caused("model_version_tag.set", model="wine", version="3", tags={"approved": "true"})
    assert echo_key("a", tag) == echo_key("a", event("model_version_tag.set", tags={"approved": "true"}))
    made = Caused("model_version.created", model="wine")
    assert echo_key("a", made) == echo_key("a", event("model_version.created", version="9"))


@pytest.mark.parametrize(
    "other",
    [
        event(to_stage="Staging"),
        event(model="beer", to_stage="Production"),
        event(version="4", to_stage="Production"),
        event("transition_request.created", to_stage="Production"),
    ],
)
def test_another_act_has_another_key(other: Event) -> None:
    caused = Caused(STAGE, model="wine", version="3", to_stage="Production")
    assert echo_key("a", caused) != echo_key("a", other)


def test_another_registry_has_other_keys() -> None:
    assert echo_key("a", event(to_stage="Staging")) != echo_key("b", event(to_stage="Staging"))


def test_only_the_relays_own_tags_are_its_status() -> None:
    assert is_status(event("model_version_tag.set", tags={"relay.wine": "running"}))
    assert not is_status(event("model_version_tag.set", tags={"relayed": "true"}))
    assert not is_status(event(STAGE, tags={"relay.wine": "running"}))
