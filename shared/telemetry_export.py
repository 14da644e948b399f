"""Where telemetry goes: Application Insights, an OpenTelemetry collector, or both. Imported only if there is one.

The Python worker can export by itself (PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY), but without a credential: where
Application Insights takes Entra identities only, all of it would be refused without a word. So this app exports itself,
with its own identity when APPLICATIONINSIGHTS_AUTHENTICATION_STRING says `Authorization=AAD`, as it says to the host.
Contract: azure-monitor-opentelemetry (configure_azure_monitor), OpenTelemetry's OTLP over HTTP.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from shared.settings import settings

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import LogRecordProcessor
    from opentelemetry.sdk.metrics.export import MetricReader
    from opentelemetry.sdk.trace import SpanProcessor

# spans of these would bear URLs, and a webhook's URL is a secret: shared/rest.py tells of each call without it
_INSTRUMENTED = ("azure_sdk", "django", "fastapi", "flask", "httpx", "psycopg2", "requests", "urllib", "urllib3")
_CHATTY = ("azure.monitor.opentelemetry", "opentelemetry")
_NOBODYS = "registry-relay"
"""A logger that nobody writes to: Azure's set-up puts its handler there, and whoever asked for it moves it."""


def set_up() -> Sequence[logging.Handler]:
    """Send spans and metrics to where the settings say; return the handlers that send lines there.

    Raises what the exporters raise.
    """
    told = settings()
    for name in _CHATTY:  # at INFO each tells of every request that it sends
        logging.getLogger(name).setLevel(logging.WARNING)
    collecting = _to_collector(told.otlp_endpoint) if told.otlp_endpoint else ([], [], [])
    if told.insights_connection:
        return _with_application_insights(*collecting)
    return _alone(*collecting)


def _to_collector(endpoint: str) -> tuple[list[SpanProcessor], list[LogRecordProcessor], list[MetricReader]]:
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    return (
        [BatchSpanProcessor(OTLPSpanExporter(f"{endpoint}/v1/traces"))],
        [BatchLogRecordProcessor(OTLPLogExporter(f"{endpoint}/v1/logs"))],
        [PeriodicExportingMetricReader(OTLPMetricExporter(f"{endpoint}/v1/metrics"))],
    )


def _with_application_insights(spans: list[Any], lines: list[Any], metrics: list[Any]) -> Sequence[logging.Handler]:
    from azure.monitor.opentelemetry import configure_azure_monitor

    from shared.identity import credential

    told = settings()
    configure_azure_monitor(
        connection_string=told.insights_connection,
        logger_name=_NOBODYS,
        span_processors=spans,
        log_record_processors=lines,
        metric_readers=metrics,
        sampling_ratio=1.0,  # the default, five traces a second, leaves out the first ones of a quiet app
        enable_live_metrics=False,
        enable_performance_counters=False,
        instrumentation_options={name: {"enabled": False} for name in _INSTRUMENTED},
        **({"credential": credential()} if told.insights_by_identity else {}),
    )
    return logging.getLogger(_NOBODYS).handlers


def _alone(spans: list[Any], lines: list[Any], metrics: list[Any]) -> Sequence[logging.Handler]:
    from opentelemetry import metrics as metrics_api
    from opentelemetry import trace
    from opentelemetry.instrumentation.logging.handler import LoggingHandler
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    resource = Resource.create({"service.name": "registry-relay"})
    tracers, loggers = TracerProvider(resource=resource), LoggerProvider(resource=resource)
    for processor in spans:
        tracers.add_span_processor(processor)
    for processor in lines:
        loggers.add_log_record_processor(processor)
    trace.set_tracer_provider(tracers)
    metrics_api.set_meter_provider(MeterProvider(metrics, resource))
    return [LoggingHandler(logger_provider=loggers)]
