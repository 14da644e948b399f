"""The doors to webhooks: those of a Databricks workspace registry, and those of an MLflow server.

Contracts: /api/2.0/mlflow/registry-webhooks as databricks-sdk calls it; /api/2.0/mlflow/webhooks of MLflow 3.17. A
Databricks webhook that is being set up is in TEST_MODE, one of MLflow DISABLED: both send the test call only. Each
method raises a Failure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import msgspec

from cli.webhooks_plan import Found
from cli.webhooks_wanted import Wanted
from shared import rest
from shared.databricks import Workspace
from shared.registries import Registry
from shared.registries_rest import headers

MOST_PAGES = 1000
ACTIVE = "ACTIVE"
_DATABRICKS = "/api/2.0/mlflow/registry-webhooks"
_IS_TEST = re.compile(r'"test": ?true')


class Credentials(msgspec.Struct, frozen=True):
    """What a webhook signs with, and the `Authorization` it sends besides, if the source asks for one."""

    secret: str
    authorization: str = ""


class Tested(msgspec.Struct, frozen=True):
    """What the app answered to a registry's test call; `status` is 0 if it was not reached."""

    status: int
    body: str

    @property
    def is_accepted(self) -> bool:
        """Whether the app took it for a test call of a sender that it knows."""
        return self.status == 202 and _IS_TEST.search(self.body[:1000]) is not None

    @property
    def plan(self) -> list[dict[str, Any]]:
        """The plan in the app's answer, none if the registry has cut it off."""
        try:
            plan = json.loads(self.body).get("plan", [])
        except (ValueError, AttributeError):
            return []
        return [each for each in plan if isinstance(each, dict)] if isinstance(plan, list) else []


class Webhooks(Protocol):
    """The webhooks of one registry. `asleep` is the status in which only the test call sends."""

    asleep: str

    def all(self) -> list[Found]:
        """Return all webhooks that the registry shows."""

    def create(self, wanted: Wanted, credentials: Credentials) -> Found:
        """Make a webhook that is asleep."""

    def update(self, id: str, wanted: Wanted, credentials: Credentials | None, status: str = "") -> None:
        """Change events and description; with credentials, also URL and secret; with a status, also that."""

    def activate(self, id: str) -> None:
        """Let it send."""

    def delete(self, id: str) -> None:
        """Remove it."""

    def test(self, id: str, event: str) -> Tested:
        """Let the registry send a test call; return what the app answered."""


class DatabricksWebhooks:
    """Those of a workspace registry."""

    asleep = "TEST_MODE"

    def __init__(self, registry: Registry) -> None:
        self._workspace = Workspace(registry.url, registry.credential)

    def all(self) -> list[Found]:
        """Return all webhooks that the caller may see, of all models."""
        pages = _pages(lambda params: self._workspace.request("GET", f"{_DATABRICKS}/list", params=params))
        return [_of_databricks(each) for page in pages for each in page.get("webhooks", ())]

    def create(self, wanted: Wanted, credentials: Credentials) -> Found:
        """Make a webhook in TEST_MODE."""
        named = {"model_name": wanted.model} if wanted.model else {}
        body = {**_body(wanted, credentials), **named, "status": self.asleep}
        return _of_databricks(self._workspace.request("POST", f"{_DATABRICKS}/create", body)["webhook"])

    def update(self, id: str, wanted: Wanted, credentials: Credentials | None, status: str = "") -> None:
        """Change it; without a status it stays as it is."""
        body = {"id": id, **_body(wanted, credentials), **({"status": status} if status else {})}
        self._workspace.request("PATCH", f"{_DATABRICKS}/update", body)

    def activate(self, id: str) -> None:
        """Let it send."""
        self._workspace.request("PATCH", f"{_DATABRICKS}/update", {"id": id, "status": ACTIVE})

    def delete(self, id: str) -> None:
        """Remove it; one that is gone is none too many."""
        self._workspace.request("DELETE", f"{_DATABRICKS}/delete", params={"id": id}, allowed=(404,))

    def test(self, id: str, event: str) -> Tested:
        """Let Databricks send a test call. Its answer has had several forms; each is read."""
        answer = self._workspace.request("POST", f"{_DATABRICKS}/test", {"event": event, "id": id})
        answer = answer.get("webhook", answer)
        return Tested(int(answer.get("status_code") or answer.get("status") or 0), str(answer.get("body") or ""))


class MlflowWebhooks:
    """Those of an MLflow server."""

    asleep = "DISABLED"

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def all(self) -> list[Found]:
        """Return all webhooks of the server."""
        pages = _pages(lambda params: self._call("GET", params=params))
        return [_of_mlflow(each) for page in pages for each in page.get("webhooks", ())]

    def create(self, wanted: Wanted, credentials: Credentials) -> Found:
        """Make a webhook that is DISABLED."""
        name = f"registry-relay-{wanted.source}"[:62].rstrip("-_")
        body = {"name": name, **_mlflow_body(wanted, credentials), "status": self.asleep}
        return _of_mlflow(self._call("POST", payload=body)["webhook"])

    def update(self, id: str, wanted: Wanted, credentials: Credentials | None, status: str = "") -> None:
        """Change it; without a status it stays as it is."""
        body = {**_mlflow_body(wanted, credentials), **({"status": status} if status else {})}
        self._call("PATCH", f"/{id}", body)

    def activate(self, id: str) -> None:
        """Let it send."""
        self._call("PATCH", f"/{id}", {"status": ACTIVE})

    def delete(self, id: str) -> None:
        """Remove it; one that is gone is none too many."""
        self._call("DELETE", f"/{id}", allowed=(404,))

    def test(self, id: str, event: str) -> Tested:
        """Let the server send its example of an event."""
        result = self._call("POST", f"/{id}/test", {"event": _mlflow_event(event)}).get("result", {})
        body = result.get("response_body") or result.get("error_message") or ""
        return Tested(int(result.get("response_status") or 0), str(body))

    def _call(
        self,
        method: str,
        path: str = "",
        payload: Any = None,
        params: dict[str, str] | None = None,
        allowed: tuple[int, ...] = (),
    ) -> dict[str, Any]:
        url = f"{self._registry.url}/api/2.0/mlflow/webhooks{path}"
        reply = rest.request(
            method, url, "MLflow", payload=payload, params=params, headers=headers(self._registry), allowed=allowed
        )
        found = reply.json() if reply.text else {}
        return found if isinstance(found, dict) else {}


def webhooks_of(registry: Registry) -> Webhooks:
    """Return the door to a registry's webhooks."""
    return DatabricksWebhooks(registry) if registry.kind == "databricks" else MlflowWebhooks(registry)


def _pages(ask: Callable[[dict[str, str] | None], dict[str, Any]]) -> Iterator[dict[str, Any]]:
    token = ""
    for _ in range(MOST_PAGES):
        page = ask({"page_token": token} if token else None)
        yield page
        token = page.get("next_page_token") or ""
        if not token:
            return


def _body(wanted: Wanted, credentials: Credentials | None) -> dict[str, Any]:
    body: dict[str, Any] = {"description": wanted.mark, "events": list(wanted.events)}
    if credentials:
        spec = {"url": wanted.url, "secret": credentials.secret, "enable_ssl_verification": True}
        given = {"authorization": credentials.authorization} if credentials.authorization else {}
        body["http_url_spec"] = {**given, **spec}
    return body


def _mlflow_body(wanted: Wanted, credentials: Credentials | None) -> dict[str, Any]:
    body: dict[str, Any] = {"description": wanted.mark, "events": [_mlflow_event(event) for event in wanted.events]}
    return {**body, "url": wanted.url, "secret": credentials.secret} if credentials else body


def _mlflow_event(event: str) -> dict[str, str]:
    entity, action = event.upper().split(".")
    return {"entity": entity, "action": action}


def _of_databricks(body: dict[str, Any]) -> Found:
    spec = body.get("http_url_spec") or {}
    return Found(
        id=str(body["id"]),
        model=body.get("model_name") or "",
        events=tuple(sorted(body.get("events", ()))),
        url=spec.get("url") or "",
        status=body.get("status") or ACTIVE,
        description=body.get("description") or "",
        verifies=spec.get("enable_ssl_verification", True),
    )


def _of_mlflow(body: dict[str, Any]) -> Found:
    events = [f"{each['entity']}.{each['action']}".lower() for each in body.get("events", ())]
    return Found(
        id=str(body["webhook_id"]),
        events=tuple(sorted(events)),
        url=body.get("url") or "",
        status=body.get("status") or ACTIVE,
        description=body.get("description") or "",
    )
