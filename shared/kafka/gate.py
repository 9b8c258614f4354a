"""Which records are ours to apply: the assignment gate.

aiokafka makes an assignment live before its callback runs, so records may arrive from wherever Kafka's
own committed offset happens to be. The callbacks only mark partitions; the loop reads the stored offset,
seeks, and opens the partition. Records of a closed partition, or below its next offset, are dropped.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
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
    """The stored offset is outside the log: its records expired, or the topic was made anew.

    An operator decides what to do; a guess could lose or repeat records.
    """


class Gate(ConsumerRebalanceListener):  # type: ignore[misc]
    """Knows which partitions are open, and which offset is next in each.

    A callback of Kafka's closes them; the consumer's loop opens them at the offset that the database holds.
    """

    def __init__(
        self, database: Database, inbox: Inbox, *, open_at: Mapping[TopicPartition, int] | None = None
    ) -> None:
        """`open_at`: partitions that are open from the start, each with its next offset."""
        self._database = database
        self._inbox = inbox
        self._closed: set[TopicPartition] = set()
        self._next: dict[TopicPartition, int] = dict(open_at or {})
        self._not_before: dict[TopicPartition, float] = {}
        self.generation = 0
        """Rises whenever a partition closes. Records that were admitted before may not be applied then."""

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Close all: every partition is assigned anew after this, because the protocol is eager."""
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
        """Close partitions whose stored offset another may have moved: it is read before they open again."""
        self.generation += 1
        for tp in partitions:
            if self._next.pop(tp, None) is not None:
                self._closed.add(tp)

    def close_all(self) -> None:
        self.close(list(self._next))

    async def open(self, consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
        """Open the closed partitions whose leader answers, and return their stored offsets.

        Raises LogMismatch or an error of the database's; an error of the broker's only when no leader answers
        and no partition is open. After an error all of them stay closed.
        """
        leaders = self._waiting(consumer)
        if not leaders:
            return {}
        # In this order: another member may move a stored offset on, but not past an end that is read later.
        first = await self._offsets(consumer.beginning_offsets, leaders)
        async with asyncio.timeout(_ASK_SECONDS):
            stored = await self._stored(first)
        end = await self._offsets(consumer.end_offsets, [tps & first.keys() for tps in leaders])
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
        """The closed partitions, a set for each leader, so that a leader that is away delays only its own."""
        now = asyncio.get_running_loop().time()
        leaders: dict[int, set[TopicPartition]] = defaultdict(set)
        for tp in self._closed:
            leader = leader_of(consumer, tp)
            # Without a leader there is no broker to ask; the client looks for one meanwhile.
            if leader is not None and self._not_before.get(tp, 0.0) <= now:
                leaders[leader].add(tp)
        return list(leaders.values())

    async def _offsets(
        self,
        request: Callable[[set[TopicPartition]], Awaitable[dict[TopicPartition, int]]],
        leaders: Iterable[set[TopicPartition]],
    ) -> dict[TopicPartition, int]:
        """Send the request to each leader; returns the offsets of those that answer within 5 s.

        The others are asked again after 15 s. Raises their error only when no leader answers and no partition
        is open: the records of an open one must not wait for a broker that stands still.
        """

        async def ask(tps: set[TopicPartition]) -> dict[TopicPartition, int]:
            async with asyncio.timeout(_ASK_SECONDS):
                return await request(tps)

        requests = [tps for tps in leaders if tps]
        answers = await asyncio.gather(*map(ask, requests), return_exceptions=True)
        offsets: dict[TopicPartition, int] = {}
        errors = []
        later = asyncio.get_running_loop().time() + _ASK_AGAIN_SECONDS
        for tps, answer in zip(requests, answers, strict=True):
            if not isinstance(answer, BaseException):
                offsets |= answer
                continue
            errors.append(answer)
            self._not_before.update(dict.fromkeys(tps, later))
            _log.warning("gate.leader_does_not_answer", partitions=len(tps), exc_info=answer)
        if errors and not offsets and not self._next:
            self._not_before.clear()
            raise errors[0]
        return offsets

    async def _stored(self, first: dict[TopicPartition, int]) -> dict[TopicPartition, int]:
        """The stored offsets; for a partition that this group never read, store the log's first offset."""
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
        """The records to apply, each with the offset that must be stored then. A gap in offsets is legal.

        Records of a closed partition, and those below the next offset, are left out.
        """
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
