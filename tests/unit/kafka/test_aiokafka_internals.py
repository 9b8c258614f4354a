"""That aiokafka still has what we reach into, and that it still does what we rely on."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.cluster import ClusterMetadata
from aiokafka.errors import KafkaError
from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v4

from shared.kafka import aiokafka_internals
from shared.kafka.brokers import stopped

PARTITION = TopicPartition("t", 0)
BROKER = 7


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, Any]]:
    """What clients send, as (broker, request), in a cluster in which one broker leads everything."""
    requests: list[tuple[int, Any]] = []

    async def nothing(_: AIOKafkaClient, *__: Any) -> None: ...

    async def send(_: AIOKafkaClient, broker: int, request: Any) -> str:
        requests.append((broker, request))
        if isinstance(request, FetchRequest):
            raise KafkaError("nobody answers")
        return "the response"

    monkeypatch.setattr(AIOKafkaClient, "bootstrap", nothing)
    monkeypatch.setattr(AIOKafkaClient, "send", send)
    monkeypatch.setattr(ClusterMetadata, "leader_for_partition", lambda *_: BROKER)
    return requests


@pytest.fixture
async def consumer(sent: list[Any]) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(retry_backoff_ms=1)
    await consumer.start()
    yield consumer
    await stopped(consumer)


class TestAConsumer:
    async def test_asks_brokers_to_wait_as_it_was_told_last(
        self, consumer: AIOKafkaConsumer, sent: list[tuple[int, Any]]
    ) -> None:
        aiokafka_internals.set_fetch(consumer, min_bytes=1234, max_wait_ms=56)
        consumer.assign([PARTITION])
        consumer.seek(PARTITION, 0)
        async with asyncio.timeout(5):
            while not sent:
                await asyncio.sleep(0.001)
        broker, request = sent[0]
        _, max_wait_ms, min_bytes, *_ = request.build(FetchRequest_v4).to_object().values()
        assert (broker, min_bytes, max_wait_ms) == (BROKER, 1234, 56)

    async def test_knows_the_leader_of_a_partition(self, consumer: AIOKafkaConsumer) -> None:
        assert aiokafka_internals.leader_of(consumer, PARTITION) == BROKER

    @pytest.mark.parametrize("leader", [-1, None])
    async def test_says_that_there_is_no_leader(
        self, consumer: AIOKafkaConsumer, monkeypatch: pytest.MonkeyPatch, leader: int | None
    ) -> None:
        monkeypatch.setattr(ClusterMetadata, "leader_for_partition", lambda *_: leader)
        assert aiokafka_internals.leader_of(consumer, PARTITION) is None

    async def test_shows_that_its_fetcher_ended(self, consumer: AIOKafkaConsumer) -> None:
        assert not aiokafka_internals.fetcher_ended(consumer)
        (fetching,) = [task for task in asyncio.all_tasks() if "_fetch_requests_routine" in repr(task)]
        fetching.cancel()
        await asyncio.wait({fetching})
        assert aiokafka_internals.fetcher_ended(consumer)

    async def test_has_parts_to_close(self, consumer: AIOKafkaConsumer) -> None:
        parts = [type(part).__name__ for part in aiokafka_internals.parts_of(consumer)]
        assert parts == ["Fetcher", "AIOKafkaClient"]

    async def test_that_did_not_start_has_less_to_close(self) -> None:
        consumer = AIOKafkaConsumer()
        parts = [type(part).__name__ for part in aiokafka_internals.parts_of(consumer)]
        await consumer.stop()
        assert parts == ["AIOKafkaClient"]


class TestAnAdminClient:
    async def test_sends_what_it_has_no_method_for(self, sent: list[tuple[int, Any]]) -> None:
        admin = AIOKafkaAdminClient()
        assert await aiokafka_internals.send_admin_request(admin, "a request", 3) == "the response"
        assert sent == [(3, "a request")]
