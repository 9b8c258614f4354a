"""Which records are ours to apply: the assignment gate.

aiokafka makes an assignment live before its callback runs, so records may arrive from wherever Kafka's
own committed offset happens to be. The callbacks only mark partitions; the loop reads the stored offset,
seeks, and opens the partition. Records of a closed partition, or below its next offset, are dropped.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from shared.db import Database, Inbox
from shared.ops import metrics

_OPEN_SECONDS = 20.0


class LogMismatch(RuntimeError):
    """The stored offset is not within the log: the topic expired or was made anew. Nobody may guess here."""


class Gate(ConsumerRebalanceListener):  # type: ignore[misc]
    """Marks in callbacks, opens in the loop."""

    def __init__(self, database: Database, inbox: Inbox) -> None:
        self._database = database
        self._inbox = inbox
        self._closed: set[TopicPartition] = set()
        self._next: dict[TopicPartition, int] = {}
        self.generation = 0
        """Moves whenever a partition closes: what was admitted before may not follow on any more."""

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Everything is assigned anew after this (the protocol is eager)."""
        self._shut(())

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._shut(assigned)
        metrics.REBALANCES.labels(self._inbox.consumer).inc()

    def _shut(self, assigned: Iterable[TopicPartition]) -> None:
        self._closed = set(assigned)
        self._next.clear()
        self.generation += 1

    def close(self, partitions: Iterable[TopicPartition]) -> None:
        """The stored offset may have moved without us: read it again before anything else."""
        self.generation += 1
        for tp in partitions:
            if self._next.pop(tp, None) is not None:
                self._closed.add(tp)

    def close_all(self) -> None:
        self.close(list(self._next))

    async def open(self, consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
        """Open the closed partitions, and return their stored offsets.

        Raises LogMismatch, or an error of the database's or the broker's: then they stay closed.
        """
        waiting = set(self._closed)
        if not waiting:
            return {}
        async with asyncio.timeout(_OPEN_SECONDS):
            # In this order: another member may move a stored offset on, never past an end read later.
            first = await consumer.beginning_offsets(waiting)
            stored = await self._stored(first)
            end = await consumer.end_offsets(waiting)
        # A rebalance meanwhile takes partitions away; one that came back is only read too early.
        opened = {tp: stored[tp] for tp in waiting & self._closed & consumer.assignment()}
        for tp, offset in opened.items():
            if not first[tp] <= offset <= end[tp]:
                raise LogMismatch(
                    f"{tp.topic}/{tp.partition}: the database is at offset {offset}, the log holds "
                    f"{first[tp]} to {end[tp]}; see docs/runbook.md, 'The log and the database disagree'"
                )
        for tp, offset in opened.items():
            consumer.seek(tp, offset)
            self._closed.discard(tp)
            self._next[tp] = offset
        return opened

    async def _stored(self, first: dict[TopicPartition, int]) -> dict[TopicPartition, int]:
        """The stored offsets; a partition that this group never saw begins at the log's first offset."""
        async with self._database.transaction() as session:
            stored = {}
            for tp in sorted(first):
                offset = await self._inbox.read(session, tp.topic, tp.partition)
                if offset is None:
                    await self._inbox.begin(session, tp.topic, tp.partition, first[tp])
                    offset = await self._inbox.read(session, tp.topic, tp.partition)
                stored[tp] = first[tp] if offset is None else offset
            return stored

    def admit(self, fetched: dict[TopicPartition, list[Any]]) -> list[tuple[Any, int]]:
        """The records to apply, each with the stored offset that it must find. A gap in offsets is legal."""
        admitted: list[tuple[Any, int]] = []
        for tp, records in fetched.items():
            follows = self._next.get(tp)
            if follows is None:
                continue
            for record in records:
                offset = record.offset
                if offset >= follows:
                    admitted.append((record, follows))
                    follows = offset + 1
            self._next[tp] = follows
        return admitted
