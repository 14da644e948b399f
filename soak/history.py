"""What came of the events: the logs of the stand-ins and the rows of the ledger, held against the 202s.

It reads the table itself: a checker that asked the app's own code would share its mistakes.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableClient

from local.system import System
from soak.kinds import first_step, kind_of, last_step
from soak.outside import ENDPOINTS
from soak.rollouts import Rollouts
from soak.starts import starts_of

ENDED = ("succeeded", "superseded", "parked", "dead")


@dataclass
class History:
    """The findings, by model: each event has a model of its own. The first six are violations of the promise."""

    lost: list[str] = field(default_factory=list)  # answered 202, not in the ledger
    stranded: list[str] = field(default_factory=list)  # a step has not ended, or has no successor
    repeated: list[str] = field(default_factory=list)  # an effect that came twice
    hollow: list[str] = field(default_factory=list)  # a step has succeeded, and the target knows nothing of it
    unasked: list[str] = field(default_factory=list)  # something was started for no accepted event
    outdated: list[str] = field(default_factory=list)  # what an endpoint serves in the end, not the newest
    set_back: list[str] = field(default_factory=list)  # an older model over a newer one, until that was put again
    guarded: list[str] = field(default_factory=list)  # a start more, which the target's own protection makes harmless
    told_again: list[str] = field(default_factory=list)  # a chat message more: at least once is its promise
    started: list[str] = field(default_factory=list)  # the effects that came, however often
    states: Counter[str] = field(default_factory=Counter)
    reasons: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")  # with what its row tells of its life

    @property
    def violations(self) -> dict[str, list[str]]:
        """What may not be, by its name; empty if the promise was kept."""
        names = ("lost", "stranded", "repeated", "hollow", "unasked", "outdated")
        return {name: getattr(self, name) for name in names if getattr(self, name)}


def rows_of(system: System) -> dict[str, dict[str, Any]]:
    """Return the rows of all events: by event id, then by row key."""
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    with TableClient.from_connection_string(system.azurite.connection_string, "steps") as table:
        try:
            for row in table.list_entities():
                found[row["PartitionKey"]][row["RowKey"]] = row
        except ResourceNotFoundError:
            return {}
    return found


def steps_of(rows: dict[str, Any]) -> dict[str, Any]:
    """Return the rows of the steps among those of an event, by step id."""
    return {key.removeprefix("step:"): row for key, row in rows.items() if key.startswith("step:")}


def unfinished(rows: dict[str, dict[str, Any]], accepted: Mapping[str, str]) -> list[str]:
    """Return the models whose events are not yet, or not wholly, ended."""
    return [model for event, model in accepted.items() if not _is_ended(rows.get(event, {}))]


def _is_ended(rows: dict[str, Any]) -> bool:
    if "event" not in rows:
        return False
    steps = steps_of(rows)
    routes = json.loads(rows["event"].get("routes") or "[]")  # their first steps have no rows before they are claimed
    begun = all(f"{route['name']}.{route['steps'][0]['id']}" in steps for route in routes)
    return begun and all(step["state"] in ENDED for step in steps.values())


def check(system: System, accepted: Mapping[str, str], told: Mapping[str, int] | None = None) -> History:
    """Hold the outside world against the ledger.

    `accepted` has the event ids of the 202s with their models, `told` the times that the events tell, by model.
    """
    history, rows = History(), rows_of(system)
    rollouts = Rollouts(system.arm.faults.calls("PUT"), told or {})
    starts, messages = starts_of(system, rollouts), Counter(each.text.split()[0] for each in system.chat.messages)
    for event, model in accepted.items():
        if "event" not in rows.get(event, {}):
            history.lost.append(model + _poisoned(system, model))
            continue
        steps = steps_of(rows[event])
        _check_steps(history, model, steps)
        _check_effects(history, model, steps, starts.get(model, []), messages[model])
    history.unasked = sorted(set(starts) - set(accepted.values()))
    history.set_back = rollouts.set_back
    history.outdated = _outdated(rollouts, rows, accepted, told or {})
    return history


def _poisoned(system: System, model: str) -> str:
    """Tell whether an event that reached no route was at least kept as poison: gone, or only given up."""
    with TableClient.from_connection_string(system.azurite.connection_string, "poison") as table:
        try:
            found = [row["reason"] for row in table.list_entities() if model in row["message"]]
        except ResourceNotFoundError:
            found = []
    return f" (kept in the table poison: {found[0]})" if found else ""


def _check_steps(history: History, model: str, steps: dict[str, Any]) -> None:
    kind = kind_of(model)
    first = steps.get(first_step(kind))
    is_whole = first is not None and (first["state"] != "succeeded" or last_step(kind) in steps)
    if not is_whole or any(step["state"] not in ENDED for step in steps.values()):
        told = ", ".join(f"{name} {step['state']}" for name, step in steps.items())
        history.stranded.append(f"{model} ({told})")
    for step in steps.values():
        history.states[step["state"]] += 1
        if step["state"] in ("dead", "parked"):
            history.reasons.append(f"{model}: {step['state']}: {step['reason']}")
        if "ended" in step:
            seconds = (step["ended"] - step["created"]).total_seconds()
            history.seconds.append(seconds)
            history.slowest = max(history.slowest, (seconds, f"{model}: {_life(step)}"))


def _is_done(model: str, steps: Mapping[str, Any]) -> bool:
    return bool(steps.get(first_step(kind_of(model)), {}).get("state") == "succeeded")


def _outdated(
    rollouts: Rollouts, rows: Mapping[str, dict[str, Any]], accepted: Mapping[str, str], told: Mapping[str, int]
) -> list[str]:
    """Tell which endpoints serve, at the end, a model of an older event than the newest that has succeeded."""
    found = []
    for kind, endpoint in ENDPOINTS.items():
        ours = [(model, rows.get(event, {})) for event, model in accepted.items() if kind_of(model) == kind]
        done = [model for model, found_rows in ours if _is_done(model, steps_of(found_rows))]
        newest, served = max(done, key=lambda model: told[model], default=""), rollouts.served(endpoint)
        if newest and told.get(served, 0) < told[newest]:
            found.append(f"{served} is served by {endpoint} at the end, not {newest}")
    return found


def _life(step: dict[str, Any]) -> str:
    moments = [msgspec.convert(each, dict[str, str]) for each in msgspec.json.decode(step["history"])]
    return " > ".join(f"{each['at'][14:19]} {each['state']} {each.get('note', '')[:60]}".strip() for each in moments)


def _check_effects(history: History, model: str, steps: dict[str, Any], starts: list[str], messages: int) -> None:
    kind = kind_of(model)
    done = _is_done(model, steps)
    count = messages if kind == "tell" else len(starts)
    history.started += [model] * bool(count)
    if done and not count:
        history.hollow.append(model)
    history.repeated += [model] * (len(set(starts)) - 1)
    history.guarded += [model] * (len(starts) - len(set(starts)))
    history.told_again += [model] * (messages - 1)
