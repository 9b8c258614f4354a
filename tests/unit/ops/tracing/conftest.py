from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from shared.ops import tracing
from shared.ops.tracing.otlp import Otlp
from tests.unit.ops.tracing.recording import Recorded, settings


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
