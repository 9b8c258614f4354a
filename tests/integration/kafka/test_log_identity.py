"""A topic that is deleted and made anew is another log, whatever its offsets say."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.db import Database, Position, StoredPlace, WrittenLogs
from shared.db.dead_letters import DeadLetters
from shared.db.service_tables import written_logs_v1
from shared.events.topics import Topic
from shared.kafka import NotAcknowledged, Producer, topics
from shared.kafka.log_identity import ADOPT
from shared.kafka.log_watch import LogWatch
from shared.kafka.reading import differences, log_extents
from shared.kafka.topics import administering
from shared.ops import metrics
from shared.ops.health import NotReady
from tests.integration.kafka.toy_group import Group, eventually


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, pool_size=2)
    yield database
    await database.close()


async def make_anew(group: Group, *, partitions: int | None = None, kept_days: int | None = 21) -> None:
    """Delete the topic and create it again under its name."""
    former = await topic_id(group)
    await delete(group)
    topic = Topic(group.topic, kept_days=kept_days)

    async def is_another() -> bool:
        await topics.make(group.bootstrap, [topic], partitions=partitions or group.partitions)
        return await topic_id(group) not in (former, None)

    await eventually(is_another)


async def delete(group: Group) -> None:
    async with administering(group.bootstrap) as admin:
        await admin.delete_topics([group.topic])


async def topic_id(group: Group) -> UUID | None:
    log = (await log_extents(group.bootstrap, [group.topic])).get(group.topic)
    return log.topic_id if log else None


async def adopt(group: Group, database: Database, by: str = "tests") -> None:
    log = (await log_extents(group.bootstrap, [group.topic]))[group.topic]
    async with database.transaction() as session:
        await group.inbox.adopt(session, group.topic, log.topic_id, log.first, by=by)


async def consumed(group: Group, records: int, **options: Any) -> None:
    async with group.member(**options):
        await eventually(lambda: applied(group, records))


async def applied(group: Group, records: int) -> bool:
    return await group.applied() == records


def fault_shown(group: Group) -> float:
    samples = [sample for family in metrics.LOG_FAULT.collect() for sample in family.samples]
    return next(sample.value for sample in samples if sample.labels["topic"] == group.topic)


class TestATopicMadeAnewWhileNobodyRead:
    @pytest.mark.parametrize("kept_days", [21, None], ids=["expiring", "compacted"])
    async def test_is_not_applied_through_restarts_and_is_read_whole_after_an_adoption(
        self, group: Group, database: Database, kept_days: int | None
    ) -> None:
        await group.produce([group.record(f"old-{n}") for n in range(6)])
        await consumed(group, 6)
        await make_anew(group, kept_days=kept_days)
        await group.produce([group.record(f"new-{n}") for n in range(40)])

        for _ in range(2):  # the second is a restart
            async with group.member() as consumer:
                await eventually(lambda of=consumer: of.halted)
                with pytest.raises(NotReady, match=f"{group.topic} was made anew.*{ADOPT}"):
                    await consumer.check()
                assert fault_shown(group) == 1
                assert consumer.since_last_turn() < 5
        assert len(await group.places()) == 6

        async with group.member() as consumer:
            await eventually(lambda: consumer.halted)
            await adopt(group, database)
            await eventually(lambda: applied(group, 40))  # without a restart
            assert consumer.halted is None
            assert fault_shown(group) == 0
        assert await group.total() == 46

    async def test_with_more_partitions_begins_none_of_them(self, group: Group) -> None:
        await group.produce([group.record("old")], partition=0)
        await consumed(group, 1)
        await make_anew(group, partitions=4)
        await group.produce([group.record(f"new-{n}") for n in range(8)])  # its offset fits the new log
        async with group.member() as consumer:
            await eventually(lambda: consumer.halted)
        assert (await group.offsets()).keys() == {0, 1}

    async def test_with_fewer_partitions_forgets_the_others_at_the_adoption(
        self, group: Group, database: Database
    ) -> None:
        await group.produce([group.record(f"old-{n}") for n in range(4)])
        await consumed(group, 4)
        await make_anew(group, partitions=1)
        await adopt(group, database, by="ines")
        assert await group.offsets() == {0: 0}
        kept = await group.fetch(
            "SELECT partition, former_offset, next_offset, adopted_by FROM {s}.adopted_logs ORDER BY 1"
        )
        assert kept == [(0, 2, 0, "ines"), (1, 2, None, "ines")]


class TestATopicUnderARunningConsumer:
    async def test_that_is_made_anew_and_longer_at_once_halts_it(self, group: Group) -> None:
        """Offsets alone would show nothing, and the client learns of it late."""
        await group.produce([group.record("old")], partition=0)
        async with group.member() as consumer:
            await eventually(lambda: applied(group, 1))
            group.clients[-1].pause(*group.clients[-1].assignment())
            await make_anew(group)
            await group.produce([group.record(f"new-{n}") for n in range(20)], partition=0)
            await eventually(lambda: consumer.halted, within_seconds=15)
            assert "was made anew" in str(consumer.halted)
        assert await group.total() == 1

    async def test_that_is_gone_halts_it(self, group: Group) -> None:
        async with group.member() as consumer:
            await eventually(lambda: applied(group, 0))
            await delete(group)
            await eventually(lambda: consumer.halted, within_seconds=15)
            with pytest.raises(NotReady, match="is not there: `closeloop topics --create`"):
                await consumer.check()


class TestOffsetsFromBeforeTheIds:
    async def test_take_the_log_in_which_they_lie_and_their_letters_too(self, group: Group) -> None:
        await group.produce([group.record(f"n-{n}") for n in range(4)], partition=0)
        await group.set_offset(0, 2)
        async with group.sql() as db:  # as the release before this one writes it
            await db.execute(
                f"""INSERT INTO {group.schema}.dead_letters
                        (consumer, topic, partition, "offset", reason, detail, headers, correlation_id)
                    VALUES ($1, $2, 0, 1, 'x', '', '[]', '')
                    ON CONFLICT (consumer, topic, partition, "offset") DO NOTHING""",
                group.name,
                group.topic,
            )
        async with group.member():
            await eventually(lambda: applied(group, 4))
        now = await topic_id(group)
        assert await group.value("SELECT topic_id FROM {s}.dead_letters") == now
        assert await group.value("SELECT topic_id FROM {s}.progress WHERE partition = 0") == now

    async def test_outside_of_the_log_take_none(self, group: Group) -> None:
        await group.set_offset(0, 2)
        async with group.member() as consumer:
            await eventually(lambda: consumer.halted)
        assert await group.value("SELECT topic_id FROM {s}.progress WHERE partition = 0") is None


class TestAnOffset:
    async def test_moves_only_in_the_log_that_is_stored(self, group: Group, database: Database) -> None:
        old, new = uuid4(), uuid4()
        async with database.transaction() as session:
            await group.inbox.begin(session, group.topic, 0, 5, old)
            for log in (new, None):
                assert not await group.inbox.move(session, [Position(group.topic, 0, 5, 6, log)])
            assert await group.inbox.move(session, [Position(group.topic, 0, 5, 6, old)])
            assert await group.inbox.places(session) == {(group.topic, 0): StoredPlace(6, old)}


class TestADeadLetterOfAFormerLog:
    async def test_makes_room_for_one_at_the_same_place_and_both_can_be_settled(
        self, group: Group, database: Database
    ) -> None:
        letters = DeadLetters(group.schema)
        bad = (b"k", b"no event", [])
        await group.produce([bad], partition=0)
        await consumed(group, 1)
        await make_anew(group)
        await adopt(group, database)
        async with database.transaction() as session:
            (only,) = await letters.newest(session)
            assert only.of_former_log

        await group.produce([bad], partition=0)
        await consumed(group, 1)

        async with database.transaction() as session:
            new, old = await letters.newest(session)
            assert (new.partition, new.offset) == (old.partition, old.offset) == (0, 0)
            assert (new.of_former_log, old.of_former_log) == (False, True)
            assert (new.topic_id, await group.inbox.buried(session)) == (await topic_id(group), 2)
            assert await letters.ids_to_settle(session) == [old.id, new.id]
            assert (await letters.find(session, old.id)) == old
            assert await letters.settle(session, old.id, "discarded")
            assert [letter.id for letter in await letters.newest(session)] == [new.id]

    async def test_that_is_delivered_again_stays_one(self, group: Group, database: Database) -> None:
        """Of the same log a second letter at a place is the first one, also when that has no id."""
        await group.produce([(b"k", b"no event", [])], partition=0)
        await consumed(group, 1)
        for log in ("topic_id", "NULL"):
            async with group.sql() as db:
                await db.execute(f"UPDATE {group.schema}.dead_letters SET topic_id = {log}")
                await db.execute(f"UPDATE {group.schema}.progress SET next_offset = 0")
            await consumed(group, 1)
            assert len(await group.letters()) == 1


class TestTheComparison:
    async def test_names_the_partitions_that_do_not_fit(self, group: Group, database: Database) -> None:
        await group.produce([group.record(f"n-{n}") for n in range(4)])
        await consumed(group, 4)
        async with database.transaction() as session:
            stored = await group.inbox.places(session)
        assert differences(stored, await log_extents(group.bootstrap, [group.topic])) == []
        await make_anew(group)
        found = differences(stored, await log_extents(group.bootstrap, [group.topic]))
        assert [(d.topic, d.partition) for d in found] == [(group.topic, 0), (group.topic, 1)]
        assert {d.fault for d in differences(stored, {})} == {
            f"the topic {group.topic} is not there: `closeloop topics --create` makes it"
        }


class TestAServiceThatWrites:
    @pytest.fixture
    async def producer(self, group: Group) -> AsyncIterator[Producer]:
        producer = Producer(group.bootstrap, deadline_seconds=3, request_timeout_seconds=1)
        await producer.start((group.topic,))
        yield producer
        await producer.stop()

    async def test_is_not_ready_from_the_moment_of_another_log_until_it_is_adopted(
        self, group: Group, database: Database, producer: Producer
    ) -> None:
        async with group.sql() as db:
            for statement in written_logs_v1(group.schema):
                await db.execute(statement)
        watch = LogWatch(database, producer, group.schema, (group.topic,))
        await watch.look()
        await watch.check()
        await make_anew(group)
        for watching in (watch, LogWatch(database, producer, group.schema, (group.topic,))):  # a restart
            await watching.look()
            with pytest.raises(NotReady, match=f"{group.topic} was made anew.*{ADOPT}"):
                await watching.check()
        assert fault_shown(group) == 1
        now = await topic_id(group)
        assert now is not None
        async with database.transaction() as session:
            await WrittenLogs(group.schema).adopt(session, group.topic, now, by="tests")
        await watch.look()
        await watch.check()
        assert fault_shown(group) == 0
        assert await group.value("SELECT topic_id FROM {s}.adopted_logs") == now

    async def test_loses_nothing_in_silence_when_the_topic_comes_back_smaller(
        self, group: Group, producer: Producer
    ) -> None:
        async def acknowledged(name: str) -> bool:
            key, value, headers = group.record(name)
            assert key is not None
            try:
                await producer.send(group.topic, key, value, headers)
            except NotAcknowledged:
                return False
            return True

        assert all(await asyncio.gather(*(acknowledged(f"old-{n}") for n in range(8))))
        await make_anew(group, partitions=1)
        taken = 0

        async def all_acknowledged() -> bool:
            nonlocal taken
            results = await asyncio.gather(*(acknowledged(f"new-{n}") for n in range(8)))
            taken += sum(results)
            return all(results)

        await eventually(all_acknowledged, within_seconds=20)
        log = (await log_extents(group.bootstrap, [group.topic]))[group.topic]
        assert sum(log.end.values()) >= taken >= 8
