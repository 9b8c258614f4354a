"""Spans recorded with OpenTelemetry and sent over OTLP/HTTP, from a thread of their own."""

import logging
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace import Span as Recording

from shared.ops.logs import log
from shared.ops.settings import PlatformSettings
from shared.ops.tracing.names import ERROR_TYPE, SERVICE_NAME, SERVICE_VERSION, Kind
from shared.ops.tracing.span import Span, Value

_log = log("tracing")

_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_NOWHERE = Context()

_SAMPLERS: Mapping[str, Callable[[float], Sampler]] = {
    "always_on": lambda _: ALWAYS_ON,
    "always_off": lambda _: ALWAYS_OFF,
    "traceidratio": TraceIdRatioBased,
    "parentbased_always_on": lambda _: ParentBased(ALWAYS_ON),
    "parentbased_always_off": lambda _: ParentBased(ALWAYS_OFF),
    "parentbased_traceidratio": lambda ratio: ParentBased(TraceIdRatioBased(ratio)),
}


class Otlp:
    """The spans of one process. Addresses, headers, time-outs and batch sizes: the SDK's own OTEL_… names."""

    def __init__(
        self, settings: PlatformSettings, service: str, version: str, exporter: SpanExporter | None = None
    ) -> None:
        # The SDK logs every failed try with a text that we do not control; `_LoggingExporter` logs it once.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._exporter = _LoggingExporter(exporter or OTLPSpanExporter())
        self._processor = BatchSpanProcessor(self._exporter)
        provider = TracerProvider(
            sampler=_SAMPLERS[settings.otel_traces_sampler](settings.otel_traces_sampler_arg),
            resource=Resource.create({SERVICE_NAME: f"closeloop-{service}", SERVICE_VERSION: version}),
            shutdown_on_exit=False,  # it would wait for 30 s
        )
        provider.add_span_processor(self._processor)
        self._tracer = provider.get_tracer("closeloop", version)

    def span(
        self,
        name: str,
        kind: Kind,
        traceparent: str,
        attributes: Mapping[str, Value] | None,
        links: Iterable[str],
    ) -> Span:
        """See `tracing.span`."""
        parent = _context_of(traceparent)
        linked = [Link(context) for link in links if (context := _context_of(link))]
        recording = self._tracer.start_span(
            name,
            context=set_span_in_context(NonRecordingSpan(parent), _NOWHERE) if parent else _NOWHERE,
            kind=SpanKind[kind],
            attributes=attributes,
            links=linked or None,
            record_exception=False,
        )
        return _Recorded(recording)

    def flush(self) -> None:
        """Send the spans that wait, now."""
        self._processor.force_flush()

    def close(self, within_seconds: float) -> None:
        """Send the spans that wait, from a daemon thread, which keeps no process alive."""
        last = threading.Thread(target=self._processor.shutdown, name="tracing-stop", daemon=True)
        last.start()
        last.join(within_seconds)
        if last.is_alive():
            self._exporter.shutdown()


class _Recorded(Span):
    __slots__ = ("_recording",)

    def __init__(self, recording: Recording) -> None:
        context = recording.get_span_context()
        super().__init__(f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 1:02x}")
        self._recording = recording

    def rename(self, name: str) -> None:
        self._recording.update_name(name)

    def put(self, attributes: Mapping[str, Value]) -> None:
        self._recording.set_attributes(attributes)

    def fail(self, error_type: str) -> None:
        self._recording.set_attribute(ERROR_TYPE, error_type)
        self._recording.set_status(Status(StatusCode.ERROR))

    def end(self) -> None:
        self._recording.end()


class _LoggingExporter(SpanExporter):
    """An exporter that logs when spans begin to be lost, and when they arrive again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._losing = self._closed = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        losing = result is not SpanExportResult.SUCCESS
        if losing and not self._losing:
            _log.warning("tracing.not_sent", count=len(spans))
        elif self._losing and not losing:
            _log.info("tracing.sent_again")
        self._losing = losing
        return result

    def shutdown(self) -> None:
        if not self._closed:
            self._closed = True
            self._exporter.shutdown()


def _context_of(traceparent: str) -> SpanContext | None:
    """The context that a traceparent names; None for a malformed one: then the trace begins here."""
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None:
        return None
    trace, span, flags = (int(part, 16) for part in match.groups())
    return SpanContext(trace, span, is_remote=True, trace_flags=TraceFlags(flags))
