"""Stand-in for what takes telemetry: an OpenTelemetry collector (OTLP over HTTP) and Application Insights' ingestion.

Sources: opentelemetry.io/docs/specs/otlp (paths, protobuf bodies, gzip); Application Insights' `/v2.1/track` as
azure-monitor-opentelemetry-exporter calls it (a JSON array; with Entra, a token for https://monitor.azure.com).
Assumed: the wording of refusals.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from local.faults import Faults
from local.identity import Identity
from local.serving import StandIn, certificate

INSIGHTS_AUDIENCE = "https://monitor.azure.com"
# what the environment of an app says so that it tells at once: the defaults gather for seconds
AT_ONCE = {
    "OTEL_BSP_SCHEDULE_DELAY": "100",
    "OTEL_BLRP_SCHEDULE_DELAY": "100",
    "OTEL_METRIC_EXPORT_INTERVAL": "500",
}


@dataclass(frozen=True)
class Span:
    """A span: ids in hex, times in nanoseconds since 1970, `parent` empty for the first one of a trace."""

    trace: str
    id: str
    parent: str
    name: str
    start: int
    end: int
    failed: bool
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Line:
    """A line of the log with its dimensions, and the span that it was written in."""

    text: str
    trace: str
    span: str
    attributes: dict[str, Any]


class Collector(StandIn):
    """What was told so far. With `forward`, all that comes by OTLP goes on to that endpoint as it is."""

    def __init__(self, identity: Identity, forward: str = "", faults: Faults | None = None) -> None:
        super().__init__(faults)
        self.tls = certificate().context
        self.identity, self.forward = identity, forward.rstrip("/")
        self.spans: list[Span] = []
        self.lines: list[Line] = []
        self.metrics: dict[str, list[dict[str, Any]]] = {}
        self.needs_identity = True
        self.tracked: list[dict[str, Any]] = []

    def routes(self) -> list[web.RouteDef]:
        """The three kinds of OTLP, and Application Insights."""
        return [
            web.post("/v1/traces", self._traces),
            web.post("/v1/logs", self._logs),
            web.post("/v1/metrics", self._metrics),
            web.post("/v2.1/track", self._track),
            web.post("//v2.1/track", self._track),  # Azure's connection strings end with a slash
        ]

    def environment(self) -> dict[str, str]:
        """The settings by which the app finds the collector, and tells at once."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url, **AT_ONCE}

    async def _traces(self, request: web.Request) -> web.Response:
        asked = ExportTraceServiceRequest.FromString(await self._body(request))
        for resource in asked.resource_spans:
            self.spans += [_span(span) for scope in resource.scope_spans for span in scope.spans]
        return web.Response(content_type="application/x-protobuf")

    async def _logs(self, request: web.Request) -> web.Response:
        asked = ExportLogsServiceRequest.FromString(await self._body(request))
        for resource in asked.resource_logs:
            self.lines += [_line(record) for scope in resource.scope_logs for record in scope.log_records]
        return web.Response(content_type="application/x-protobuf")

    async def _metrics(self, request: web.Request) -> web.Response:
        asked = ExportMetricsServiceRequest.FromString(await self._body(request))
        for resource in asked.resource_metrics:
            for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                points = getattr(metric, metric.WhichOneof("data")).data_points
                self.metrics[metric.name] = [_point(point) for point in points]  # cumulative: the newest tells all
        return web.Response(content_type="application/x-protobuf")

    async def _track(self, request: web.Request) -> web.Response:
        authorization = request.headers.get("Authorization", "")
        if self.needs_identity and not self.identity.accepts(authorization, INSIGHTS_AUDIENCE):
            return web.json_response({"errors": [{"message": "Authentication required"}]}, status=401)
        items = json.loads(_plain(await request.read()))
        self.tracked += items
        return web.json_response({"itemsReceived": len(items), "itemsAccepted": len(items), "errors": []})

    async def _body(self, request: web.Request) -> bytes:
        body = _plain(await request.read())
        if self.forward:
            headers = {"Content-Type": "application/x-protobuf"}
            async with aiohttp.ClientSession() as session:
                await session.post(f"{self.forward}{request.path}", data=body, headers=headers)
        return body


def _plain(body: bytes) -> bytes:
    return gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body


def _span(span: Any) -> Span:
    return Span(
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        name=span.name,
        start=span.start_time_unix_nano,
        end=span.end_time_unix_nano,
        failed=span.status.code == 2,
        attributes=_attributes(span.attributes),
    )


def _line(record: Any) -> Line:
    text, attributes = record.body.string_value, _attributes(record.attributes)
    return Line(text=text, trace=record.trace_id.hex(), span=record.span_id.hex(), attributes=attributes)


def _point(point: Any) -> dict[str, Any]:
    value = point.count if hasattr(point, "bucket_counts") else point.as_int
    return {**_attributes(point.attributes), "value": value, "sum": getattr(point, "sum", 0.0)}


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}
