"""Tags of a version: set and deleted once, left alone where they are so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from handlers.targets.registry_tag import Options, causes
from local.databricks import Databricks
from shared.steps import State
from tests.conftest import Relay
from tests.handlers.targets.registries import agree, commented, heard, listen, states

SET, DELETE = "/model-versions/set-tag$", "/model-versions/delete-tag$"


@pytest.fixture
def databricks(relay: Relay) -> Iterator[Databricks]:
    yield relay.system.databricks
    relay.system.databricks.faults.clear()


def test_tags_are_set_and_deleted_and_the_others_stay(relay: Relay, databricks: Databricks, model: str) -> None:
    version = databricks.add_version(f"reg-tag-{model}", tags={"stale": "x", "kept": "y"})
    step = commented(relay, f"reg-tag-{model}", 'by "hand" {model}')
    assert (step.state, step.outcome) == (
        State.SUCCEEDED,
        f"tags of reg-tag-{model} version 1: set checked, by; deleted stale",
    )
    assert version.tags == {"kept": "y", "checked": 'by "hand" {model}', "by": "relay"}


def test_tags_that_are_so_are_left_alone(relay: Relay, databricks: Databricks, model: str) -> None:
    databricks.add_version(f"reg-tag-{model}", tags={"checked": "yes", "by": "relay"})
    step = commented(relay, f"reg-tag-{model}", "yes")
    assert step.outcome == f"tags of reg-tag-{model} version 1: were already so"
    assert not databricks.acts_of(f"reg-tag-{model}")


@pytest.mark.parametrize(("path", "loss"), [(SET, {"drop": True}), (DELETE, {"status": 500})], ids=["set", "deleted"])
def test_a_tag_whose_reply_was_lost_is_set_once(
    relay: Relay, databricks: Databricks, model: str, path: str, loss: dict[str, Any]
) -> None:
    version = databricks.add_version(f"reg-tag-{model}", tags={"stale": "x"})
    databricks.faults.add("*", path, before=False, **loss)
    step = commented(relay, f"reg-tag-{model}", "yes")
    assert step.state is State.SUCCEEDED
    assert State.IN_DOUBT in states(step)
    assert version.tags == {"checked": "yes", "by": "relay"}
    acts = [tuple(act.tags.items()) for act in databricks.acts_of(f"reg-tag-{model}")]
    assert sorted(acts) == [(("by", "relay"),), (("checked", "yes"),), (("stale", ""),)]


def test_a_registry_that_is_busy_is_asked_again(relay: Relay, databricks: Databricks, model: str) -> None:
    version = databricks.add_version(f"reg-tag-{model}")
    databricks.faults.add("POST", SET, status=429, headers={"Retry-After": "1"})
    step = commented(relay, f"reg-tag-{model}", "yes")
    assert states(step) == [State.READY, State.RUNNING, State.RETRY, State.RUNNING, State.SUCCEEDED]
    assert version.tags == {"checked": "yes", "by": "relay"}


def test_a_model_that_is_not_there_ends_the_step(relay: Relay, model: str) -> None:
    step = commented(relay, f"reg-tag-{model}")
    assert step.state is State.DEAD
    assert step.reason == f"the registry holds no version 1 of reg-tag-{model}"


def test_a_refused_permission_ends_the_step(relay: Relay, databricks: Databricks, model: str) -> None:
    databricks.add_model(f"reg-tag-{model}", level="CAN_READ")
    databricks.add_version(f"reg-tag-{model}")
    step = commented(relay, f"reg-tag-{model}")
    assert step.state is State.DEAD
    assert "CAN_EDIT permission is needed" in step.reason


def test_the_event_that_comes_of_it_is_the_one_that_was_foretold(
    relay: Relay, databricks: Databricks, model: str
) -> None:
    name = f"reg-tag-{model}"
    databricks.add_version(name, tags={"by": "relay"})
    listen(relay, databricks, name)
    commented(relay, name, "yes")
    set_, other, deleted = causes(Options(model=name, version="1", tags={"checked": "yes", "x": "y"}, delete=["z"]))
    event = heard(relay, name, "model_version_tag.set")
    assert agree(set_, event)
    assert not agree(other, event)
    assert not agree(deleted, event)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "give `tags` to set"),
        ({"tags": {"a": "1"}, "delete": ["a"]}, "named twice"),
        ({"delete": [""]}, "a tag needs a name"),
    ],
)
def test_options_that_make_no_sense_are_refused_at_load(options: dict[str, Any], says: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=says):
        msgspec.convert(options, type=Options)
