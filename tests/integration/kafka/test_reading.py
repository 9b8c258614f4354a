"""The whole log, without a group."""

import pytest
from aiokafka import AIOKafkaConsumer

from shared.kafka.applying import Unreadable
from shared.kafka.reading import read_log
from tests.integration.kafka.toy_group import Group


async def read(group: Group, upto: dict[int, int]) -> list[tuple[int, int, bool]]:
    """(partition, offset, whether it could be read)"""
    return [
        (record.partition, record.offset, not isinstance(record, Unreadable))
        async for records in read_log(group.bootstrap, group.topic, upto, stall_seconds=10)
        for record in records
    ]


class TestReading:
    async def test_each_partition_up_to_its_offset(self, group: Group) -> None:
        await group.produce([group.record(f"a-{n}") for n in range(7)], partition=0)
        await group.produce([group.record(f"b-{n}") for n in range(5)], partition=1)
        found = await read(group, {0: 4, 1: 5})
        assert found == [(0, n, True) for n in range(4)] + [(1, n, True) for n in range(5)]

    async def test_goes_on_behind_a_record_that_cannot_be_read(self, group: Group) -> None:
        """It is in the log until its retention is over; `verify` must not be away for so long."""
        await group.produce([group.record(f"a-{n}") for n in range(30)], partition=0)
        await group.produce_unreadable()
        await group.produce_unreadable()
        await group.produce([group.record(f"b-{n}") for n in range(30)], partition=0)
        await group.produce([group.record("c")], partition=1)
        found = await read(group, {0: 62, 1: 1})
        assert found == [(0, n, n not in (30, 31)) for n in range(62)] + [(1, 0, True)]

    async def test_nothing_of_a_topic_that_nobody_consumed(
        self, group: Group, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(AIOKafkaConsumer, "start", None)  # not even asked
        assert await read(group, {0: 0, 1: 0}) == []
