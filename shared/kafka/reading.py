"""Read a topic from its start without a group, as `closeloop verify` does."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.kafka.brokers import Brokers, client_options
from shared.kafka.items import Unreadable
from shared.kafka.stopping import stopped

_AT_ONCE = 5000


async def read_log(
    bootstrap: str | Brokers, topic: str, upto: Mapping[int, int], *, stall_seconds: float = 30
) -> AsyncIterator[list[Any]]:
    """The records of each partition from the log's start to the offset `upto[partition]` (not included).

    Yields batches of one partition after the other. A record on which the client's parser breaks comes as
    Unreadable, alone. Raises TimeoutError when the broker sends nothing for `stall_seconds`.
    """
    if not any(upto.values()):
        return
    consumer = AIOKafkaConsumer(
        **client_options(bootstrap), group_id=None, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        tps = [TopicPartition(topic, partition) for partition in sorted(upto)]
        first = await consumer.beginning_offsets(tps)
        for tp in tps:
            async for records in _partition(consumer, tp, first[tp], upto[tp.partition], stall_seconds):
                yield records
    finally:
        await stopped(consumer)


async def _partition(
    consumer: AIOKafkaConsumer, tp: TopicPartition, position: int, end: int, stall_seconds: float
) -> AsyncIterator[list[Any]]:
    consumer.assign([tp])
    consumer.seek(tp, position)
    most = _AT_ONCE
    while position < end:
        records: list[Any] = []
        try:
            async with asyncio.timeout(stall_seconds):
                while not records and position < end:
                    fetched = await consumer.getmany(tp, timeout_ms=1000, max_records=most)
                    records = fetched.get(tp, [])
                    position = await consumer.position(tp)
        except (ValueError, TypeError, IndexError) as error:  # its parser broke on one of them
            if most > 1:
                most //= 2
                continue
            records = [Unreadable(tp.topic, tp.partition, position, error)]
            position += 1
            consumer.seek(tp, position)
            most = _AT_ONCE
        if wanted := [record for record in records if record.offset < end]:
            yield wanted
