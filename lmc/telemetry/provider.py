"""Where spans go: to the application's own tracing, else where OTEL_… variables say."""

from __future__ import annotations

import os
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from lmc.diagnostics import LmcError
from lmc.redaction import redact
from lmc.telemetry.exporting import QuietExporter, at_end
from lmc.telemetry.switch import INSTALL, YES, require_installed
from lmc.version import __version__

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.trace import TracerProvider

    from lmc.telemetry.spans import OtelSpans

CONTENTS = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_WITH_CONTENTS = (*YES, "span_only", "span_and_event")
_QUEUE = 16_384  # spans that wait to be sent; more are dropped


def open_spans() -> OtelSpans:
    """Spans for the tracing that the application has set up, else for one of lmc's own.

    Raises: LmcError[missing-extra, cannot-trace].
    """
    require_installed()
    from opentelemetry import metrics, trace

    from lmc.telemetry.spans import OtelSpans

    traces: TracerProvider = trace.get_tracer_provider()
    meters: MeterProvider = metrics.get_meter_provider()
    if isinstance(traces, trace.ProxyTracerProvider):
        traces, own_meters = _own_providers()
        meters = own_meters or meters
    contents = os.environ.get(CONTENTS, "").lower() in _WITH_CONTENTS
    tracer = traces.get_tracer("lmc", __version__)
    return OtelSpans(tracer, meters.get_meter("lmc", __version__), contents=contents)


_own: tuple[TracerProvider, MeterProvider | None] | None = None


def _own_providers() -> tuple[TracerProvider, MeterProvider | None]:
    """The providers that lmc makes once if the application has none."""
    global _own
    if _own is None:
        try:
            from opentelemetry.sdk.resources import Resource
        except ImportError:
            message = "tracing needs the SDK of OpenTelemetry, or an application that has set it up"
            raise LmcError.of("missing-extra", message, help=INSTALL) from None
        resource = Resource.create()
        if str(resource.attributes.get("service.name", "")).startswith("unknown_service"):
            resource = resource.merge(Resource({"service.name": "lmc"}))
        try:
            _own = _tracer_provider(resource), _meter_provider(resource)
        except LmcError:
            raise
        except Exception as problem:  # of a setting that an exporter does not take
            message = redact(f"OpenTelemetry cannot be set up: {problem}")
            raise LmcError.of(
                "cannot-trace", message, help="look at the OTEL_… variables"
            ) from None
    return _own


def _tracer_provider(resource: Resource) -> TracerProvider:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    made = TracerProvider(resource=resource, shutdown_on_exit=False)
    size = None if "OTEL_BSP_MAX_QUEUE_SIZE" in os.environ else _QUEUE
    for name in _names("OTEL_TRACES_EXPORTER", "otlp"):
        exporter: Any = QuietExporter(_exporter("traces", name), name)
        made.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=size))
    at_end(made.shutdown)
    return made


def _meter_provider(resource: Resource) -> MeterProvider | None:
    """A provider of meters if an exporter is named. Many tracing tools take no metrics."""
    names = _names("OTEL_METRICS_EXPORTER", "none")
    if not names:
        return None
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    readers = [PeriodicExportingMetricReader(_exporter("metrics", name)) for name in names]
    made = MeterProvider(metric_readers=readers, resource=resource, shutdown_on_exit=False)
    at_end(made.shutdown)
    return made


def _names(variable: str, default: str) -> list[str]:
    given = os.environ.get(variable) or default
    return [name for part in given.split(",") if (name := part.strip()) and name != "none"]


def _exporter(signal: str, name: str) -> Any:
    """An exporter by its name in the variables of OpenTelemetry. Raises: LmcError[cannot-trace]."""
    found = name
    if name == "otlp":
        protocol = _setting(signal, "PROTOCOL") or "http/protobuf"
        found = "otlp_proto_grpc" if protocol == "grpc" else "otlp_proto_http"
    points: list[EntryPoint] = [*entry_points(group=f"opentelemetry_{signal}_exporter", name=found)]
    if not points:
        message = f"there is no exporter `{found}` of OpenTelemetry for {signal}"
        help = INSTALL if found == "otlp_proto_http" else "install the package that has it"
        raise LmcError.of("cannot-trace", message, help=help)
    return points[0].load()()


def _setting(signal: str, name: str) -> str | None:
    own = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_{name}")
    return own or os.environ.get(f"OTEL_EXPORTER_OTLP_{name}")
