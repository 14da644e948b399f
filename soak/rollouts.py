"""What was rolled out on Azure ML, by the requests that the stand-in has taken, in the order in which it took them.

The same PUT again is no other start, even if something else stood there in between: that is what a PUT by name is
worth. A PUT of an older event's model over a newer one, or traffic that goes back to one, is what the high-water mark
is there to prevent, or, where the PUT was under way when the newer event came, to have put right.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from local.faults import Call

_PLACE = re.compile(r"/onlineEndpoints/([^/]+)(?:/deployments/([^/]+))?$")


class Rollouts:
    """`starts` has the marks of each model's deployments, `set_back` each step back, `shifts` how often traffic moved.

    `told` has the time of each model's event.
    """

    def __init__(self, calls: Iterable[Call], told: Mapping[str, int]) -> None:
        self.starts: dict[str, list[str]] = defaultdict(list)
        self.set_back: list[str] = []
        self.shifts: dict[str, int] = defaultdict(int)
        self._told = told
        self._bodies: dict[str, list[tuple[str, str, Any]]] = defaultdict(list)
        self._standing: dict[tuple[str, str], Any] = {}
        self._serving: dict[str, str] = {}
        for call in calls:
            place = _PLACE.search(call.path)
            if place and call.committed and call.method == "PUT":
                self._take(place[1], place[2], call.body)

    def served(self, endpoint: str) -> str:
        """Return the model that has an endpoint's traffic in the end, "" if none has."""
        return self._model_at(endpoint, self._serving.get(endpoint, ""))

    def _take(self, endpoint: str, deployment: str | None, body: Any) -> None:
        if deployment:
            self._take_deployment(endpoint, deployment, body)
        elif traffic := body["properties"].get("traffic"):
            self._take_traffic(endpoint, max(traffic, key=lambda name: int(traffic[name])))

    def _take_deployment(self, endpoint: str, name: str, body: Any) -> None:
        model, before = _model(body), self._model_at(endpoint, name)
        known = self._bodies[model]
        if (endpoint, name, body) not in known:
            known.append((endpoint, name, body))
        self.starts[model].append(f"{endpoint}/{name}, body {known.index((endpoint, name, body)) + 1}")
        self._standing[endpoint, name] = body
        self._compare(f"at {endpoint}/{name}", before, model)

    def _take_traffic(self, endpoint: str, name: str) -> None:
        before, model = self.served(endpoint), self._model_at(endpoint, name)
        if name != self._serving.get(endpoint):
            self.shifts[model] += 1
        self._serving[endpoint] = name
        self._compare(f"in the traffic of {endpoint}", before, model)

    def _compare(self, where: str, before: str, model: str) -> None:
        if before and self._told[model] < self._told[before]:
            self.set_back.append(f"{model} over {before}, which is newer, {where}")

    def _model_at(self, endpoint: str, name: str) -> str:
        body = self._standing.get((endpoint, name))
        return _model(body) if body else ""


def _model(body: Any) -> str:
    return str(body["properties"]["model"]).rpartition("/models/")[2].partition("/")[0]
