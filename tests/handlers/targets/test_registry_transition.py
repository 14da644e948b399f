"""Stages and aliases: set once whatever is lost on the way, left alone where it is so or somebody else has moved on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from handlers.targets.registry_transition import Options, causes
from local.databricks import Databricks
from shared.attempts import Caused
from shared.steps import State, Step
from tests.conftest import Relay, until
from tests.handlers.targets.registries import agree, commented, heard, listen, states

TRANSITION = "/databricks/model-versions/transition-stage$"
STAGE = "MODEL_VERSION_TRANSITIONED_STAGE"
ALIAS = "/registered-models/alias$"


@pytest.fixture
def databricks(relay: Relay) -> Iterator[Databricks]:
    yield relay.system.databricks
    relay.system.databricks.faults.clear()


def test_a_version_is_moved_and_the_one_before_it_archived(relay: Relay, databricks: Databricks, model: str) -> None:
    name = f"reg-stage-{model} (größer)/v2"
    databricks.add_version(name, stage="Production")
    databricks.add_version(name)
    step = commented(relay, name, "well <done>", version="2")
    assert (step.state, step.ref) == (State.SUCCEEDED, "2")
    assert step.outcome == f"the stage of {name} version 2 is Production: it was None"
    assert step.link.startswith(
        f"{databricks.url}/ml/models/reg-stage-{model}%20%28gr%C3%B6%C3%9Fer%29%2Fv2/versions/2"
    )
    assert [databricks.version(name, number).stage for number in "12"] == ["Archived", "Production"]
    [call] = [call for call in databricks.faults.calls("POST", TRANSITION) if model in call.body["name"]]
    assert call.body["comment"] == "well <done>"


def test_a_version_that_is_there_already_is_left_alone(relay: Relay, databricks: Databricks, model: str) -> None:
    name = f"reg-stage-{model}"
    databricks.add_version(name, stage="Production")
    step = commented(relay, name)
    assert (step.state, step.outcome) == (
        State.SUCCEEDED,
        f"the stage of {name} version 1 is Production: it was already so",
    )
    assert not databricks.acts_of(name)


@pytest.mark.parametrize(
    ("before", "loss"),
    [(False, {"drop": True}), (False, {"status": 500}), (True, {"status": 500})],
    ids=["after it was done: dropped", "after it was done: 500", "before it was done"],
)
def test_a_version_whose_reply_was_lost_is_moved_once(
    relay: Relay, databricks: Databricks, model: str, before: bool, loss: dict[str, Any]
) -> None:
    name = f"reg-stage-{model}"
    databricks.add_version(name)
    databricks.faults.add("POST", TRANSITION, before=before, **loss)
    step = commented(relay, name)
    again = [State.RUNNING] * before
    assert states(step) == [State.READY, State.RUNNING, State.IN_DOUBT, *again, State.SUCCEEDED]
    assert len(databricks.acts_of(name, STAGE)) == 1


def test_what_somebody_else_has_moved_on_since_is_left_so(relay: Relay, databricks: Databricks, model: str) -> None:
    name = f"reg-stage-{model}"
    databricks.add_version(name)
    databricks.faults.add("POST", TRANSITION, status=503, times=None)

    def moved_on() -> None:
        databricks.transition(name, "1", "Archived")

    step = _while_in_doubt(relay, databricks, name, moved_on)
    assert step.state is State.DEAD
    assert step.reason == (
        f"the stage of {name} version 1 was None at first and is Archived now: somebody else has changed it, and it is "
        "left so"
    )
    assert databricks.version(name, "1").stage == "Archived"


def _while_in_doubt(relay: Relay, databricks: Databricks, name: str, act: Callable[[], None]) -> Step:
    def look() -> None:
        until(lambda: [call for call in databricks.faults.calls("POST", TRANSITION) if call.body["name"] == name])
        act()

    meanwhile = threading.Thread(target=look)
    meanwhile.start()
    step = commented(relay, name)
    meanwhile.join()
    return step


def test_an_alias_is_given_to_the_version_and_once_only(relay: Relay, databricks: Databricks, model: str) -> None:
    name = f"reg-alias-{model}"
    databricks.add_version(name)
    databricks.faults.add("POST", ALIAS, before=False, drop=True)
    first = commented(relay, name)
    second = commented(relay, name, "and again")
    assert (first.state, second.state) == (State.SUCCEEDED, State.SUCCEEDED)
    assert second.outcome == f"the alias champion of {name} is 1: it was already so"
    assert databricks.models[name].aliases == {"champion": "1"}
    assert len(databricks.acts_of(name, "ALIAS_SET")) == 1


@pytest.mark.parametrize("stage", ["Live", "", "production"])
def test_a_stage_that_is_none_ends_the_step_before_anything_is_asked(
    relay: Relay, databricks: Databricks, model: str, stage: str
) -> None:
    databricks.add_version(f"reg-told-{model}")
    step = commented(relay, f"reg-told-{model}", stage or "\t")
    assert step.state is State.DEAD
    assert "is no stage" in step.reason or "names nothing" in step.reason
    assert not databricks.acts_of(f"reg-told-{model}")


def test_a_version_that_is_not_there_ends_the_step(relay: Relay, databricks: Databricks, model: str) -> None:
    databricks.add_version(f"reg-stage-{model}")
    step = commented(relay, f"reg-stage-{model}", version="7")
    assert (step.state, step.attempts) == (State.DEAD, 1)
    assert step.reason == f"the registry holds no version 7 of reg-stage-{model}"


def test_a_refused_permission_ends_the_step_with_the_registrys_own_words(
    relay: Relay, databricks: Databricks, model: str
) -> None:
    databricks.add_model(f"reg-stage-{model}", level="CAN_EDIT")
    databricks.add_version(f"reg-stage-{model}")
    step = commented(relay, f"reg-stage-{model}")
    assert step.state is State.DEAD
    assert "CAN_MANAGE_PRODUCTION_VERSIONS permission is needed" in step.reason


def test_the_event_that_comes_of_it_is_the_one_that_was_foretold(
    relay: Relay, databricks: Databricks, model: str
) -> None:
    name = f"reg-stage-{model}"
    databricks.add_version(name)
    listen(relay, databricks, name)
    commented(relay, name)
    caused, archived = causes(Options(model=name, version="1", stage="Production", archive_existing_versions=True))
    event = heard(relay, name, "model_version.stage_changed")
    assert agree(caused, event)
    assert not agree(archived, event)
    assert event.to_stage == "Production"


def test_what_is_caused_is_told_as_the_file_has_it() -> None:
    assert causes(Options(registry="prod", alias="champion")) == [
        Caused("model_version_alias.created", "prod", "{model}", "{version}", alias="champion")
    ]
    assert [each.to_stage for each in causes(Options(stage="Staging", archive_existing_versions=True))] == [
        "Staging",
        "Archived",
    ]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "either a `stage` or an `alias`"),
        ({"stage": "Staging", "alias": "champion"}, "either a `stage` or an `alias`"),
        ({"stage": "Live"}, "'Live' is no stage: stages are None, Staging, Production, Archived"),
        ({"alias": "champion", "comment": "x"}, "belong to a `stage`"),
        ({"stage": "Archived", "archive_existing_versions": True}, "goes with Staging and Production only"),
    ],
)
def test_options_that_make_no_sense_are_refused_at_load(options: dict[str, Any], says: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=says):
        msgspec.convert(options, type=Options)
