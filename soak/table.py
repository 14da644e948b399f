"""The figures of all strategies in one table, and as JSON for whoever wants to go on with them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soak.kinds import PROTECTION, target_of

if TYPE_CHECKING:
    from soak.crash import Soak

PROMISES = ("lost", "stranded", "hollow", "unasked", "outdated", "set_back")
LEGEND = """For each target: extra starts, to how many that had to be, and in brackets those more that the target's own
protection has made harmless. For chat: messages more."""


def figures(soak: Soak) -> dict[str, Any]:
    """Return what was seen in one strategy, as JSON has it."""
    history, sender = soak.history, soak.sender
    assert sender is not None
    return {
        "strategy": soak.strategy,
        "seed": soak.seed,
        "workers": soak.workers,
        "seconds": round(soak.seconds, 1),
        "accepted": len(sender.accepted),
        "injections": {f"{each.window}: {each.action}": times for each, times in sorted_injections(soak)},
        "restarts": soak.restarts,
        "states": dict(history.states),
        "targets": _targets(soak),
        **{name: getattr(history, name) for name in PROMISES},
        "other": sender.other,
        "not_done": history.reasons,
    }


def sorted_injections(soak: Soak) -> list[tuple[Any, int]]:
    """Return the injections that were done and how often, by window and action."""
    return sorted(soak.plan.done.items(), key=lambda item: (item[0].window, item[0].action))


def _targets(soak: Soak) -> dict[str, dict[str, Any]]:
    assert soak.sender is not None
    parts = {
        "events": soak.sender.accepted.values(),
        "started": soak.history.started,
        "extra": soak.history.repeated,
        "harmless": soak.history.guarded,
        "messages": soak.history.told_again,
    }
    counts = {name: Counter(target_of(each) for each in found) for name, found in parts.items()}
    counts["messages"] = Counter({"slack": len(soak.history.told_again)})  # mostly those of second steps
    return {
        target: {**{name: counts[name][target] for name in parts}, "protection": protection}
        for target, protection in PROTECTION.items()
    }


def of(soaks: Sequence[Soak]) -> str:
    """Return the table: a line for each target and each promise, a column for each strategy."""
    seen = [figures(soak) for soak in soaks]
    lines = [["", *(each["strategy"] for each in seen), "its own protection"]]
    lines.append(["events accepted", *(str(each["accepted"]) for each in seen), ""])
    lines += [[target, *(_cell(each, target) for each in seen), told] for target, told in PROTECTION.items()]
    lines += [[name.replace("_", " "), *(str(len(each[name])) for each in seen), ""] for name in PROMISES]
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    rows = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([LEGEND, *rows])


def _cell(seen: dict[str, Any], target: str) -> str:
    found = seen["targets"][target]
    if target == "slack":
        return str(found["messages"])
    return f"{found['extra']} to {found['started']} ({found['harmless']})"


def write(soaks: Sequence[Soak], file: Path) -> None:
    """Write the figures of all strategies as JSON."""
    file.write_text(json.dumps([figures(soak) for soak in soaks], indent=1) + "\n")
