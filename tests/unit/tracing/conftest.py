from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared.ops import tracing
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
        self.otlp._processor.force_flush()
        return list(self.exporter.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans() if span.name == name]


@pytest.fixture
def share() -> float:
    """Of the traces that begin here."""
    return 1.0


@pytest.fixture
def recorded(share: float, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    """Tracing is on, and its spans stay here."""
    exporter = InMemorySpanExporter()
    otlp = Otlp(settings(otel_traces_sampler_arg=share), "toy", "1.2.3", exporter)
    monkeypatch.setattr(tracing, "_otlp", otlp)
    yield Recorded(otlp, exporter)
    otlp.close(1)
