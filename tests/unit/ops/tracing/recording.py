"""A process that traces, whose spans stay in the test."""

from dataclasses import dataclass

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared.ops.settings import PlatformSettings
from shared.ops.tracing.otlp import Otlp

TOLD = {"database_url": "x", "kafka_bootstrap_servers": "x", "closeloop_secret": "x" * 32}


def settings(**otel: object) -> PlatformSettings:
    return PlatformSettings(**TOLD, **otel)  # type: ignore[arg-type]


@dataclass
class Recorded:
    """What a process that traces has recorded so far."""

    otlp: Otlp
    exporter: InMemorySpanExporter

    def spans(self) -> list[ReadableSpan]:
        self.otlp.flush()
        return list(self.exporter.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans() if span.name == name]
