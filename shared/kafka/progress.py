"""How far a consumer is, for lag tools and metrics. No decision depends on it."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from shared.db import Database, Inbox
from shared.kafka.applying import Item
from shared.ops import metrics
from shared.ops.logs import log

_log = log("kafka")


class Progress:
    """The offsets of a group as the database has them, beside the ends of the log."""

    def __init__(self, group: str, topics: Iterable[str]) -> None:
        self._group = group
        self._topics = tuple(topics)
        metrics.expect_consumer(group, self._topics)
        self._applied: dict[TopicPartition, int] = {}
        self._oldest_waiting: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._shown: set[TopicPartition] = set()

    def opened(self, offsets: dict[TopicPartition, int]) -> None:
        """Note the stored offsets of partitions that the gate has opened."""
        self._applied.update(offsets)

    def forget(self) -> None:
        """Drop every offset: they are of logs that are gone, so no lag can be told from them."""
        for tp in self._shown:
            self._remove(tp)
        self._shown.clear()
        self._applied.clear()
        self._oldest_waiting.clear()
        self._committed.clear()

    def _remove(self, tp: TopicPartition) -> None:
        metrics.LAG_RECORDS.remove(self._group, tp.topic, str(tp.partition))
        metrics.LAG_SECONDS.remove(self._group, tp.topic, str(tp.partition))

    def fetched(self, tp: TopicPartition, records: Sequence[Any]) -> None:
        """Note records that the client has handed over; at least one."""
        metrics.CONSUMED.labels(self._group, tp.topic).inc(len(records))
        self._oldest_waiting.setdefault(tp, records[0].timestamp)

    def applied(self, items: Sequence[Item]) -> None:
        """Note items that were committed to the database; they stand in the log's order."""
        for place, last in {(item.topic, item.partition): item for item in items}.items():
            tp = TopicPartition(*place)
            self._applied[tp] = last.offset + 1
            self._oldest_waiting[tp] = last.record.timestamp

    async def commit_to_kafka(self, client: AIOKafkaConsumer, *, within_seconds: float = 2.0) -> None:
        """Commit the offsets of this member to Kafka, for lag tools. Raises nothing, an error is counted.

        With a time limit: the client's `commit()` never returns while the broker is away.
        """
        assigned = client.assignment()
        offsets = {tp: offset for tp, offset in self._applied.items() if tp in assigned}
        if not offsets or offsets == self._committed:
            return
        try:
            async with asyncio.timeout(within_seconds):
                await client.commit(offsets)
            self._committed = offsets
        except Exception as error:  # lag tools show an older offset
            metrics.COMMIT_ERRORS.labels(self._group, type(error).__name__).inc()

    async def measure(self, client: AIOKafkaConsumer) -> None:
        """Set the lag of each assigned partition; remove the series of those that other members have now."""
        assigned = set(client.assignment())
        for tp in self._shown - assigned:
            self._remove(tp)
        self._shown &= assigned
        for topic in self._topics:
            count = sum(1 for tp in assigned if tp.topic == topic)
            metrics.ASSIGNED.labels(self._group, topic).set(count)
        known = [tp for tp in assigned if tp in self._applied]
        if not known:
            return
        try:
            async with asyncio.timeout(2):
                ends = await client.end_offsets(known)
        except (KafkaError, TimeoutError):
            return
        for tp in known:
            if tp not in ends or tp not in self._applied:  # its topic went, or all was forgotten meanwhile
                continue
            behind = max(0, ends[tp] - self._applied[tp])
            if not behind:
                self._oldest_waiting.pop(tp, None)
            since = self._oldest_waiting.get(tp)
            age = max(0.0, time.time() - since / 1000) if since else 0.0
            metrics.LAG_RECORDS.labels(self._group, tp.topic, str(tp.partition)).set(behind)
            metrics.LAG_SECONDS.labels(self._group, tp.topic, str(tp.partition)).set(age)
            self._shown.add(tp)


async def count_letters(database: Database, inbox: Inbox) -> None:
    """Set the metric of a group's dead letters that wait for an operator. Raises nothing."""
    try:
        async with database.transaction() as session:
            metrics.DEAD_BACKLOG.labels(inbox.consumer).set(await inbox.buried(session))
    except Exception as error:  # the next round counts them
        _log.info("letters.not_counted", group=inbox.consumer, exc_info=error)
