"""A record's trace goes on in the batch that it is applied with, and in what is sent because of it."""

import asyncio
from typing import Any

import pytest
from opentelemetry.trace import SpanKind

from shared.db import DeadLetter, Inbox
from shared.events import Envelope, Received
from shared.events.envelope import new_traceparent
from shared.kafka import Applier, NotAcknowledged, Producer
from shared.kafka.applying import Item
from shared.kafka.traced import MOST_RECORDS, TracedApplier, TracedProducer
from tests.unit.ops.tracing.recording import Recorded

CANARY = "jane@canary.example"


class Record:
    def __init__(self, traceparent: str) -> None:
        self.headers = (("ce_id", b"1"), ("traceparent", traceparent.encode()), ("x-who", CANARY.encode()))
        self.key = self.value = CANARY.encode()


def good(traceparent: str, offset: int = 0) -> Item:
    envelope = Envelope("id-1", "x", "test", "", traceparent)
    received = Received(None, envelope, "answers", 3, offset, CANARY.encode())  # type: ignore[arg-type]
    return Item("answers", 3, offset, offset, received, None, Record(traceparent))


def bad(traceparent: str) -> Item:
    record = Record(traceparent)
    letter = DeadLetter(
        "answers", 3, 0, "not_json", CANARY, record.key, record.value, record.headers, correlation_id=""
    )
    return Item("answers", 3, 0, 0, None, letter, record)


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> list[Item]:
    """What the transaction of an applier was given."""
    seen: list[Item] = []

    async def take(_: Applier, items: Any) -> None:
        seen.extend(items)
        if any(item.offset == 666 for item in items):
            raise ValueError(CANARY)

    monkeypatch.setattr(Applier, "apply_in_one_transaction", take)
    return seen


def applier() -> TracedApplier:
    return TracedApplier(None, Inbox("toy", "closeloop-toy"), {})  # type: ignore[arg-type]


class TestARecord:
    async def test_alone_is_a_span_in_its_own_trace(self, recorded: Recorded, applied: list[Item]) -> None:
        came_in = new_traceparent()
        await applier().apply_in_one_transaction([good(came_in, 5)])
        (span,) = recorded.spans()
        assert (span.name, span.kind) == ("process answers", SpanKind.CONSUMER)
        assert f"{span.parent.span_id:016x}" == came_in[36:52]
        passed_on = applied[0].event.envelope.traceparent
        assert passed_on == f"{came_in[:36]}{span.context.span_id:016x}-01"
        assert dict(span.attributes) == {
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": "answers",
            "messaging.destination.partition.id": "3",
            "messaging.kafka.offset": 5,
            "messaging.consumer.group.name": "closeloop-toy",
            "messaging.message.id": "id-1",
        }

    async def test_among_others_keeps_its_trace_and_is_linked_with_the_batch(
        self, recorded: Recorded, applied: list[Item]
    ) -> None:
        traces = [new_traceparent() for _ in range(3)]
        await applier().apply_in_one_transaction([good(trace) for trace in traces])
        (batch,) = recorded.named("process batch")
        records = recorded.named("process answers")
        assert batch.attributes["messaging.batch.message_count"] == 3
        assert {f"{link.context.span_id:016x}" for link in batch.links} == {t[36:52] for t in traces}
        assert [span.links[0].context.span_id for span in records] == [batch.context.span_id] * 3
        assert {f"{span.context.trace_id:032x}" for span in records} == {t[3:35] for t in traces}
        assert [item.event.envelope.traceparent[3:35] for item in applied] == [t[3:35] for t in traces]

    async def test_beyond_the_most_of_a_batch_passes_on_what_came_in(
        self, recorded: Recorded, applied: list[Item]
    ) -> None:
        traces = [new_traceparent() for _ in range(MOST_RECORDS + 5)]
        await applier().apply_in_one_transaction([good(trace) for trace in traces])
        assert len(recorded.named("process answers")) == MOST_RECORDS
        assert [item.event.envelope.traceparent for item in applied[-5:]] == traces[-5:]

    async def test_whose_sender_did_not_sample_costs_nothing(
        self, recorded: Recorded, applied: list[Item]
    ) -> None:
        not_sampled = f"{new_traceparent()[:-2]}00"
        items = [good(not_sampled), good(""), good("nonsense-01")]
        await applier().apply_in_one_transaction(items)
        assert applied == items
        assert recorded.spans() == []

    async def test_that_cannot_be_applied_fails_by_type(
        self, recorded: Recorded, applied: list[Item]
    ) -> None:
        with pytest.raises(ValueError):
            await applier().apply_in_one_transaction([good(new_traceparent(), 666)])
        assert recorded.spans()[0].attributes["error.type"] == "ValueError"

    async def test_that_is_buried_keeps_the_traceparent_it_came_with(
        self, recorded: Recorded, applied: list[Item]
    ) -> None:
        letter = bad(new_traceparent())
        await applier().apply_in_one_transaction([letter])
        (span,) = recorded.spans()
        assert applied == [letter]
        assert span.attributes["error.type"] == "not_json"
        assert f"{span.parent.span_id:016x}" == letter.record.headers[1][1].decode()[36:52]

    async def test_leaves_no_personal_text_in_a_span(self, recorded: Recorded, applied: list[Item]) -> None:
        await applier().apply_in_one_transaction([bad(new_traceparent()), good(new_traceparent())])
        with pytest.raises(ValueError):
            await applier().apply_in_one_transaction([good(new_traceparent(), 666)])
        assert "canary" not in "".join(span.to_json() for span in recorded.spans())


class TestSending:
    @pytest.fixture
    def sent(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, "asyncio.Future[None]"]]:
        """The headers of each record, and its acknowledgement, which the test gives."""
        seen: list[tuple[Any, asyncio.Future[None]]] = []

        def take(_: Producer, topic: str, key: bytes, value: bytes, headers: Any) -> "asyncio.Future[None]":
            if topic == "unknown":
                raise NotAcknowledged("not connected yet")
            waiter = asyncio.get_running_loop().create_future()
            seen.append((headers, waiter))
            return waiter

        monkeypatch.setattr(Producer, "send", take)
        return seen

    async def test_goes_on_from_the_stored_traceparent_until_the_acknowledgement(
        self, recorded: Recorded, sent: list[Any]
    ) -> None:
        stored = new_traceparent()
        headers = [("ce_id", b"id-1"), ("traceparent", stored.encode())]
        sending = TracedProducer("x").send("cases", CANARY.encode(), CANARY.encode(), headers)
        assert recorded.spans() == []
        sent[0][1].set_result(None)
        await sending
        await asyncio.sleep(0)
        (span,) = recorded.spans()
        assert (span.name, span.kind) == ("send cases", SpanKind.PRODUCER)
        assert f"{span.parent.span_id:016x}" == stored[36:52]
        assert sent[0][0] == [
            ("ce_id", b"id-1"),
            ("traceparent", f"{stored[:36]}{span.context.span_id:016x}-01".encode()),
        ]
        assert span.attributes["messaging.message.id"] == "id-1"
        assert "canary" not in span.to_json()

    async def test_that_is_refused_or_given_up_fails(self, recorded: Recorded, sent: list[Any]) -> None:
        producer = TracedProducer("x")
        refused, given_up = (producer.send("cases", b"", b"", []) for _ in range(2))
        sent[0][1].set_exception(NotAcknowledged("TimeoutError"))
        sent[1][1].cancel()
        with pytest.raises(NotAcknowledged):
            await refused
        with pytest.raises(asyncio.CancelledError):
            await given_up
        with pytest.raises(NotAcknowledged):
            producer.send("unknown", b"", b"", [])
        await asyncio.sleep(0)
        failures = [span.attributes["error.type"] for span in recorded.spans()]
        assert sorted(failures) == ["CancelledError", "NotAcknowledged", "NotAcknowledged"]
