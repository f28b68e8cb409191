"""Programs whose spans go to a list, and what tests ask of it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import lmc

pytest.importorskip("opentelemetry.sdk", reason="the SDK of OpenTelemetry is not installed")

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from lmc.telemetry.spans import OtelSpans


class Recorded:
    """What a tracing tool got."""

    def __init__(self) -> None:
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("tests")
        meters = MeterProvider(metric_readers=[self.reader], shutdown_on_exit=False)
        self.meter = meters.get_meter("tests")

    def load(self, path: Path, *, contents: bool = False, **options: Any) -> lmc.Program:
        """A program that tells these spans of its runs."""
        program = lmc.load(path, **options)
        self.attach(program, contents=contents)
        return program

    def attach(self, program: lmc.Program, *, contents: bool = False) -> None:
        program.__dict__["spans"] = OtelSpans(self.tracer, self.meter, contents=contents)

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self.exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.named(name)
        return span

    def tree(self) -> list[str]:
        """The names of all spans in the order of their beginning, indented below their parents."""
        return [*self._below(None, 0)]

    def _below(self, parent: int | None, depth: int) -> Iterator[str]:
        inside = [s for s in self.spans if (s.parent.span_id if s.parent else None) == parent]
        for span in sorted(inside, key=lambda span: span.start_time or 0):
            yield "  " * depth + span.name
            yield from self._below(span.context.span_id, depth + 1)

    def text(self) -> str:
        """All that was told, as one text."""
        return "\n".join(span.to_json() for span in self.spans)

    def metrics(self) -> dict[str, list[Any]]:
        """The points of each histogram."""
        data: Any = self.reader.get_metrics_data()
        found = data.resource_metrics[0].scope_metrics[0].metrics if data else []
        return {metric.name: list(metric.data.data_points) for metric in found}


def facts(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})
