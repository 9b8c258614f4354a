"""A receiver of traces: OTLP over HTTP, decoded with the protocol's own definitions."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@dataclass(frozen=True)
class Span:
    """One span as it arrived; ids in hex."""

    service: str
    name: str
    kind: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, Any]
    failed: bool


@dataclass
class TraceReceiver:
    """`spans` holds what came, `raw` the same as bytes."""

    port: int = 0
    spans: list[Span] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=2**20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """As when it crashed: the port refuses."""
        self._server.close()
        for writer in self._open:
            writer.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def of(self, trace: str) -> list[Span]:
        return [span for span in self.spans if span.trace == trace]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while line := await reader.readline():
                assert line.split()[:2] == [b"POST", b"/v1/traces"], line
                headers: dict[str, str] = {}
                while header := (await reader.readline()).decode().strip():
                    name, _, value = header.partition(":")
                    headers[name.lower()] = value.strip()
                assert headers["content-type"] == "application/x-protobuf"
                body = await reader.readexactly(int(headers["content-length"]))
                self.raw.append(body)
                self.spans += decoded(body)
                said = ExportTraceServiceResponse().SerializeToString()
                head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\n"
                writer.write(f"{head}content-length: {len(said)}\r\n\r\n".encode() + said)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the sender ended, or the tests are over
        finally:
            self._open.discard(writer)
            writer.close()


def decoded(body: bytes) -> Iterator[Span]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = _values(resource.resource.attributes)["service.name"]
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    service=service,
                    name=span.name,
                    kind=span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                    trace=span.trace_id.hex(),
                    id=span.span_id.hex(),
                    parent=span.parent_span_id.hex(),
                    attributes=_values(span.attributes),
                    failed=span.status.code == 2,
                )


def _values(attributes: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in attributes}
