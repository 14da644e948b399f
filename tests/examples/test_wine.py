"""The wine example, walked as `make wine` walks it: what has become of it at the real registry, the endpoints and in
the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from examples.wine.promises import promises
from examples.wine.run import tell
from examples.wine.walk import MODEL, Trained, Walk

pytestmark = pytest.mark.timeout(300)  # it trains four models and starts a server, all of which is waited for once


@dataclass
class Walked:
    walk: Walk
    good: list[Trained]
    bad: list[Trained]


@pytest.fixture(scope="module")
def walked() -> Iterator[Walked]:
    with Walk() as walk:
        good, bad = tell(walk)
        yield Walked(walk, good, bad)


def states(walked: Walked, version: str, route: str) -> dict[str, str]:
    return {name: step["state"] for name, step in walked.walk.steps(version, route).items()}


def test_every_promise_of_make_wine_is_kept(walked: Walked) -> None:
    told = list(promises(walked.walk, walked.good, walked.bad))
    assert len(told) == 9
    assert not [sentence for sentence, holds in told if not holds]


def test_four_versions_were_trained_and_the_better_is_better(walked: Walked) -> None:
    linear, curved, few, unscaled = (*walked.good, *walked.bad)
    assert [each.version for each in (linear, curved, few, unscaled)] == ["1", "2", "3", "4"]
    assert curved.metrics["rmse"] < linear.metrics["rmse"] < 0.65 < few.metrics["rmse"]
    assert unscaled.metrics == linear.metrics, "no metric shows its mistake"


def test_production_serves_the_second_version_and_predicts_what_the_trained_model_does(walked: Walked) -> None:
    first, second = walked.good
    assert walked.walk.serving("wine-production") == "2"
    predictions = walked.walk.predict("wine-production", second.rows)
    assert predictions == pytest.approx(second.predictions, abs=1e-9)
    assert predictions != pytest.approx(first.predictions, abs=0.01)
    endpoint = walked.walk.endpoint("wine-production")
    assert endpoint.traffic == {"blue": 0, "green": 100}
    assert endpoint.deployments["blue"].tags["relay-version"] == "1", "the old one stands by"


def test_the_real_registry_has_archived_the_old_version(walked: Walked) -> None:
    found = {number: walked.walk.mlflow.version(MODEL, number) for number in "1234"}
    stages = {number: version["current_stage"] for number, version in found.items()}
    assert stages == {"1": "Archived", "2": "Production", "3": "None", "4": "None"}
    assert found["2"]["aliases"] == ["production"]
    assert found["4"]["aliases"] == ["staging"]


@pytest.mark.parametrize("version", ["1", "2"])
def test_each_step_of_a_good_version_succeeded_in_order(walked: Walked, version: str) -> None:
    qa, production = (states(walked, version, route) for route in ("wine-qa", "wine-production"))
    assert list(qa) == ["deploy", "smoke-test", "registry_tag", "promote", "announce"]
    assert list(production) == ["deploy", "smoke-test", "ask", "approval", "shift", "card"]
    assert {*qa.values(), *production.values()} == {"succeeded"}
    approval = walked.walk.steps(version, "wine-production")["approval"]
    assert approval["outcome"].startswith("approved by Ada Approver (name as given)")
    assert approval["outcome"].endswith(": tasted it")


def test_the_worse_version_is_stopped_by_its_metrics_before_anything_is_deployed(walked: Walked) -> None:
    assert states(walked, "3", "wine-qa") == {"deploy": "dead"}
    reason = f"the route requires more: metric 'rmse' is {walked.bad[0].metrics['rmse']:g}, not <= 0.65"
    assert walked.walk.steps("3", "wine-qa")["deploy"]["reason"] == reason
    assert not walked.walk.steps("3", "wine-production")
    (told,) = [text for text in walked.walk.messages("teams") if "version 3" in text]
    assert told == f"{MODEL} version 3 stays out of production\nwine-qa ended at deploy: {reason}"
    assert ("wine_quality", "3") not in walked.walk.workspace.models


def test_the_version_that_fails_when_served_is_stopped_by_the_smoke_test(walked: Walked) -> None:
    assert states(walked, "4", "wine-qa") == {"deploy": "succeeded", "smoke-test": "dead"}
    assert not walked.walk.steps("4", "wine-production")
    reason = walked.walk.steps("4", "wine-qa")["smoke-test"]["reason"]
    assert reason.startswith("expected [4, 5, 7] within 0.75, got: [-7.3")
    (told,) = [text.replace("\\", "") for text in walked.walk.messages("teams") if "version 4" in text]
    assert told == f"{MODEL} version 4 stays out of production\nwine-qa ended at smoke-test: {reason}"
    tags = {tag["key"]: tag["value"] for tag in walked.walk.mlflow.version(MODEL, "4")["tags"]}
    assert "qa" not in tags
    assert tags["relay.wine-qa"].startswith(f"dead: {reason}")


def test_nothing_but_the_two_good_versions_was_ever_put_into_production(walked: Walked) -> None:
    starts = [(start.endpoint, start.deployment) for start in walked.walk.system.ml.starts]
    production = [("wine-production", colour) for colour in ("blue", "green")]
    assert [start for start in starts if start[0] == "wine-production"] == production
    assert [start for start in starts if start[0] == "wine-qa"] == [("wine-qa", c) for c in ("blue", "green", "blue")]


def test_each_version_was_reported_registered_and_the_good_ones_live(walked: Walked) -> None:
    assert walked.walk.messages("slack") == [f"{MODEL} version {number} is registered." for number in "1234"]
    titles = [text.partition("\n")[0] for text in walked.walk.messages("teams")]
    assert titles == [
        "May wine_quality version 1 serve in production?",
        "wine_quality version 1 serves in production",
        "May wine_quality version 2 serve in production?",
        "wine_quality version 2 serves in production",
        "wine_quality version 3 stays out of production",
        "wine_quality version 4 stays out of production",
        "wine_quality version 2 is in Production",
    ]


def test_the_databricks_registry_has_archived_its_old_version_too(walked: Walked) -> None:
    databricks = walked.walk.system.databricks
    assert [databricks.version(MODEL, number).stage for number in "12"] == ["Archived", "Production"]


def test_no_event_of_the_walk_is_left_unfinished(walked: Walked) -> None:
    events = [event for event in walked.walk.events() if event["source"] == "mlflow"]
    assert {event["state"] for event in events} == {"succeeded", "dead"}, events
    assert [event["version"] for event in events if event["state"] == "dead"] == ["4", "3"], "newest first"
    told = sorted((event["version"], event["type"]) for event in events)
    created, alias = "model_version.created", "model_version_alias.created"
    assert told == [
        *[("1", created), ("1", alias), ("1", alias)],
        *[("2", created), ("2", alias), ("2", alias)],
        *[("3", created), ("3", alias)],
        *[("4", created), ("4", alias)],
    ]
