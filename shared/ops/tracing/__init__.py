"""Traces from the POST to the alert. Without an endpoint OpenTelemetry's SDK is not even imported.

Every request, record, outbox row and delivery carries a W3C `traceparent` anyway: its trace id is the
correlation id. A span takes the `traceparent` that came in as its parent, and has the one to pass on.
`Span` is what callers hold, `names` has the names of attributes, `otlp` is the only file that knows
OpenTelemetry.
"""

import re
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from shared.events.envelope import new_traceparent
from shared.ops.settings import PlatformSettings
from shared.ops.tracing.names import Kind

if TYPE_CHECKING:
    from shared.ops.tracing.otlp import Otlp

Value = str | int | float | bool


class Span:
    """Records nothing, and passes on the `traceparent` that it was given.

    As a context manager it notes the type of an exception that its block raises; not the text, which may
    quote a customer.
    """

    __slots__ = ("traceparent",)

    def __init__(self, traceparent: str) -> None:
        self.traceparent = traceparent
        """To be sent to whoever goes on with the work: it names this span as the parent."""

    def rename(self, name: str) -> None:
        """Change the name, when the right one is known late."""

    def put(self, attributes: Mapping[str, Value]) -> None:
        """Set attributes, named by the constants in `names`; never a customer's name or words."""

    def fail(self, error_type: str) -> None:
        """Mark the work as failed; `error_type` is one of few values, such as an exception's type."""

    def end(self) -> None:
        """Note the end of the work."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.fail(kind.__name__)
        self.end()


__all__ = ["Kind", "Span", "Value", "new_trace", "sampled", "span", "start", "started", "stop"]

_otlp: "Otlp | None" = None


def start(settings: PlatformSettings, service: str, version: str) -> None:
    """Record the spans of this process from now on, if the settings name an endpoint."""
    global _otlp  # noqa: PLW0603 - one switch a process, as its log and its metrics are
    if not settings.otel_exporter_otlp_endpoint or settings.otel_sdk_disabled or _otlp is not None:
        return
    from shared.ops.tracing.otlp import Otlp  # noqa: PLC0415 - only who wants it loads it

    _otlp = Otlp(settings, service, version)


def stop(within_seconds: float = 1.0) -> None:
    """Send the spans that wait, at most so long; those that the receiver has not taken by then are lost."""
    global _otlp  # noqa: PLW0603 - as above
    if _otlp is not None:
        _otlp.close(within_seconds)
        _otlp = None


def started() -> bool:
    """Whether spans are recorded. Parts on a hot path are built with tracing or without it, by this."""
    return _otlp is not None


def span(
    name: str,
    kind: Kind,
    traceparent: str = "",
    attributes: Mapping[str, Value] | None = None,
    links: Iterable[str] = (),
) -> Span:
    """A span that begins now. `traceparent`: its parent; without one it begins a trace.

    `links`: the traceparents of spans that are related but are not its parent.
    """
    if _otlp is None:
        return Span(traceparent)
    return _otlp.span(name, kind, traceparent, attributes, links)


def new_trace(name: str) -> str:
    """A new trace's traceparent, for work that no request or record caused, such as a job's."""
    if _otlp is None:
        return new_traceparent()
    with _otlp.span(name, Kind.INTERNAL, "", None, ()) as root:
        return root.traceparent


def sampled(traceparent: str) -> bool:
    """Whether the sender recorded its part of this trace; False for a malformed traceparent."""
    return _SAMPLED.fullmatch(traceparent) is not None


_SAMPLED = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f][13579bdf]")
