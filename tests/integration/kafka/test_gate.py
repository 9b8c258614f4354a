"""The first record applied is the one that the database expects, wherever Kafka believes to be."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.cluster import ClusterMetadata

from shared.db import Database, Session, StoredPlace
from shared.kafka import Consumer, gate
from shared.kafka.topics import administering
from shared.ops.health import NotReady
from tests.integration.kafka.toy_group import Group, eventually


@pytest.fixture
async def ten(group: Group) -> Group:
    """Partition 0 holds the offsets 0 to 9."""
    await group.produce([group.record(f"id-{n}") for n in range(10)], partition=0)
    return group


class TestAnAssignment:
    @pytest.mark.parametrize("kafka_says", [0, 2, 9])
    async def test_starts_at_the_stored_offset_whatever_kafka_says(self, ten: Group, kafka_says: int) -> None:
        await ten.commit_to_kafka({0: kafka_says})
        await ten.set_offset(0, 6)
        async with ten.member():
            await eventually(lambda: at(ten, 10))

        assert await ten.places() == [(0, 6), (0, 7), (0, 8), (0, 9)]

    async def test_starts_there_also_when_the_database_is_slow(
        self, ten: Group, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """0.4 s of reading was enough for aiokafka to deliver from Kafka's own offset."""
        read = ten.inbox.places

        async def slowly(session: Session, topics: Collection[str]) -> dict[tuple[str, int], StoredPlace]:
            await asyncio.sleep(0.4)
            return await read(session, topics)

        monkeypatch.setattr(ten.inbox, "places", slowly)
        await ten.commit_to_kafka({0: 9})
        await ten.set_offset(0, 6)
        async with ten.member():
            await eventually(lambda: at(ten, 10))

        assert await ten.places() == [(0, 6), (0, 7), (0, 8), (0, 9)]

    async def test_starts_at_the_beginning_of_what_it_never_saw(self, ten: Group) -> None:
        await ten.commit_to_kafka({0: 5})
        async with ten.member():
            await eventually(lambda: at(ten, 10))

        assert [place for _, place in await ten.places()] == list(range(10))

    async def test_waits_for_a_database_that_is_away(
        self, ten: Group, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        transaction, failures = Database.transaction, []

        @asynccontextmanager
        async def refused(database: Database) -> AsyncIterator[Session]:
            if len(failures) < 3:
                failures.append(1)
                raise ConnectionRefusedError
            async with transaction(database) as session:
                yield session

        monkeypatch.setattr(Database, "transaction", refused)
        async with ten.member():
            await eventually(lambda: at(ten, 10))

        assert [place for _, place in await ten.places()] == list(range(10))

    async def test_takes_up_new_offsets_when_an_operator_moved_them_under_it(self, ten: Group) -> None:
        """What a restored backup does: the log replays from where the data are."""
        async with ten.member() as consumer:
            await eventually(lambda: at(ten, 10))
            await ten.set_offset(0, 4)
            await ten.produce([ten.record("id-10")], partition=0)
            await eventually(lambda: at(ten, 11))
            assert consumer.halted is None

        assert [place for _, place in await ten.places()] == [*range(10), *range(4, 11)]


class TestAPartitionWithoutALeader:
    async def test_does_not_starve_the_others(self, ten: Group, monkeypatch: pytest.MonkeyPatch) -> None:
        await ten.produce([ten.record("other")], partition=1)
        find, away = ClusterMetadata.leader_for_partition, {TopicPartition(ten.topic, 1)}
        monkeypatch.setattr(
            ClusterMetadata,
            "leader_for_partition",
            lambda cluster, tp: -1 if tp in away else find(cluster, tp),
        )
        async with ten.member():
            await eventually(lambda: at(ten, 10), within_seconds=15)
            assert (await ten.offsets()).keys() == {0}
            away.clear()
            await eventually(lambda: at(ten, 1, partition=1), within_seconds=15)

    async def test_nor_does_one_whose_leader_does_not_answer(
        self, ten: Group, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its broker stands still: the metadata still name it, and it is asked again and again."""
        await ten.produce([ten.record("other")], partition=1)
        monkeypatch.setattr(gate, "_ASK_SECONDS", 0.5)
        monkeypatch.setattr(gate, "_ASK_AGAIN_SECONDS", 1.0)
        away = {TopicPartition(ten.topic, 1)}
        find, ask = ClusterMetadata.leader_for_partition, AIOKafkaConsumer.beginning_offsets
        unanswered: list[set[TopicPartition]] = []

        async def silent(consumer: AIOKafkaConsumer, tps: set[TopicPartition]) -> dict[TopicPartition, int]:
            if away & set(tps):
                unanswered.append(tps)
                await asyncio.Event().wait()
            return dict(await ask(consumer, tps))

        monkeypatch.setattr(
            ClusterMetadata,
            "leader_for_partition",
            lambda cluster, tp: 99 if tp in away else find(cluster, tp),
        )
        monkeypatch.setattr(AIOKafkaConsumer, "beginning_offsets", silent)
        async with ten.member():
            await eventually(lambda: at(ten, 10), within_seconds=15)
            await eventually(lambda: len(unanswered) >= 3, within_seconds=15)
            await ten.produce([ten.record("meanwhile")], partition=0)
            await eventually(lambda: at(ten, 11), within_seconds=15)
            away.clear()
            await eventually(lambda: at(ten, 1, partition=1), within_seconds=15)


class TestALogThatDoesNotFit:
    async def test_an_offset_above_the_end_halts_with_a_sentence_for_the_operator(self, ten: Group) -> None:
        await ten.set_offset(0, 11)
        async with ten.member() as consumer:
            await eventually(lambda: consumer.halted)
            with pytest.raises(NotReady, match=r"the database is at offset 11, the log holds 0 to 10; an"):
                await consumer.check()
            await turns(consumer)

        assert await ten.places() == []
        assert (await ten.offsets())[0] == 11

    async def test_an_offset_below_the_start_halts(self, ten: Group) -> None:
        await ten.set_offset(0, 3)
        async with administering(ten.bootstrap) as client:
            await delete_up_to(client, ten.topic, 5)
        async with ten.member() as consumer:
            await eventually(lambda: consumer.halted)

        assert await ten.places() == []

    async def test_records_that_expire_under_a_running_consumer_halt_it_rather_than_be_skipped(
        self, ten: Group
    ) -> None:
        async with ten.member() as consumer:
            await eventually(lambda: at(ten, 10))
            client = ten.clients[-1]
            client.pause(*client.assignment())
            await ten.produce([ten.record(f"late-{n}") for n in range(10)], partition=0)
            async with administering(ten.bootstrap) as operator:
                await delete_up_to(operator, ten.topic, 15)
            client.resume(*client.assignment())
            await eventually(lambda: consumer.halted)
            with pytest.raises(NotReady, match=r"the database is at offset 10, the log holds 15 to 20"):
                await consumer.check()

        assert len(await ten.places()) == 10

    async def test_a_topic_made_anew_while_consuming_halts_rather_than_reset_in_silence(
        self, ten: Group
    ) -> None:
        async with ten.member(metadata_max_age_seconds=1) as consumer:
            await eventually(lambda: at(ten, 10))
            async with administering(ten.bootstrap) as client:
                await client.delete_topics([ten.topic])
            await eventually(lambda: make_again(ten))
            await eventually(lambda: consumer.halted)

        assert len(await ten.places()) == 10


async def at(group: Group, offset: int, *, partition: int = 0) -> bool:
    return (await group.offsets()).get(partition) == offset


async def turns(consumer: Consumer) -> None:
    """A halted consumer still polls."""
    clock: Callable[[], float] = consumer.since_last_turn
    before = clock()
    await eventually(lambda: clock() < before or clock() < 0.1)


async def delete_up_to(client: object, topic: str, offset: int) -> None:
    from aiokafka.admin import RecordsToDelete

    await client.delete_records(  # type: ignore[attr-defined]
        {TopicPartition(topic, 0): RecordsToDelete(before_offset=offset)}
    )


async def make_again(group: Group) -> bool:
    """Kafka deletes in the background."""
    await group.make_topic()
    async with administering(group.bootstrap) as client:
        described = await client.describe_topics([group.topic])
    return len(described[0]["partitions"]) == group.partitions
