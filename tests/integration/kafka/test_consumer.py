"""Counted exactly once, whoever holds the partition, and whoever believes to hold it."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from shared.db import Database, Position, Session
from shared.events import Received
from shared.kafka import Applier, OutcomeCounts
from shared.kafka.applying import PartitionsLost
from shared.kafka.consumer import FetcherDied
from tests.integration.kafka.toy_group import Group, eventually

MEMBER = Path(__file__).with_name("member.py")


@contextlib.contextmanager
def process_of(group: Group) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, str(MEMBER), group.bootstrap, group.url, group.topic, group.schema]
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(MEMBER.parents[3])}) as process:
        try:
            yield process
        finally:
            process.kill()


async def assert_exact(group: Group, records: int, ids: int) -> None:
    """Every record applied once, every id counted once."""
    times = Counter(await group.places())
    assert len(times) == records
    assert set(times.values()) == {1}
    assert await group.value("SELECT count(*) FROM {s}.counted") == ids


class TestExactlyOnce:
    async def test_applies_every_record_once_and_counts_every_id_once(self, group: Group) -> None:
        await group.produce([group.record(f"id-{n % 3000}", n % 7) for n in range(4000)])
        async with group.member():
            await eventually(lambda: applied(group, 4000))

        await assert_exact(group, 4000, ids=3000)
        assert await group.offsets() == {0: 2000, 1: 2000}

    async def test_goes_on_where_the_database_says_after_kill_9(self, group: Group) -> None:
        await group.produce([group.record(f"id-{n % 4000}") for n in range(6000)])
        with process_of(group) as member:
            await eventually(lambda: at_least(group, 1000))
            member.send_signal(signal.SIGKILL)
        async with group.member():
            await eventually(lambda: applied(group, 6000))

        await assert_exact(group, 6000, ids=4000)

    async def test_survives_members_that_come_and_go(self, group: Group) -> None:
        await group.produce([group.record(f"id-{n % 4000}") for n in range(3000)])
        async with group.member(batch_records=20):
            for round_ in range(1, 4):
                async with group.member(batch_records=20):
                    await eventually(lambda clients=1 + round_: has_joined(group, clients))
                    await group.produce([group.record(f"id-{n % 4000}") for n in range(1000)])
                    await eventually(lambda n=round_: at_least(group, 1000 * n))
            await eventually(lambda: applied(group, 6000))

        await assert_exact(group, 6000, ids=3000)


class TestAZombie:
    async def test_cannot_write_after_its_partitions_moved_on(self, group: Group) -> None:
        with process_of(group) as zombie:
            await group.produce([group.record(f"a-{n}") for n in range(5000)])
            await eventually(lambda: at_least(group, 100))
            zombie.send_signal(signal.SIGSTOP)
            frozen_at = await group.applied()
            async with group.member() as heir:
                await eventually(lambda: applied(group, 5000))
                assert frozen_at < 5000
                zombie.send_signal(signal.SIGCONT)
                await group.produce([group.record(f"b-{n}") for n in range(2000)])
                await eventually(lambda: applied(group, 7000))
                assert heir.halted is None

        await assert_exact(group, 7000, ids=7000)

    async def test_two_owners_of_every_partition_apply_each_record_once(self, group: Group) -> None:
        """No group at all: both loops apply everything, side by side, and only the swap decides."""
        await group.produce([group.record(f"id-{n % 1500}") for n in range(2000)])
        async with (
            group.member(batch_records=10),
            group.member(batch_records=10, kafka_group=f"{group.name}-zombie"),
        ):
            await eventually(lambda: applied(group, 2000))

        await assert_exact(group, 2000, ids=1500)

    async def test_writes_nothing_when_the_stored_offset_is_not_the_expected_one(self, group: Group) -> None:
        database = Database(group.url)
        applier = Applier(database, group.inbox, {group.event: group.handle})
        await group.set_offset(0, 7)
        item = applier.read(FakeRecord(group, offset=5), follows=5)
        with pytest.raises(PartitionsLost):
            await applier.apply([item])
        await database.close()

        assert await group.offsets() == {0: 7}
        assert await group.places() == []


class TestTheInbox:
    async def test_members_that_move_the_same_partitions_never_deadlock(self, group: Group) -> None:
        for partition in range(40):
            await group.set_offset(partition, 0)
        database = Database(group.url)

        async def mover(partitions: Sequence[int]) -> None:
            for _ in range(40):
                async with database.transaction() as session:
                    await group.inbox.move(session, [Position(group.topic, p, 0, 0) for p in partitions])

        await asyncio.gather(*(mover(order) for order in (range(40), range(39, -1, -1)) for _ in range(2)))
        await database.close()

    async def test_moves_only_from_the_expected_value(self, group: Group) -> None:
        await group.set_offset(0, 5)
        await group.set_offset(1, 5)
        database = Database(group.url)
        async with database.transaction() as session:
            moved = await group.inbox.move(
                session, [Position(group.topic, 1, 4, 9), Position(group.topic, 0, 5, 9)]
            )
        await database.close()

        assert moved == {(group.topic, 0)}
        assert await group.offsets() == {0: 9, 1: 5}


class TestStopping:
    async def test_finishes_the_batch_in_hand(self, group: Group) -> None:
        began, go_on = asyncio.Event(), asyncio.Event()

        async def slow(session: Session, batch: Sequence[Received]) -> OutcomeCounts:
            began.set()
            await go_on.wait()
            return await group.handle(session, batch)

        await group.produce([group.record(f"id-{n}") for n in range(10)], partition=0)
        async with group.member(handler=slow) as consumer:
            await began.wait()
            await consumer.stop()
            go_on.set()

        await assert_exact(group, 10, ids=10)


class TestWatching:
    async def test_a_client_whose_fetcher_died_ends_the_loop(self, group: Group) -> None:
        """aiokafka would poll nothing for ever (#983); a fresh process mends it."""
        database = Database(group.url)
        consumer = group.consumer(database)
        loop = asyncio.create_task(consumer.run())
        await eventually(lambda: has_joined(group))
        for task in asyncio.all_tasks():
            if "_fetch_requests_routine" in repr(task):
                task.cancel()
        await asyncio.wait({loop}, timeout=20)
        await database.close()

        assert isinstance(loop.exception(), FetcherDied)

    async def test_lag_is_what_the_database_does_not_have_yet(
        self, group: Group, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("shared.kafka.consumer._MEASURE_SECONDS", 0.1)
        held = asyncio.Event()

        async def slow(session: Session, batch: Sequence[Received]) -> OutcomeCounts:
            await held.wait()
            return await group.handle(session, batch)

        def lag() -> tuple[float, float]:
            place = {"group": group.name, "topic": group.topic, "partition": "0"}
            records = REGISTRY.get_sample_value("closeloop_kafka_consumer_lag_records", place)
            seconds = REGISTRY.get_sample_value("closeloop_kafka_consumer_time_lag_seconds", place)
            return records or 0, seconds or 0

        async with group.member(handler=slow):
            await group.produce([group.record(f"id-{n}") for n in range(10)], partition=0)
            await eventually(lambda: lag()[0] == 10 and lag()[1] > 0)
            held.set()
            await eventually(lambda: lag() == (0, 0))


class FakeRecord:
    """What the applier needs of a record of aiokafka's."""

    def __init__(self, group: Group, *, offset: int) -> None:
        self.topic, self.partition, self.offset, self.timestamp = group.topic, 0, offset, 0
        self.key, self.value, self.headers = group.record(f"id-{offset}")


async def applied(group: Group, records: int) -> bool:
    return await group.applied() == records


async def at_least(group: Group, records: int) -> bool:
    return await group.applied() >= records


def has_joined(group: Group, clients: int = 1) -> bool:
    """Whether the newest of so many clients is a member."""
    return len(group.clients) >= clients and bool(group.clients[-1].assignment())
