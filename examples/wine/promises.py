"""What has to be so at the end of the walk: each promise as a sentence, and whether it holds."""

from __future__ import annotations

from collections.abc import Iterator

from examples.wine.walk import MODEL, Trained, Walk

TOLERANCE = 1e-9


def promises(walk: Walk, good: list[Trained], bad: list[Trained]) -> Iterator[tuple[str, bool]]:
    """Yield each promise. `good` are the versions that were to reach production, in order, `bad` the others."""
    old, new = good
    yield f"production serves version {new.version}", walk.serving("wine-production") == new.version
    yield "it predicts what the trained model predicted", _alike(walk.predict("wine-production", new.rows), new)
    yield f"the registry has version {new.version} in Production", _standing(walk, new) == ("Production", True)
    yield f"version {old.version} is archived", _standing(walk, old) == ("Archived", False)
    yield "each of them was approved by a person", all(_is_approved(walk, each) for each in good)
    yield "each of them was announced in Teams", all(_tells(walk, f"{_named(each)} serves") for each in good)
    deployed = [start for start in walk.system.ml.starts if start.endpoint == "wine-production"]
    yield "no other version was ever deployed to production", len(deployed) == len(good)
    for each in bad:
        yield f"version {each.version} was stopped, and Teams was told why", _is_stopped(walk, each)


def _alike(predictions: list[float], trained: Trained) -> bool:
    pairs = zip(predictions, trained.predictions, strict=True)
    return all(abs(one - other) <= TOLERANCE for one, other in pairs)


def _standing(walk: Walk, trained: Trained) -> tuple[str, bool]:
    version = walk.mlflow.version(MODEL, trained.version)
    return version["current_stage"], "production" in version.get("aliases", ())


def _is_approved(walk: Walk, trained: Trained) -> bool:
    approval = walk.steps(trained.version, "wine-production").get("approval", {})
    return str(approval.get("outcome", "")).startswith("approved by")


def _is_stopped(walk: Walk, trained: Trained) -> bool:
    steps = walk.steps(trained.version, "wine-qa").values()
    reasons = [step["reason"] for step in steps if step["state"] == "dead"]
    started = walk.steps(trained.version, "wine-production")
    return bool(reasons) and not started and _tells(walk, f"{_named(trained)} stays out of production", *reasons)


def _named(trained: Trained) -> str:
    return f"{MODEL} version {trained.version}"


def _tells(walk: Walk, *parts: str) -> bool:
    """Whether one message in Teams holds all parts; what Teams would read as Markdown is escaped there."""
    messages = [message.replace("\\", "") for message in walk.messages("teams")]
    return any(all(part in message for part in parts) for message in messages)
