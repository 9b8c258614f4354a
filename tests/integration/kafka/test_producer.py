"""A send ends in an acknowledgement or, by its deadline, in NotAcknowledged; never in silence."""

import asyncio
import time
import zlib
from collections.abc import AsyncIterator, Awaitable

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from toy_group import Group

from deploy.local.stack import LocalStack
from shared.kafka import NotAcknowledged, Producer
from shared.kafka import producer as producer_module
from shared.ops.health import NotReady


@pytest.fixture
async def producer(group: Group) -> AsyncIterator[Producer]:
    producer = Producer(group.bootstrap, deadline_seconds=4, request_timeout_seconds=2)
    await producer.start((group.topic,))
    yield producer
    await producer.stop()


async def send(producer: Producer, group: Group, name: str, text: str = "") -> None:
    key, value, headers = group.record(name, text=text)
    assert key is not None
    assert value is not None
    await producer.send(group.topic, key, value, headers)


def producer_brokers(producer: Producer) -> set[int]:
    assert producer._client is not None
    return {broker.nodeId for broker in producer._client.client.cluster.brokers()}


def lane_of(group: Group, name: str) -> int:
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

    async def test_joins_no_batch_whose_time_is_half_over(self, producer: Producer, group: Group) -> None:
        """Who joins it shares its deadline."""
        producer._deadline = 1.0
        producer._brokers_at_work.update({None, *producer_brokers(producer)})  # so all has to wait
        first = asyncio.create_task(outcome(send(producer, group, "first")))
        await asyncio.sleep(0.6)
        second = asyncio.create_task(outcome(send(producer, group, "first")))
        assert await first == "refused"
        producer._brokers_at_work.clear()
        producer._flush()
        assert await second == "acknowledged"

    async def test_a_slow_lane_costs_the_others_of_its_wave_nothing(
        self, producer: Producer, group: Group, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write = producer._write

        async def one_is_stuck(batch: producer_module._Batch) -> "asyncio.Future[object]":
            if batch.deadline < other:
                await asyncio.Event().wait()
            return await write(batch)

        monkeypatch.setattr(producer, "_write", one_is_stuck)
        names_by_lane = {lane_of(group, f"id-{n}"): f"id-{n}" for n in range(50)}
        stuck, good = names_by_lane.values()
        producer._deadline = 0.5
        results = [asyncio.create_task(outcome(send(producer, group, stuck)))]
        await asyncio.sleep(0)
        producer._deadline, other = 4, asyncio.get_running_loop().time() + 2
        results.append(asyncio.create_task(outcome(send(producer, group, good))))
        assert await asyncio.gather(*results) == ["refused", "acknowledged"]

    async def test_an_error_of_the_client_leaves_nobody_waiting(
        self, producer: Producer, group: Group, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert producer._client is not None

        async def broken(*_: object, **__: object) -> None:
            raise AssertionError("a defect of the client's")

        with monkeypatch.context() as patch:
            patch.setattr(producer._client, "send_batch", broken)
            started = time.monotonic()
            results = await asyncio.gather(*(outcome(send(producer, group, f"id-{n}")) for n in range(50)))
        assert set(results) == {"refused"}
        assert time.monotonic() - started < 2
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
        self, producer: Producer, group: Group, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from shared.kafka import producer as module

        monkeypatch.setattr(module, "_REBUILD_AFTER_SECONDS", 0.0)
        wedged = producer._client
        assert wedged is not None

        async def never(*_: object, **__: object) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(wedged, "send_batch", never)
        monkeypatch.setattr(producer, "_deadline", 0.2)
        results = [await outcome(send(producer, group, f"id-{n}")) for n in range(2)]
        monkeypatch.setattr(producer, "_deadline", 4)
        while producer._client is wedged:
            await asyncio.sleep(0.05)

        assert results == ["refused", "refused"]
        assert await outcome(send(producer, group, "id-2")) == "acknowledged"

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
