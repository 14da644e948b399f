"""What the app tells of itself: one trace per event, lines with dimensions, metrics; to a collector and to Azure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local.collector import AT_ONCE, Line, Span
from local.system import System
from local.worker import ROOT, Host
from tests.conftest import DEAF, IMPATIENT, Relay, until

DIMENSIONS = json.loads((Path(__file__).parents[2] / "infra/monitoring/dimensions.json").read_text())


def spans_of(relay: Relay, event: str, names: set[str]) -> dict[str, Span]:
    """Wait for the spans of an event's trace; return them by name, the last of each."""

    def look() -> dict[str, Span] | None:
        collected = relay.system.collector.spans
        traces = {span.trace for span in collected if span.attributes.get("relay.event") == event}
        found = {span.name: span for span in collected if span.trace in traces}
        return found if names <= found.keys() else None

    return until(look)


def lines_of(relay: Relay, event: str, what: str, outcome: str = "") -> list[Line]:
    """Wait for the lines that tell of an event."""

    def look() -> list[Line]:
        lines = [line for line in relay.system.collector.lines if line.attributes.get("relay.event") == event]
        lines = [line for line in lines if line.attributes["relay.what"] == what]
        return [line for line in lines if outcome in ("", line.attributes.get("relay.outcome"))]

    return until(look)


def test_one_trace_leads_from_the_delivery_through_both_queues_to_the_call_of_the_target(relay: Relay) -> None:
    event = relay.stage_change("release_traced")
    relay.ended(event)
    calls = {"POST Azure DevOps", "PATCH Azure DevOps"}
    spans = spans_of(
        relay, event, {"receive_delivery", "route_event", "run_step", "start azure_devops_release", *calls}
    )
    assert len({span.trace for span in spans.values()}) == 1
    assert spans["receive_delivery"].parent == ""
    assert spans["route_event"].parent == spans["receive_delivery"].id
    steps = [span for span in relay.system.collector.spans if span.name == "run_step"]
    steps = [span for span in steps if span.trace == spans["route_event"].trace]
    assert {span.parent for span in steps} == {spans["route_event"].id}
    release = spans["start azure_devops_release"]
    assert release.parent in {span.id for span in steps if span.attributes["relay.target"] == "azure_devops_release"}
    assert {spans[name].parent for name in calls} == {release.id}
    assert spans["PATCH Azure DevOps"].attributes["http.response.status_code"] == 200


def test_a_call_that_failed_marks_its_span_without_the_text_of_the_failure(relay: Relay) -> None:
    text = "what-the-service-has-echoed"
    relay.system.devops.faults.add("POST", "/_apis/Release/releases", status=400, body={"message": text})
    event = relay.stage_change("release_refused")
    relay.ended(event)
    span = spans_of(relay, event, {"start azure_devops_release", "POST Azure DevOps"})["POST Azure DevOps"]
    assert span.failed
    assert text not in str(span)
    assert text in relay.ended(event).steps["release.azure_devops_release"].reason, "the ledger has it"


def test_each_state_of_a_step_is_a_line_with_its_dimensions_within_the_trace(relay: Relay) -> None:
    event = relay.stage_change("release_told", version="7")
    relay.ended(event)
    line = lines_of(relay, event, "step", "succeeded")[0]
    told = line.attributes
    assert told["relay.model"] == "release_told"
    assert told["relay.version"] == "7"
    assert told["relay.route"] == "release"
    assert told["relay.target"] == "azure_devops_release"
    assert told["relay.attempt"] == 1
    assert told["relay.duration_ms"] >= 0
    assert line.trace == spans_of(relay, event, {"route_event"})["route_event"].trace


def test_a_refused_delivery_is_a_line_that_tells_no_more_than_its_status(relay: Relay) -> None:
    before = len(relay.system.collector.lines)
    assert relay.post("wine-dev", b"{}", {"X-Databricks-Signature": "0" * 64}).status_code == 401

    def look() -> list[Line]:
        told = relay.system.collector.lines[before:]
        return [line for line in told if line.attributes.get("relay.status") == 401]

    line = until(look)[0]
    assert line.attributes["relay.what"] == "delivery"
    told = {name for name in line.attributes if name.startswith("relay.")}
    assert told == {"relay.what", "relay.status", "relay.reason", "relay.duration_ms"}
    assert (line.attributes["relay.reason"], line.text) == (
        "unauthorized",
        "delivery to 'wine-dev' answered 401: unauthorized",
    )


def test_deliveries_steps_and_how_long_they_took_are_metrics(relay: Relay) -> None:
    relay.ended(relay.stage_change("release_measured"))
    names = {"relay.delivery", "relay.step", "relay.step.duration", "relay.event.queue", "relay.vault"}
    metrics = until(lambda: relay.system.collector.metrics if names <= relay.system.collector.metrics.keys() else None)
    accepted = [point for point in metrics["relay.delivery"] if point["relay.status"] == 202]
    assert sum(point["value"] for point in accepted) >= 1
    assert {"relay.target", "relay.route", "relay.outcome"} <= metrics["relay.step"][0].keys()


def test_what_the_app_tells_is_what_the_queries_were_written_for(relay: Relay) -> None:
    relay.ended(relay.stage_change("release_contract"))
    relay.sweep()
    until(lambda: [line for line in relay.system.collector.lines if line.attributes.get("relay.what") == "sweep"])
    told = [line.attributes for line in relay.system.collector.lines if "relay.what" in line.attributes]
    unknown = {name for line in told for name in line if name.startswith("relay.")} - DIMENSIONS["dimensions"].keys()
    assert not unknown
    for line in told:
        what = line["relay.what"]
        assert what in DIMENSIONS["records"], line
        own = {name for name in line if name.startswith("relay.")} - {"relay.what"}
        assert own <= set(DIMENSIONS["records"][what]), what


@pytest.fixture
def reporting(own_system: System) -> Host:
    """A worker that tells Application Insights, which takes Entra identities only."""
    settings = {
        "APPLICATIONINSIGHTS_CONNECTION_STRING": (
            f"InstrumentationKey=00000000-0000-0000-0000-000000000001;IngestionEndpoint={own_system.collector.url}/"
        ),
        "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": "Authorization=AAD",
        "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
    }
    return own_system.worker({**IMPATIENT, **AT_ONCE, **DEAF, **settings})


def test_application_insights_is_told_as_the_apps_own_identity(own_system: System, reporting: Host) -> None:
    relay = Relay(own_system, reporting)
    assert relay.post("nobody", b"{}", {}).status_code == 401

    def look() -> list[dict[str, str]]:
        lines = [item["data"]["baseData"] for item in own_system.collector.tracked if "Message" in item["name"]]
        return [line["properties"] for line in lines if line["properties"].get("relay.status") == "401"]

    assert until(look)[0]["relay.what"] == "delivery"

    def spans() -> list[dict[str, Any]]:
        bases = [item["data"]["baseData"] for item in own_system.collector.tracked]
        return [base for base in bases if base.get("name") == "receive_delivery"]

    until(spans)


def test_the_first_event_of_a_worker_is_one_trace_though_it_began_before_the_exporters_were_there(
    own_system: System,
) -> None:
    settings = {**IMPATIENT, **own_system.collector.environment()}
    relay = Relay(own_system, own_system.worker(settings))
    event = relay.stage_change("release_first")
    names = {"receive_delivery", "route_event", "run_step", "start azure_devops_release", "POST Azure DevOps"}
    spans = spans_of(relay, event, names)
    assert len({span.trace for span in spans.values()}) == 1
    assert spans["receive_delivery"].parent == ""
    assert spans["route_event"].parent == spans["receive_delivery"].id
    assert spans["POST Azure DevOps"].parent == spans["start azure_devops_release"].id
    assert all(span.start <= span.end for span in spans.values())
    later = relay.stage_change("release_second")
    spans_of(relay, later, names)
    ids = [span.id for span in own_system.collector.spans]
    assert len(ids) == len(set(ids)), "each span has an id of its own, those that were held and those after them"
    lines = [line for what in ("delivery", "event") for line in lines_of(relay, event, what)]
    within = {line.attributes["relay.what"]: line.span for line in lines}
    assert within == {"delivery": spans["receive_delivery"].id, "event": spans["route_event"].id}
    assert len(lines) == 2, "each line is told once"

    def both_are_counted() -> bool:
        return any(point["value"] == 2 for point in own_system.collector.metrics.get("relay.delivery", []))

    until(both_are_counted)


FIRST_ANSWER = """
import asyncio, logging, sys
from handlers.receive import receive
logging.basicConfig(level=logging.INFO)  # as in the worker
answer = asyncio.run(receive("wine-dev", {"x-databricks-signature": "0" * 64}, b"{}", 0.0))
print(answer.status, any(name.startswith(("opentelemetry", "azure.monitor")) for name in sys.modules))
"""


def first_answer(system: System, telemetry: dict[str, str]) -> tuple[str, str]:
    """Let a new process answer a delivery whose signature is wrong; return what it printed, and its log."""
    environment = {**os.environ, **system.environment(), **telemetry}
    done = subprocess.run([sys.executable, "-c", FIRST_ANSWER], env=environment, cwd=ROOT, capture_output=True)
    return done.stdout.decode(), done.stderr.decode()


def test_the_first_answer_does_not_wait_for_the_exporters(own_system: System) -> None:
    printed, log = first_answer(own_system, own_system.collector.environment())
    assert printed.split() == ["401", "False"], log


@pytest.mark.parametrize("telemetry", ["host", "export"])
def test_the_log_does_not_tell_of_each_request_to_the_vault(own_system: System, telemetry: str) -> None:
    _, log = first_answer(own_system, {**own_system.collector.environment(), "TELEMETRY": telemetry})
    assert "answered 401" in log
    assert "secret wine-dev-webhook is fetched" in log
    assert "http_logging_policy" not in log


def test_with_telemetry_left_to_the_host_nothing_is_exported(own_system: System) -> None:
    settings = {**IMPATIENT, **DEAF, **own_system.collector.environment(), "TELEMETRY": "host"}
    relay = Relay(own_system, own_system.worker(settings, log_level="INFO"))
    assert relay.post("nobody", b"{}", {}).status_code == 401
    relay.worker.stop()
    assert "answered 401" in relay.worker.log()
    assert not own_system.collector.lines
    assert not own_system.collector.spans
