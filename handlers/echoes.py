"""Note what a step is about to cause in a registry, so that the event that comes of it is known for our own."""

from __future__ import annotations

from dataclasses import replace

from handlers.current_routes import current_routes
from handlers.turn import Turn
from shared import brakes
from shared.attempts import Caused
from shared.loops import echo_key
from shared.stories import Cause


def expect_echoes(turn: Turn) -> None:
    """Note each event that the step will cause. Called before its claim: what fails here leaves no doubt."""
    if not hasattr(turn.module, "causes"):
        return
    step, event = turn.step, turn.story.event
    cause = Cause(event.id, step.id, (*turn.story.chain, step.route))
    sources = current_routes().sources
    for caused in turn.module.causes(turn.options):
        source = sources.get(caused.registry or event.source)
        if source is not None and source.address:
            key = echo_key(source.address, _whole(turn, caused))
            brakes.expect(key, cause, step.key, turn.clock())


def _whole(turn: Turn, caused: Caused) -> Caused:
    """Fill in what is as in the event itself."""
    event = turn.story.event
    return replace(caused, model=caused.model or event.model, version=caused.version or event.version)
