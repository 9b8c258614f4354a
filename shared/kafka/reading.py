"""Read a topic from its start without a group, as `closeloop verify` does, the logs that Kafka has, and the
offsets of a group."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.commit import OffsetFetchRequest

from shared.db import StoredPlace
from shared.kafka.aiokafka_internals import client_of, send_admin_request
from shared.kafka.applying import Unreadable
from shared.kafka.brokers import Brokers, client_options, stopped
from shared.kafka.log_identity import fault_of, topic_logs
from shared.kafka.topics import TopicError

_AT_ONCE = 5000
_REQUEST_TIMEOUT_MS = 5_000
_EXTENTS_SECONDS = 20


@dataclass(frozen=True, slots=True)
class LogExtent:
    """A log: its topic's id, and of each partition the first offset and the end (not included)."""

    topic_id: UUID
    first: dict[int, int]
    end: dict[int, int]


async def log_extents(bootstrap: str | Brokers, topics: Collection[str]) -> dict[str, LogExtent]:
    """The logs of those topics that exist. Raises TopicError when Kafka does not answer."""
    consumer = AIOKafkaConsumer(**client_options(bootstrap), group_id=None, enable_auto_commit=False)
    try:
        async with asyncio.timeout(_EXTENTS_SECONDS):
            await consumer.start()
            logs = await topic_logs(client_of(consumer), topics)
            tps = [TopicPartition(name, p) for name, log in logs.items() for p in range(log.partitions)]
            first, end = await consumer.beginning_offsets(tps), await consumer.end_offsets(tps)
    except (KafkaError, OSError, TimeoutError) as error:
        raise TopicError(f"Kafka at {bootstrap} does not say what its topics hold") from error
    finally:
        await stopped(consumer)
    return {
        name: LogExtent(
            log.topic_id,
            {p: first[TopicPartition(name, p)] for p in range(log.partitions)},
            {p: end[TopicPartition(name, p)] for p in range(log.partitions)},
        )
        for name, log in logs.items()
    }


@dataclass(frozen=True, slots=True)
class Difference:
    """A partition in which a group may not go on. `log` None: Kafka has no such topic."""

    topic: str
    partition: int
    fault: str
    stored: StoredPlace
    log: LogExtent | None


def differences(
    stored: Mapping[tuple[str, int], StoredPlace], logs: Mapping[str, LogExtent]
) -> list[Difference]:
    """Where the places of a group do not fit the logs that Kafka has, by the rule of those who open them."""
    misfits = []
    for (topic, partition), place in stored.items():
        log = logs.get(topic)
        known = {other.topic_id for (name, _), other in stored.items() if name == topic and other.topic_id}
        fault = fault_of(
            topic,
            partition,
            stored=place,
            known=known,
            topic_id=log.topic_id if log else None,
            first=log.first.get(partition, 0) if log else 0,
            end=log.end.get(partition, 0) if log else 0,
        )
        if fault:
            misfits.append(Difference(topic, partition, fault, place, log))
    return misfits


async def read_log(
    bootstrap: str | Brokers, topic: str, upto: Mapping[int, int], *, stall_seconds: float = 30
) -> AsyncIterator[list[Any]]:
    """The records of each partition from the log's start to the offset `upto[partition]` (not included).

    Yields batches, one partition after the other. A record that the client cannot parse comes alone, as
    Unreadable. Raises TimeoutError when the broker sends nothing for `stall_seconds`.
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
        if before_end := [record for record in records if record.offset < end]:
            yield before_end


async def committed_offsets(bootstrap: str | Brokers, group: str) -> dict[tuple[str, int], int]:
    """The offset of each (topic, partition) that the group committed to Kafka. Raises what the client raises.

    Our groups commit what their database already has, so these offsets are never ahead of that database.
    """
    admin = AIOKafkaAdminClient(**client_options(bootstrap), request_timeout_ms=_REQUEST_TIMEOUT_MS)
    try:
        await admin.start()
        coordinator = await admin.find_coordinator(group)
        response = await send_admin_request(admin, OffsetFetchRequest(group, None), coordinator)
    finally:
        await admin.close()
    return offsets_in(response)


def offsets_in(response: Any) -> dict[tuple[str, int], int]:
    """The offsets of an OffsetFetch response. Raises its error.

    aiokafka's own `list_consumer_group_offsets` looks only at the errors of partitions: when the coordinator
    is still loading, or does not allow the question, the group seems to have committed nothing.
    """
    if response.error_code:
        raise for_code(response.error_code)("the offsets of the group cannot be read")
    offsets: dict[tuple[str, int], int] = {}
    for topic, partitions in response.topics:
        for partition, offset, _, error_code in partitions:
            if error_code:
                raise for_code(error_code)(f"the offset of {topic}/{partition} cannot be read")
            if offset >= 0:
                offsets[topic, partition] = offset
    return offsets
