"""A rollout of a model version on an Azure ML online endpoint: one operation at a time, until nothing is missing.

Every look begins with what stands at the service: the endpoint, the deployment with its marker, the traffic, the
deployment that served before. What is missing first is begun, and its operation waited for. So a lost reply, a second
worker and one that was stopped all come to the same: look again, begin what is missing.
"""

from __future__ import annotations

from typing import Any

from handlers.azure_ml import bodies
from handlers.azure_ml.operations import Operations
from shared import azure_ml
from shared import azure_resource_manager as arm
from shared.attempts import LOOKS_AGAIN, Answer, Succeeded, Waiting
from shared.azure_ml import FAILED, UNDER_WAY
from shared.errors import PermanentFailure

COLOURS = ("blue", "green")


class Rollout(Operations):
    """One look at a rollout."""

    def advance(self) -> Answer:
        """Begin what is missing first; Succeeded when nothing is. Raises a Failure."""
        endpoint = self._get()
        if endpoint is None:
            return self._create_endpoint()
        for part in (self._endpoint, self._deployment, self._traffic, self._previous):
            waiting = part(endpoint)
            if waiting is not None:
                return waiting
        return self._succeeded(endpoint)

    def stands(self) -> bool:
        """Tell whether the service has what an earlier attempt has begun last. Raises a Failure."""
        if self.progress["begun"][-1:] == ["endpoint"]:
            return self._get() is not None
        deployment = self._get(self.progress["deployment"]) if self.progress["deployment"] else None
        return deployment is not None and self._is_ours(deployment) and azure_ml.state(deployment) not in FAILED

    def _is_overtaken(self, deployment: dict[str, Any]) -> bool:
        """Tell whether it is of an older event of ours, put by a worker that was late: then ours is put once more."""
        return bodies.MARKER in azure_ml.tags(deployment) and bodies.mark(deployment) < int(self._options.event_time)

    def _create_endpoint(self) -> Waiting:
        options = self._options
        if not (options.create_endpoint and self.model):
            raise PermanentFailure(f"there is no endpoint {options.endpoint} in workspace {options.workspace}")
        location = options.location or (self._workspace.get() or {}).get("location")
        if not location:
            raise PermanentFailure(f"there is no workspace {options.workspace} in {options.resource_group}")
        return self._put("endpoint", bodies.new_endpoint(options, location, self._compute_id()))

    def _endpoint(self, endpoint: dict[str, Any]) -> Waiting | None:
        """Wait until the endpoint is at rest, and on its compute."""
        name, failed = self._options.endpoint, azure_ml.state(endpoint) in FAILED
        if _is_busy(endpoint):
            return self.waiting(f"endpoint {name} is {azure_ml.state(endpoint).lower()}")
        if failed and self.progress["begun"]:
            raise PermanentFailure(f"endpoint {name} has failed{_why(endpoint)}")
        present = str(azure_ml.properties(endpoint).get("compute") or "")
        lacks = bool(self._options.compute) and not present
        compute = self._compute_id()
        if compute and present and present.lower() != compute.lower():
            raise PermanentFailure(f"endpoint {name} is on another compute: {present}")
        if not (lacks or failed):
            return None
        return self._put("endpoint", bodies.taken_over(self._options, endpoint, compute))

    def _compute_id(self) -> str:
        name, wanted = self._options.compute, self._options.namespace
        if not name:
            return ""
        compute = self._workspace.get(f"computes/{name}")
        if compute is None:
            raise PermanentFailure(f"no compute {name} is attached to workspace {self._options.workspace}")
        namespace = (azure_ml.properties(compute).get("properties") or {}).get("namespace")
        if wanted and namespace != wanted:
            raise PermanentFailure(f"compute {name} is attached to namespace {namespace}, not {wanted}")
        return f"{self._workspace.id}/computes/{name}"

    def _deployment(self, endpoint: dict[str, Any]) -> Waiting | None:
        name = self.progress["deployment"] = self.progress["deployment"] or self._choose(endpoint)
        deployment = self._get(name)
        if self.model and not (deployment and self._is_ours(deployment)):
            if "deployment" in self.progress["accepted"] and self._is_unsettled():  # a replica may be late
                return self.waiting(f"deployment {name} is not shown yet as it was put")
            if "deployment" in self.progress["accepted"] and not (deployment and self._is_overtaken(deployment)):
                raise PermanentFailure(f"deployment {name} was replaced by somebody else meanwhile")
            return self._put_deployment(endpoint)
        if deployment is None:
            raise PermanentFailure(f"there is no deployment {name} that traffic could be shifted to")
        state = azure_ml.state(deployment)
        if state in UNDER_WAY:
            return self.waiting(f"deployment {name} is {state.lower()}")
        # an earlier attempt's failure: a replay tries once more
        if state in FAILED and self.model and "deployment" not in self.progress["begun"]:
            return self._put_deployment(endpoint)
        if state in FAILED:
            raise PermanentFailure(f"deployment {name} has failed{_why(deployment)}")
        return None

    def _choose(self, endpoint: dict[str, Any]) -> str:
        """Return the deployment's name: where it may be either colour, the one that is ours, else without traffic."""
        if self._options.deployment != "auto":
            return str(self._options.deployment)
        found = {colour: self._get(colour) for colour in COLOURS}
        ours = [colour for colour, deployment in found.items() if deployment and self._is_ours(deployment)]
        traffic = azure_ml.traffic(endpoint)
        return ours[0] if ours else min(COLOURS, key=lambda colour: (traffic.get(colour, 0), bool(found[colour])))

    def _put_deployment(self, endpoint: dict[str, Any]) -> Waiting:
        body = bodies.new_deployment(self.attempt, self.model, str(endpoint["location"]))
        return self._put("deployment", body, self.progress["deployment"])

    def _traffic(self, endpoint: dict[str, Any]) -> Waiting | None:
        percent, name, present = self._options.traffic, self.progress["deployment"], azure_ml.traffic(endpoint)
        if self.progress.get(LOOKS_AGAIN) and not self._has_last_word():
            return None  # a later step of the same event has shifted it on
        if percent is None or present.get(name, 0) == azure_ml.shares(present, name, percent)[name]:
            return None
        if "traffic" in self.progress["accepted"]:  # the service is known to show it late
            return self.waiting(f"endpoint {self._options.endpoint} does not show its new traffic yet")
        self.progress["previous"] = [other for other, share in present.items() if share and other != name]
        return self._put("traffic", bodies.shifted(self._options, endpoint, name, percent))

    def _previous(self, _endpoint: dict[str, Any]) -> Waiting | None:
        for name in [] if self._options.keep_previous else self.progress["previous"]:
            deployment, path = self._get(name), self._path(name)
            if deployment is None or bodies.MARKER not in azure_ml.tags(deployment):  # a person's own stays
                continue
            if azure_ml.state(deployment) == "Deleting":
                return self.waiting(f"deployment {name} is deleting")
            return self._begin("previous", lambda path=path: self._workspace.delete(path))  # type: ignore[misc]
        return None

    def _succeeded(self, endpoint: dict[str, Any]) -> Succeeded:
        name = self.progress["deployment"]
        share = azure_ml.traffic(endpoint).get(name, 0)
        where = azure_ml.properties(endpoint).get("scoringUri", "")
        what = f"deployment {name} of endpoint {self._options.endpoint} stands"
        return Succeeded(outcome=f"{what}, with {share} % of the traffic: {where}", ref=name, link=self.link)


def _is_busy(endpoint: dict[str, Any]) -> bool:
    return azure_ml.state(endpoint) in UNDER_WAY


def _why(resource: dict[str, Any]) -> str:
    url = azure_ml.operation_of(resource)
    error = arm.standing(url).error if url else ""
    return f": {error}" if error else ""
