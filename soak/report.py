"""What a soak has shown, for a person."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from soak.table import sorted_injections

if TYPE_CHECKING:
    from soak.crash import Soak

SHOWN = 10


def tell(soak: Soak) -> None:
    """Print the figures, then each violation."""
    history, sender, plan = soak.history, soak.sender, soak.plan
    assert sender is not None
    kills = plan.count("kill before", "kill after")
    print(f"strategy {soak.strategy}, seed {soak.seed}: {soak.seconds:.0f} s")
    print(f"  events      {len(sender.accepted)} of {sender.sent} accepted, {sender.copies} copies, ", end="")
    print(f"{sender.refused} deliveries repeated")
    print(f"  injections  {sum(plan.done.values())}: {kills} kills, {plan.count('freeze')} freezes, ", end="")
    print(f"{plan.count('late')} late, {plan.count('drop', 'hang', 'error')} replies lost, ", end="")
    print(f"{plan.count('double')} messages doubled; {soak.restarts} restarts")
    print(_windows(soak))
    print(f"  steps       {', '.join(f'{count} {state}' for state, count in sorted(history.states.items()))}; ", end="")
    print(_times(sorted(history.seconds)))
    print(f"  extra       {len(history.repeated)} starts, {len(history.guarded)} starts that were harmless, ", end="")
    print(f"{len(history.told_again)} messages")
    print(f"  lost {len(history.lost)}, stranded {len(history.stranded)}, hollow {len(history.hollow)}, ", end="")
    print(f"unasked {len(history.unasked)}, outdated {len(history.outdated)}; set back {len(history.set_back)}")
    print(f"  slowest     {history.slowest[1]}")
    for name, found in {**history.violations, "not done": history.reasons, "other": sender.other}.items():
        for line in found[:SHOWN]:
            print(f"    {name}: {line}")


def _windows(soak: Soak) -> str:
    done: dict[str, list[str]] = defaultdict(list)
    for each, times in sorted_injections(soak):
        done[each.window].append(f"{each.action} {times}")
    return "\n".join(f"    {window:17} {', '.join(actions)}" for window, actions in done.items())


def _times(seconds: list[float]) -> str:
    if not seconds:
        return "none ended"
    middle, late = seconds[len(seconds) // 2], seconds[int(len(seconds) * 0.95)]
    return f"half within {middle:.1f} s, 95 % within {late:.1f} s, the slowest {seconds[-1]:.1f} s"
