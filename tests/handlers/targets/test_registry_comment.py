"""Comments on a version: written as they are, at least once or at most once, in registries that know them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from handlers.targets.registry_comment import Options, causes
from local.databricks import Databricks
from shared.steps import State
from tests.conftest import Relay
from tests.handlers.targets.registries import LOSS_NAMES, LOSSES, agree, heard, listen, staged, states

COMMENTS = "/comments/create$"


@pytest.fixture
def databricks(relay: Relay) -> Iterator[Databricks]:
    yield relay.system.databricks
    relay.system.databricks.faults.clear()


def comments(databricks: Databricks, model: str) -> list[str]:
    return [comment.comment for comment in databricks.version(model, "1").comments]


def test_a_comment_is_written_as_the_route_has_it(relay: Relay, databricks: Databricks, model: str) -> None:
    version = databricks.add_version(f"reg-note-{model}")
    step = staged(relay, f"reg-note-{model}")
    assert (step.state, step.outcome) == (State.SUCCEEDED, f"commented on reg-note-{model} version 1")
    assert comments(databricks, f"reg-note-{model}") == [f"reg-note-{model} <b>went</b> to Staging"]
    assert step.ref == version.comments[0].id


@pytest.mark.parametrize("loss", LOSSES, ids=LOSS_NAMES)
def test_a_comment_whose_reply_was_lost_comes_again(
    relay: Relay, databricks: Databricks, model: str, loss: dict[str, Any]
) -> None:
    databricks.add_version(f"reg-note-{model}")
    databricks.faults.add("POST", COMMENTS, before=False, **loss)
    step = staged(relay, f"reg-note-{model}")
    assert states(step) == [State.READY, State.RUNNING, State.IN_DOUBT, State.RETRY, State.RUNNING, State.SUCCEEDED]
    assert len(comments(databricks, f"reg-note-{model}")) == 2


def test_a_comment_that_may_come_once_only_is_left_to_a_person(
    relay: Relay, databricks: Databricks, model: str
) -> None:
    databricks.add_version(f"reg-noteonce-{model}")
    databricks.faults.add("POST", COMMENTS, before=False, drop=True)
    step = staged(relay, f"reg-noteonce-{model}")
    assert step.state is State.PARKED
    assert "it may have happened" in step.reason
    assert len(comments(databricks, f"reg-noteonce-{model}")) == 1


def test_an_mlflow_server_has_no_comments_and_the_step_says_so(relay: Relay, model: str) -> None:
    step = staged(relay, f"reg-mlflow-{model}")
    assert step.state is State.DEAD
    assert step.reason == "MLflow knows no comments: only a Databricks workspace registry does"


def test_a_model_that_is_not_there_ends_the_step(relay: Relay, model: str) -> None:
    step = staged(relay, f"reg-note-{model}")
    assert step.state is State.DEAD
    assert f"RESOURCE_DOES_NOT_EXIST: Registered Model with name=reg-note-{model} not found" in step.reason


def test_the_event_that_comes_of_it_is_the_one_that_was_foretold(
    relay: Relay, databricks: Databricks, model: str
) -> None:
    name = f"reg-note-{model}"
    databricks.add_version(name)
    listen(relay, databricks, name)
    staged(relay, name)
    [caused] = causes(Options(model=name, version="1", text="x"))
    assert agree(caused, heard(relay, name, "comment.created"))


def test_a_comment_of_nothing_is_refused_at_load() -> None:
    with pytest.raises(msgspec.ValidationError, match="a comment needs a `text`"):
        msgspec.convert({"text": " "}, type=Options)
