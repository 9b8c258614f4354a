"""The producer and the applier with spans; a process that traces is built with these.

The trace context of a record stands in its header `traceparent`, whether the record comes from a request, a
row of the outbox or a state. The span is a child of that context, and its own id is written in its place.
"""

import asyncio
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from shared.events.envelope import Headers
from shared.kafka.applying import Applier, Item
from shared.kafka.producer import NotAcknowledged, Producer
from shared.ops import tracing
from shared.ops.tracing import Kind, Span, Value, names

MOST_RECORDS = 128
"""Spans and links of one batch. The records beyond pass on their sender's span instead of one of ours."""


class TracedProducer(Producer):
    """A producer with a `send` span for each record, from the queue to the acknowledgement."""

    def send(self, topic: str, key: bytes, value: bytes | None, headers: Headers) -> Awaitable[None]:
        attributes = {
            names.MESSAGING_SYSTEM: "kafka",
            names.MESSAGING_OPERATION: "send",
            names.MESSAGING_OPERATION_TYPE: "send",
            names.MESSAGING_DESTINATION: topic,
            names.MESSAGING_ID: _header(headers, "ce_id"),
        }
        span = tracing.span(f"send {topic}", Kind.PRODUCER, _header(headers, "traceparent"), attributes)
        others = [header for header in headers if header[0] != "traceparent"]
        try:
            sending = super().send(topic, key, value, [*others, ("traceparent", span.traceparent.encode())])
        except NotAcknowledged as error:
            span.fail(type(error).__name__)
            span.end()
            raise
        waiter = asyncio.ensure_future(sending)
        waiter.add_done_callback(partial(_acknowledged, span))
        return waiter


def _acknowledged(span: Span, waiter: "asyncio.Future[None]") -> None:
    if waiter.cancelled():
        span.fail("CancelledError")
    elif error := waiter.exception():
        span.fail(type(error).__name__)
    span.end()


class TracedApplier(Applier):
    """An applier with a `process` span for each record, in that record's trace, around the transaction."""

    async def apply_in_one_transaction(self, items: Sequence[Item]) -> None:
        with _processing(self._inbox.consumer, items) as followed:
            await super().apply_in_one_transaction(followed)


@contextmanager
def _processing(group: str, items: Sequence[Item]) -> Iterator[list[Item]]:
    """Spans around a transaction; yields the items, each with the traceparent that its handler passes on.

    When more than one record share the transaction, a `process batch` span stands for it, linked both ways.
    """
    traces = [(index, trace) for index, item in enumerate(items) if (trace := _trace_of(item))][:MOST_RECORDS]
    with ExitStack() as spans:
        links = []
        if traces and len(items) > 1:
            attributes: dict[str, Value] = {names.MESSAGING_GROUP: group, names.MESSAGING_BATCH: len(items)}
            causes = [trace for _, trace in traces]
            batch = spans.enter_context(
                tracing.span("process batch", Kind.INTERNAL, "", attributes, links=causes)
            )
            links = [batch.traceparent]
        followed = list(items)
        for index, trace in traces:
            span = spans.enter_context(_process(group, items[index], trace, links))
            followed[index] = _followed_by(span, items[index])
        yield followed


def _trace_of(item: Item) -> str:
    """The record's trace context; empty if its sender did not record the trace, or no handler takes it."""
    if item.event:
        trace = item.event.envelope.traceparent
    else:
        trace = _header(item.record.headers, "traceparent") if item.letter else ""
    return trace if tracing.sampled(trace) else ""


def _process(group: str, item: Item, trace: str, links: Sequence[str]) -> Span:
    attributes: dict[str, Value] = {
        names.MESSAGING_SYSTEM: "kafka",
        names.MESSAGING_OPERATION: "process",
        names.MESSAGING_OPERATION_TYPE: "process",
        names.MESSAGING_DESTINATION: item.topic,
        names.MESSAGING_PARTITION: str(item.partition),
        names.MESSAGING_OFFSET: item.offset,
        names.MESSAGING_GROUP: group,
    }
    span = tracing.span(f"process {item.topic}", Kind.CONSUMER, trace, attributes, links)
    if item.event:
        span.put({names.MESSAGING_ID: item.event.envelope.id})
    elif item.letter:
        span.fail(item.letter.reason)
    return span


def _followed_by(span: Span, item: Item) -> Item:
    """The item with the span as its trace context. A dead letter keeps what its sender wrote."""
    if item.event is None:
        return item
    envelope = item.event.envelope._replace(traceparent=span.traceparent)
    return item._replace(event=item.event._replace(envelope=envelope))


def _header(headers: Iterable[tuple[str, bytes | None]], name: str) -> str:
    content = next((value for header, value in headers if header == name and value), b"")
    return content.decode("latin-1")
