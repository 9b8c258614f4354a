"""Read a topic from its start without a group, as `closeloop verify` does."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.kafka.stopping import stopped


async def read_log(
    bootstrap: str, topic: str, upto: Mapping[int, int], *, stall_seconds: float = 30
) -> AsyncIterator[list[Any]]:
    """The records of each partition from the log's start to the offset `upto[partition]` (not included).

    Yields batches of one partition. Raises TimeoutError when the broker sends nothing for `stall_seconds`.
    """
    if not any(upto.values()):
        return
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, group_id=None, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        tps = [TopicPartition(topic, partition) for partition in upto]
        first = await consumer.beginning_offsets(tps)
        left = {tp for tp in tps if first[tp] < upto[tp.partition]}
        consumer.assign(list(left))
        for tp in left:
            consumer.seek(tp, first[tp])
        while left:
            async with asyncio.timeout(stall_seconds):
                fetched: dict[Any, list[Any]] = {}
                while not fetched:
                    fetched = await consumer.getmany(*left, timeout_ms=1000, max_records=5000)
            for tp, records in fetched.items():
                end = upto[tp.partition]
                wanted = [record for record in records if record.offset < end]
                if wanted:
                    yield wanted
                if records[-1].offset + 1 >= end:
                    left.discard(tp)
                    consumer.pause(tp)
    finally:
        await stopped(consumer)
