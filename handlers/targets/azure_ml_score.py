"""Azure ML: asks an online endpoint for predictions and compares them with what is expected. A gate between steps.

It only asks, so it may be asked again: it needs no marker. The key or token goes to the host that Resource Manager
names as the endpoint's, over TLS, and to no other.
Contract: mfe.json (listKeys, token, scoringUri); "Troubleshoot online endpoints" (401, 404 without traffic, 408, 424
when the model fails, 429); the header azureml-model-deployment picks a deployment.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec

from shared import azure_ml, rest
from shared.attempts import Access, Answer, Attempt, Succeeded
from shared.azure_ml import NAME, Workspace
from shared.azure_resource_manager import mistakes_of_place
from shared.errors import PermanentFailure, SettingError, TransientFailure
from shared.findings import Finding, defect, ok, warning
from shared.identity import token
from shared.redaction import remember
from shared.settings import allowed_url
from shared.templates import Safe, harmless, without

SCOPE = "https://ml.azure.com/.default"
SHOWN = 200
GRACE_SECONDS = 5.0  # an answer that comes too late says more than none


class Expected(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the answer has to be: so many `rows`, each with these `columns`, these `values` within the tolerance."""

    rows: Annotated[int, msgspec.Meta(ge=0)] | None = None
    columns: list[str] = []
    values: list[Any] | None = None
    tolerance: Annotated[float, msgspec.Meta(ge=0)] = 1e-6


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`input` is the body to post, such as `{input_data: [[1, 2]]}`; without `deployment` the traffic decides."""

    subscription: str
    resource_group: str
    workspace: str
    endpoint: str
    input: dict[str, Any]
    deployment: str = ""
    expect: Expected = Expected()
    max_seconds: Annotated[float, msgspec.Meta(gt=0, le=60)] = 30.0

    def __post_init__(self) -> None:
        """Refuse names that are none: they become parts of a path."""
        for wrong, sentence in mistakes_of_place(self.subscription, self.resource_group):
            if wrong:
                raise ValueError(sentence)
        for name in (self.workspace, self.endpoint, without(self.deployment, "x") or "x"):
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name: letters, digits, `-` and `_`")


TEMPLATED: Mapping[str, Safe] = {"deployment": harmless}


def connect(options: Options, _access: Access) -> Workspace:
    """Return the workspace; it is asked as this app's identity."""
    return Workspace(options.subscription, options.resource_group, options.workspace)


def examine(options: Options, access: Access) -> Iterator[Finding]:
    """Yield whether the endpoint is there; it is not asked for a prediction."""
    workspace = connect(options, access)
    if workspace.get() is None:
        yield defect(
            "endpoint", f"there is no workspace {options.workspace}", "mend the route, or create the workspace"
        )
    elif workspace.get(f"onlineEndpoints/{options.endpoint}") is None:
        advice = "create it, unless an earlier step of the route does"
        yield warning("endpoint", f"there is no endpoint {options.endpoint} in workspace {options.workspace}", advice)
    else:
        yield ok("endpoint", f"endpoint {options.endpoint} is there")


def start(attempt: Attempt) -> Answer:
    """Ask the endpoint, and compare."""
    options: Options = attempt.options
    link = attempt.connection.studio(options.endpoint)
    try:
        reply, seconds = _ask(attempt)
        shown = " ".join(reply.text.split())[:SHOWN]
        _compare(options.expect, reply, shown)
    except PermanentFailure as failure:
        raise PermanentFailure(failure.reason, failure.link or link) from None
    if seconds > options.max_seconds:
        raise TransientFailure(
            f"it took {seconds:.1f} s to answer, {options.max_seconds:g} s at most was expected", link
        )
    by = reply.headers.get("azureml-model-deployment") or options.deployment
    whose = f"{options.endpoint}/{by}" if by else options.endpoint
    return Succeeded(outcome=f"{whose} answered in {seconds * 1000:.0f} ms: {shown}", ref=by, link=link)


def preview(attempt: Attempt) -> dict[str, Any]:
    """Return the request to the endpoint, whose address and key are asked for first."""
    options: Options = attempt.options
    headers = {**_headers(options), "Authorization": "Bearer {the endpoint's key or token}"}
    where = f"{{scoring URI of {options.endpoint} in workspace {options.workspace}}}"
    return {"request": f"POST {where}", "headers": headers, "body": options.input}


def _headers(options: Options) -> dict[str, str]:
    return {"azureml-model-deployment": options.deployment} if options.deployment else {}


def _ask(attempt: Attempt) -> tuple[rest.Reply, float]:
    options, path = attempt.options, f"onlineEndpoints/{attempt.options.endpoint}"
    endpoint = attempt.connection.get(path)
    if endpoint is None:
        raise PermanentFailure(f"there is no endpoint {options.endpoint} in workspace {options.workspace}")
    url = _scoring_url(endpoint)
    headers = {**_headers(options), "Authorization": f"Bearer {_key(attempt.connection, path, endpoint)}"}
    began, timeout = time.monotonic(), (5.0, options.max_seconds + GRACE_SECONDS)
    service = f"endpoint {options.endpoint}"
    reply = rest.request("POST", url, service, payload=options.input, headers=headers, timeout=timeout)
    return reply, time.monotonic() - began


def _scoring_url(endpoint: Mapping[str, Any]) -> str:
    try:
        return allowed_url(str(azure_ml.properties(endpoint).get("scoringUri") or ""), "its scoring URI")
    except SettingError as error:
        raise PermanentFailure(f"the endpoint can't be asked: {error}, or its key would be read on the way") from None


def _key(workspace: Workspace, path: str, endpoint: Mapping[str, Any]) -> str:
    mode = azure_ml.properties(endpoint).get("authMode")
    if mode == "AADToken":
        return token(SCOPE)
    answer = workspace.post(f"{path}/token" if mode == "AMLToken" else f"{path}/listKeys")
    key = answer.get("accessToken" if mode == "AMLToken" else "primaryKey") if isinstance(answer, dict) else None
    if not isinstance(key, str) or not key:
        raise PermanentFailure(f"Azure gave no key or token for an endpoint with the auth mode {mode}")
    remember(key)
    return key


def _compare(expect: Expected, reply: rest.Reply, shown: str) -> None:
    """Raise PermanentFailure, with what was expected and what came, unless the answer is as expected."""
    try:
        rows = _rows(json.loads(reply.text))
    except ValueError:
        raise PermanentFailure(f"the answer is not JSON: {shown}") from None
    for wrong in _differences(expect, rows):
        raise PermanentFailure(f"{wrong}: {shown}")


def _rows(answer: Any) -> list[Any]:
    """Return the predictions of an answer: a list, or what stands under `predictions` in MLflow's own form."""
    found = answer.get("predictions", answer) if isinstance(answer, dict) else answer
    return found if isinstance(found, list) else [found]


def _differences(expect: Expected, rows: list[Any]) -> Iterator[str]:
    if expect.rows is not None and len(rows) != expect.rows:
        yield f"expected {expect.rows} rows, got {len(rows)}"
    for index, row in enumerate(rows if expect.columns else []):
        missing = [name for name in expect.columns if not isinstance(row, dict) or name not in row]
        if missing:
            yield f"expected the columns {', '.join(expect.columns)}, row {index} has no {', '.join(missing)}"
    if expect.values is not None and not _alike(expect.values, rows, expect.tolerance):
        yield f"expected {json.dumps(expect.values)[:SHOWN]} within {expect.tolerance:g}, got"


def _alike(wanted: Any, got: Any, tolerance: float) -> bool:
    if isinstance(wanted, list):
        same = isinstance(got, list) and len(got) == len(wanted)
        return same and all(_alike(each, other, tolerance) for each, other in zip(wanted, got, strict=True))
    if isinstance(wanted, dict):
        same = isinstance(got, dict) and got.keys() == wanted.keys()
        return same and all(_alike(each, got[name], tolerance) for name, each in wanted.items())
    if _is_number(wanted):
        return _is_number(got) and abs(got - wanted) <= tolerance
    return type(wanted) is type(got) and bool(wanted == got)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
