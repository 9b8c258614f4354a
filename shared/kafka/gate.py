"""Which records are ours to apply: the assignment gate.

aiokafka makes an assignment live before its callback runs, so records may arrive from wherever Kafka's
own committed offset happens to be. The callbacks only mark partitions; the loop reads the stored offset,
seeks, and opens the partition. Records of a closed partition, or below its next offset, are dropped.
"""

from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from shared.db import Database, Inbox
from shared.ops import metrics


class LogMismatch(RuntimeError):
    """The stored offset is not within the log: the topic expired or was made anew. Nobody may guess here."""


class Gate(ConsumerRebalanceListener):  # type: ignore[misc]
    """Marks in callbacks, opens in the loop."""

    def __init__(self, database: Database, inbox: Inbox) -> None:
        self._database = database
        self._inbox = inbox
        self._closed: set[TopicPartition] = set()
        self._next: dict[TopicPartition, int] = {}

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Everything is assigned anew after this (the protocol is eager)."""
        self._closed.clear()
        self._next.clear()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._next.clear()
        self._closed = set(assigned)
        metrics.REBALANCES.labels(self._inbox.consumer).inc()

    def close(self, topic: str, partition: int) -> None:
        """Another owner moved this partition: read its offset again before anything else."""
        tp = TopicPartition(topic, partition)
        if self._next.pop(tp, None) is not None:
            self._closed.add(tp)

    @property
    def positions(self) -> dict[TopicPartition, int]:
        """The next offset to be admitted, by open partition."""
        return dict(self._next)

    async def open(self, consumer: AIOKafkaConsumer) -> None:
        """Open the closed partitions at their stored offsets. Raises LogMismatch, or a database's error."""
        while self._closed:
            tp = min(self._closed)
            offset = await self._stored(consumer, tp)
            if tp not in self._closed or tp not in consumer.assignment():
                self._closed.discard(tp)
                continue
            consumer.seek(tp, offset)
            self._closed.discard(tp)
            self._next[tp] = offset

    async def _stored(self, consumer: AIOKafkaConsumer, tp: TopicPartition) -> int:
        first = (await consumer.beginning_offsets([tp]))[tp]
        end = (await consumer.end_offsets([tp]))[tp]
        async with self._database.transaction() as session:
            offset = await self._inbox.read(session, tp.topic, tp.partition)
            if offset is None:
                await self._inbox.begin(session, tp.topic, tp.partition, first)
                offset = await self._inbox.read(session, tp.topic, tp.partition) or first
        if not first <= offset <= end:
            raise LogMismatch(
                f"{tp.topic}/{tp.partition}: the database is at offset {offset}, the log holds "
                f"{first} to {end}; see docs/runbook.md, 'The log and the database disagree'"
            )
        return offset

    def admit(self, fetched: dict[TopicPartition, list[Any]]) -> list[tuple[Any, int]]:
        """The records to apply, each with the stored offset that it must find. A gap in offsets is legal."""
        admitted: list[tuple[Any, int]] = []
        for tp, records in fetched.items():
            follows = self._next.get(tp)
            if follows is None:
                continue
            for record in records:
                if record.offset >= follows:
                    admitted.append((record, follows))
                    follows = record.offset + 1
            self._next[tp] = follows
        return admitted
