"""Topics are administered also while the cluster settles: a broker that answers may be none yet."""

import asyncio
from collections.abc import Iterator
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from deploy.local import kafka
from deploy.local.kafka import KafkaNode
from deploy.local.kafka_probe import alive_brokers
from deploy.local.ports import LOOPBACK
from shared.events.topics import TOPICS, Topic
from shared.kafka import Producer, topics
from tests.integration.kafka.toy_group import eventually

ALIVE_SECONDS, AWAY_SECONDS = 1, 3
"""How long the controller counts the broker as alive after a heartbeat, and how far those are apart."""


@pytest.fixture(scope="module")
def flapping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaNode]:
    """What a frozen broker is for some milliseconds after it thaws, this one is for two of three seconds.

    It answers, and says that the cluster has neither brokers nor a controller.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(kafka.NODE_SETTINGS, "broker.session.timeout.ms", str(ALIVE_SECONDS * 1000))
        patched.setitem(kafka.NODE_SETTINGS, "broker.heartbeat.interval.ms", str(AWAY_SECONDS * 1000))
        node = KafkaNode(tmp_path_factory.mktemp("flapping"))
        node.start()
    try:
        node.wait_ready()
        asyncio.run(topics.ensure(node.bootstrap, partitions=1))
        yield node
    finally:
        node.kill()


@pytest.fixture
async def away(flapping: KafkaNode) -> KafkaNode:
    """The broker, just counted out."""

    def alive() -> bool:
        return bool(alive_brokers(LOOPBACK, flapping.port))

    await eventually(alive)
    await eventually(lambda: not alive())
    return flapping


class TestWithoutAController:
    async def test_a_topic_is_made_as_soon_as_there_is_one(self, away: KafkaNode) -> None:
        name = f"test.{uuid4().hex}"

        assert await topics.make(away.bootstrap, [Topic(name)], partitions=1) == [name]

    async def test_the_product_s_topics_are_ensured(
        self, away: KafkaNode, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        late = Topic(f"test.{uuid4().hex}")
        monkeypatch.setattr(topics, "TOPICS", (*TOPICS, late))

        assert await topics.ensure(away.bootstrap, partitions=1) == [late.name]

    async def test_topics_are_described(self, away: KafkaNode) -> None:
        states = await topics.describe(away.bootstrap)

        assert {(state.partitions, state.differs) for state in states} == {(1, ())}

    async def test_a_service_at_boot_learns_its_topics(self, away: KafkaNode) -> None:
        producer = Producer(away.bootstrap, deadline_seconds=4, request_timeout_seconds=15)
        await producer.start(tuple(topic.name for topic in TOPICS))
        await producer.stop()

    async def test_whoever_cannot_wait_is_told_what_is_missing(self, away: KafkaNode) -> None:
        with pytest.raises(topics.TopicError, match=r"within 0 s no broker became ready there"):
            async with topics.administering(away.bootstrap, patience_seconds=0.3):
                pass


class TestARefusal:
    async def test_that_is_none_any_more_is_asked_again(
        self, bootstrap: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The broker was counted out between its answer and the request: too few brokers, for a moment."""
        name = f"test.{uuid4().hex}"
        create, asked = AIOKafkaAdminClient.create_topics, []

        async def create_topics(admin: AIOKafkaAdminClient, wanted: list[object]) -> object:
            asked.append(name)
            if len(asked) == 1:
                for topic in wanted:
                    topic.replication_factor = 3  # type: ignore[attr-defined]
            return await create(admin, wanted)

        monkeypatch.setattr(AIOKafkaAdminClient, "create_topics", create_topics)

        assert await topics.make(bootstrap, [Topic(name)], partitions=1) == [name]
        assert len(asked) == 2

    async def test_for_good_is_told_at_once(self, bootstrap: str) -> None:
        name = f"test.{uuid4().hex}"
        with pytest.raises(topics.TopicError, match=f"Kafka does not create the topic {name}"):
            async with asyncio.timeout(topics.PATIENCE_SECONDS / 2):
                await topics.make(bootstrap, [Topic(name)], partitions=1, replication=3)
