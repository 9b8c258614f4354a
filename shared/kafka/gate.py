"""Which records are ours to apply: the assignment gate.

aiokafka makes an assignment live before its callback runs, so records may arrive from wherever Kafka's
own committed offset happens to be. The callbacks only mark partitions; the loop reads the stored offset,
seeks, and opens the partition. Records of a closed partition, or below its next offset, are dropped.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from shared.db import Database, Inbox
from shared.kafka.aiokafka_internals import leader_of
from shared.ops import metrics
from shared.ops.logs import log

_log = log("kafka")

_ASK_SECONDS = 5.0
_ASK_AGAIN_SECONDS = 15.0


class LogMismatch(RuntimeError):
    """The stored offset is not within the log: the topic expired or was made anew. Nobody may guess here."""


class Gate(ConsumerRebalanceListener):  # type: ignore[misc]
    """Marks in callbacks, opens in the loop."""

    def __init__(self, database: Database, inbox: Inbox) -> None:
        self._database = database
        self._inbox = inbox
        self._closed: set[TopicPartition] = set()
        self._next: dict[TopicPartition, int] = {}
        self._not_before: dict[TopicPartition, float] = {}
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
        self._not_before.clear()
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
        """Open the closed partitions whose leader answers, and return their stored offsets.

        Raises LogMismatch, or an error of the database's, or of the broker's when no leader answers and none
        is open: then they stay closed.
        """
        leaders = self._waiting(consumer)
        if not leaders:
            return {}
        # In this order: another member may move a stored offset on, never past an end read later.
        first = await self._ask(consumer.beginning_offsets, leaders)
        async with asyncio.timeout(_ASK_SECONDS):
            stored = await self._stored(first)
        end = await self._ask(consumer.end_offsets, [tps & first.keys() for tps in leaders])
        # A rebalance meanwhile takes partitions away; one that came back is only read too early.
        opened = {tp: stored[tp] for tp in end.keys() & self._closed & consumer.assignment()}
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

    def _waiting(self, consumer: AIOKafkaConsumer) -> list[set[TopicPartition]]:
        """The closed partitions by leader: one that is away must not starve those of the others."""
        now = asyncio.get_running_loop().time()
        leaders: dict[int, set[TopicPartition]] = defaultdict(set)
        for tp in self._closed:
            leader = leader_of(consumer, tp)
            # Without a leader there is nobody to ask; the fetcher looks for one meanwhile.
            if leader is not None and self._not_before.get(tp, 0.0) <= now:
                leaders[leader].add(tp)
        return list(leaders.values())

    async def _ask(
        self,
        question: Callable[[set[TopicPartition]], Awaitable[dict[TopicPartition, int]]],
        leaders: Iterable[set[TopicPartition]],
    ) -> dict[TopicPartition, int]:
        """What the leaders answer; who does not is asked again later.

        Raises when nobody does and none is open: as long as one is, its records must not wait for a broker
        that stands still.
        """

        async def ask(tps: set[TopicPartition]) -> dict[TopicPartition, int]:
            async with asyncio.timeout(_ASK_SECONDS):
                return await question(tps)

        asked = [tps for tps in leaders if tps]
        answers = await asyncio.gather(*map(ask, asked), return_exceptions=True)
        found: dict[TopicPartition, int] = {}
        errors = []
        later = asyncio.get_running_loop().time() + _ASK_AGAIN_SECONDS
        for tps, answer in zip(asked, answers, strict=True):
            if not isinstance(answer, BaseException):
                found |= answer
                continue
            errors.append(answer)
            self._not_before.update(dict.fromkeys(tps, later))
            _log.warning("gate.leader_does_not_answer", partitions=len(tps), exc_info=answer)
        if errors and not found and not self._next:
            self._not_before.clear()
            raise errors[0]
        return found

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
