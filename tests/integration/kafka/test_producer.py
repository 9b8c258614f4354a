"""A send ends in an acknowledgement or, by its deadline, in NotAcknowledged; never in silence."""

import asyncio
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import NewTopic

from deploy.local.stack import LocalStack
from shared.events.topics import Topic
from shared.kafka import NotAcknowledged, Producer
from shared.kafka import producer as producing
from shared.kafka.producer import Batch, Connections, ErrorByPartition
from shared.kafka.topics import administering, make
from shared.ops.health import NotReady
from tests.integration.kafka.toy_group import Group


@pytest.fixture
async def producer(group: Group) -> AsyncIterator[Producer]:
    producer = Producer(group.bootstrap, deadline_seconds=4, request_timeout_seconds=2)
    await producer.start((group.topic,))
    yield producer
    await producer.stop()


@pytest.fixture
async def other_topic(group: Group) -> str:
    """Of one partition, beside the group's own: for what happens to one partition alone."""
    name = f"other-{uuid4().hex[:8]}"
    await make(group.bootstrap, [Topic(name)], partitions=1)
    return name


async def values(group: Group, topic: str) -> list[bytes | None]:
    client = AIOKafkaConsumer(bootstrap_servers=group.bootstrap, auto_offset_reset="earliest")
    await client.start()
    try:
        place = TopicPartition(topic, 0)
        client.assign([place])
        missing, found = (await client.end_offsets([place]))[place], []
        while len(found) < missing:
            for records in (await client.getmany(timeout_ms=1000)).values():
                found += [record.value for record in records]
        return found
    finally:
        await client.stop()


async def send(producer: Producer, group: Group, name: str, text: str = "") -> None:
    key, value, headers = group.record(name, text=text)
    assert key is not None
    assert value is not None
    await producer.send(group.topic, key, value, headers)


@asynccontextmanager
async def producer_with(
    group: Group, connections: type[Connections], **options: float
) -> AsyncIterator[Producer]:
    """A producer of its own that connects by this class."""
    producer = Producer(group.bootstrap, request_timeout_seconds=2, connect=connections, **options)  # type: ignore[arg-type]
    await producer.start((group.topic,))
    try:
        yield producer
    finally:
        await producer.stop()


def partition_of(group: Group, name: str) -> int:
    return zlib.crc32(group.record(name)[0] or b"") % group.partitions


async def outcome(sent: Awaitable[None]) -> str:
    try:
        await sent
    except NotAcknowledged:
        return "refused"
    return "acknowledged"


async def names(group: Group) -> list[str]:
    """The ids in the log, partition by partition."""
    client = AIOKafkaConsumer(bootstrap_servers=group.bootstrap, auto_offset_reset="earliest")
    await client.start()
    try:
        places = [TopicPartition(group.topic, p) for p in range(group.partitions)]
        client.assign(places)
        await client.seek_to_beginning(*places)
        missing = sum((await client.end_offsets(places)).values())
        found: list[str] = []
        while len(found) < missing:
            for records in (await client.getmany(timeout_ms=1000)).values():
                found += [group.event.model_validate_json(r.value).id for r in records]  # type: ignore[attr-defined]
        return found
    finally:
        await client.stop()


class TestSend:
    async def test_puts_all_that_waits_into_few_batches(self, producer: Producer, group: Group) -> None:
        sent = [send(producer, group, f"id-{n}") for n in range(3000)]
        await asyncio.gather(*sent)

        assert sorted(await names(group)) == sorted(f"id-{n}" for n in range(3000))

    async def test_splits_what_is_larger_than_a_batch(self, producer: Producer, group: Group) -> None:
        await asyncio.gather(*(send(producer, group, f"id-{n}", "x" * 10_000) for n in range(100)))

        assert len(await names(group)) == 100

    async def test_refuses_a_record_that_no_batch_can_hold(self, producer: Producer, group: Group) -> None:
        large = send(producer, group, "large", "x" * 2_000_000)
        results = await asyncio.gather(outcome(large), outcome(send(producer, group, "small")))

        assert results[0] == "refused"
        assert await outcome(send(producer, group, "next")) == "acknowledged"

    async def test_keeps_the_order_of_one_key(self, producer: Producer, group: Group) -> None:
        key, _, headers = group.record("same")
        assert key is not None
        bodies = [group.record(f"id-{n}")[1] or b"" for n in range(500)]
        await asyncio.gather(*(producer.send(group.topic, key, body, headers) for body in bodies))

        assert await names(group) == [f"id-{n}" for n in range(500)]

    async def test_a_waiter_that_gives_up_takes_no_record_along(
        self, producer: Producer, group: Group
    ) -> None:
        gone = asyncio.create_task(send(producer, group, "gone"))
        await asyncio.sleep(0)
        gone.cancel()
        await send(producer, group, "stays")

        assert sorted(await names(group)) == ["gone", "stays"]

    async def test_takes_all_partitions_to_a_broker_in_one_request(self, group: Group) -> None:
        requests = []

        class Noting(Connections):
            async def produce(self, broker: int | None, batches: Sequence[Batch]) -> ErrorByPartition:
                requests.append({batch.partition[1] for batch in batches})
                return await super().produce(broker, batches)

        async with producer_with(group, Noting) as producer:
            await asyncio.gather(*(send(producer, group, f"id-{n}") for n in range(50)))

        assert requests == [set(range(group.partitions))]

    async def test_a_partition_that_has_to_wait_costs_the_others_of_its_wave_nothing(
        self, group: Group, other_topic: str
    ) -> None:
        producer = Producer(group.bootstrap, deadline_seconds=4, request_timeout_seconds=1)
        await producer.start((group.topic, other_topic))
        async with administering(group.bootstrap) as admin:
            await admin.delete_topics([other_topic])
        try:
            started = time.monotonic()
            waits = asyncio.create_task(outcome(producer.send(other_topic, b"key", b"{}", [])))
            assert await outcome(send(producer, group, "good")) == "acknowledged"
            assert time.monotonic() - started < 0.5
            assert await waits == "refused"
            assert 1 <= time.monotonic() - started < 3
        finally:
            await producer.stop()

    async def test_tries_again_what_failed_for_now_and_keeps_the_order(
        self, group: Group, other_topic: str
    ) -> None:
        """A topic that is gone may be one that every broker has still to hear of."""
        producer = Producer(group.bootstrap, deadline_seconds=16, request_timeout_seconds=15)
        await producer.start((other_topic,))
        async with administering(group.bootstrap) as admin:
            await admin.delete_topics([other_topic])
            sent = [producer.send(other_topic, b"key", b"0", [])]
            await asyncio.sleep(0.2)
            sent.append(producer.send(other_topic, b"key", b"1", []))
            await admin.create_topics([NewTopic(other_topic, 1, 1)])
        try:
            assert [await outcome(waiter) for waiter in sent] == ["acknowledged"] * 2
        finally:
            await producer.stop()

        assert await values(group, other_topic) == [b"0", b"1"]

    async def test_an_error_of_the_client_leaves_nobody_waiting(self, group: Group) -> None:
        is_broken = True

        class Broken(Connections):
            async def produce(self, broker: int | None, batches: Sequence[Batch]) -> ErrorByPartition:
                if is_broken:
                    raise AssertionError("a defect of the client's")
                return await super().produce(broker, batches)

        async with producer_with(group, Broken) as producer:
            started = time.monotonic()
            results = await asyncio.gather(*(outcome(send(producer, group, f"id-{n}")) for n in range(50)))
            assert set(results) == {"refused"}
            assert time.monotonic() - started < 2
            is_broken = False
            assert await outcome(send(producer, group, "next")) == "acknowledged"

    async def test_refuses_before_it_is_connected(self, group: Group) -> None:
        assert await outcome(send(Producer(group.bootstrap), group, "early")) == "refused"


class TestWithoutABroker:
    async def test_frozen_ends_every_send_by_its_deadline_and_works_afterwards(
        self, producer: Producer, group: Group, stack: LocalStack
    ) -> None:
        await send(producer, group, "before")
        stack.kafka.pause()
        try:
            started = time.monotonic()
            waves = [asyncio.create_task(outcome(send(producer, group, f"w-{n}"))) for n in range(200)]
            await asyncio.sleep(1)
            waves += [asyncio.create_task(outcome(send(producer, group, f"v-{n}"))) for n in range(200)]
            results = await asyncio.gather(*waves)
            took = time.monotonic() - started
            with pytest.raises(NotReady):
                await producer.check()
        finally:
            stack.kafka.resume()
        await asyncio.to_thread(stack.kafka.wait_ready)
        for _ in range(20):
            if await outcome(send(producer, group, "after")) == "acknowledged":
                break

        assert set(results) == {"refused"}
        assert took < 4 + 1 + 3
        await producer.check()
        assert "after" in await names(group)

    async def test_killed_and_started_again_needs_no_new_process(
        self, producer: Producer, group: Group, stack: LocalStack
    ) -> None:
        await send(producer, group, "before")
        stack.kafka.kill()
        started = time.monotonic()
        lost = await outcome(send(producer, group, "during"))
        took = time.monotonic() - started
        await asyncio.sleep(3.1)
        with pytest.raises(NotReady):
            await producer.check()
        stack.kafka.start()
        await asyncio.to_thread(stack.kafka.wait_ready)
        for _ in range(20):
            if await outcome(send(producer, group, "after")) == "acknowledged":
                break

        assert lost == "refused"
        assert took < 8
        await producer.check()
        found = await names(group)
        assert found.count("before") == 1
        assert "after" in found

    async def test_a_client_that_stays_wedged_is_replaced(
        self, group: Group, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(producing, "REBUILD_AFTER_SECONDS", 0.0)
        made: list[Connections] = []

        class FirstWedged(Connections):
            def __init__(self, bootstrap: str, *, request_timeout_seconds: float) -> None:
                super().__init__(bootstrap, request_timeout_seconds=request_timeout_seconds)
                made.append(self)

            async def produce(self, broker: int | None, batches: Sequence[Batch]) -> ErrorByPartition:
                if self is made[0]:
                    await asyncio.Event().wait()
                return await super().produce(broker, batches)

        async with producer_with(group, FirstWedged, deadline_seconds=0.5) as producer:
            results = [await outcome(send(producer, group, f"id-{n}")) for n in range(2)]
            async with asyncio.timeout(20):
                while await outcome(send(producer, group, "id-2")) != "acknowledged":
                    await asyncio.sleep(0.05)

        assert results == ["refused", "refused"]
        assert len(made) > 1

    @pytest.mark.parametrize("fault", ["killed", "frozen"])
    async def test_stop_is_bounded(self, group: Group, stack: LocalStack, fault: str) -> None:
        producer = Producer(group.bootstrap)
        await producer.start((group.topic,))
        stack.kafka.kill() if fault == "killed" else stack.kafka.pause()
        try:
            waiting = asyncio.create_task(outcome(send(producer, group, "id")))
            await asyncio.sleep(0.1)
            started = time.monotonic()
            await producer.stop(1.0)
            took = time.monotonic() - started
            result = await asyncio.wait_for(waiting, 8)
        finally:
            if fault == "killed":
                stack.kafka.start()
            else:
                stack.kafka.resume()
            await asyncio.to_thread(stack.kafka.wait_ready)

        assert result == "refused"
        assert took < 5

    async def test_start_says_so(self, group: Group) -> None:
        with pytest.raises(Exception, match="Unable to bootstrap"):
            await Producer("127.0.0.1:1").start((group.topic,))
