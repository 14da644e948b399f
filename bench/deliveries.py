"""The deliveries that all contestants get: stage changes as Databricks sends them, signed, each of its own model."""

from __future__ import annotations

import json
from collections.abc import Sequence

from bench.load import Request
from cli.samples import databricks_stage_change
from cli.signing import databricks_headers

WRONG = "0" * 64


def body(model: str, number: int) -> bytes:
    """Return the body of a stage change of one version of a model."""
    return json.dumps(databricks_stage_change(model, str(number), "Production")).encode()


def signed(secret: str, prefix: str, count: int, start: int = 0) -> list[Request]:
    """Return as many deliveries, of models `prefix-N`, with N from `start`."""
    bodies = [body(f"{prefix}-{number}", number + 1) for number in range(start, start + count)]
    return [Request(databricks_headers(secret, each), each) for each in bodies]


def wrongly_signed(requests: Sequence[Request]) -> list[Request]:
    """Return the same deliveries with a signature of the right form that does not hold."""
    return [Request({**each.headers, "X-Databricks-Signature": WRONG}, each.body) for each in requests]


def of_one_version(secret: str, model: str, count: int) -> list[Request]:
    """Return as many deliveries of one model version, each of another moment: events that differ in time alone."""
    given = databricks_stage_change(model, "1", "Production")
    now = given["event_timestamp"] - count
    bodies = [json.dumps({**given, "event_timestamp": now + number}).encode() for number in range(count)]
    return [Request(databricks_headers(secret, each), each) for each in bodies]
