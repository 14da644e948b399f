"""Rounds: each contestant once per round, in an order that turns, so that whoever is first is so but once."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass
class Figure:
    """A figure of one contestant over all rounds: `median`, and `spread`, the lowest and the highest round."""

    values: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The middle one of the rounds, NaN without any."""
        return statistics.median(self.values) if self.values else math.nan

    @property
    def spread(self) -> tuple[float, float]:
        """The lowest and the highest round."""
        return (min(self.values), max(self.values)) if self.values else (math.nan, math.nan)


def turned(contestants: Sequence[T], rounds: int) -> Iterator[list[T]]:
    """Yield the contestants `rounds` times, each time beginning one further on."""
    for turn in range(rounds):
        start = turn % len(contestants)
        yield [*contestants[start:], *contestants[:start]]


def measure(contestants: Sequence[T], rounds: int, once: Callable[[T], dict[str, float]]) -> list[dict[str, Figure]]:
    """Measure each contestant once per round; return the figures of each, by name, in the contestants' order."""
    found: list[dict[str, Figure]] = [{} for _ in contestants]
    places = range(len(contestants))
    for order in turned(list(places), rounds):
        for place in order:
            for name, value in once(contestants[place]).items():
                found[place].setdefault(name, Figure()).values.append(value)
    return found


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` of the values do not exceed (nearest rank); NaN of none."""
    if not values:
        return math.nan
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]
