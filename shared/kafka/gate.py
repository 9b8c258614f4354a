"""Which records are ours to apply: the assignment gate.

aiokafka makes an assignment live before its callback runs, so records may arrive from wherever Kafka's
own committed offset happens to be. The callbacks only mark partitions; the loop reads the stored offset,
seeks, and opens the partition. Records of a closed partition, or below its next offset, are dropped.

The stored offset is one of a certain log: where Kafka has another under the topic's name, nothing opens.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar
from uuid import UUID

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from shared.db import Database, Inbox, StoredPlace
from shared.kafka.aiokafka_internals import client_of, leader_of
from shared.kafka.log_identity import LogMismatch, fault_of, made_anew, missing, topic_logs
from shared.ops import metrics
from shared.ops.logs import log

_log = log("kafka")

_ASK_SECONDS = 5.0
_ASK_AGAIN_SECONDS = 15.0


T = TypeVar("T")


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
        self._logs: dict[TopicPartition, UUID] = {}
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
        self._logs.clear()
        self._not_before.clear()
        self.generation += 1

    def close(self, partitions: Iterable[TopicPartition]) -> None:
        """Close partitions whose stored offset another may have moved: it is read before they open again."""
        self.generation += 1
        for tp in partitions:
            self._logs.pop(tp, None)
            if self._next.pop(tp, None) is not None:
                self._closed.add(tp)

    def close_all(self) -> None:
        self.close(list(self._next))

    @property
    def has_closed(self) -> bool:
        """Whether a partition that was assigned is not open."""
        return bool(self._closed)

    async def open(self, consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
        """Open the closed partitions whose leader answers, and return their stored offsets.

        Raises LogMismatch or an error of the database's; an error of the broker's only when no leader answers
        and no partition is open. After an error all of them stay closed.
        """
        leaders = self._waiting(consumer)
        if not leaders:
            return {}
        # In this order: another member may move a stored offset on, but not past an end that is read later.
        # The ids last: whatever was read before is of this log, or the id says that it is not.
        first = await self._ask(consumer.beginning_offsets, leaders)
        stored = await self._stored({tp.topic for tp in first})
        end = await self._ask(consumer.end_offsets, [tps & first.keys() for tps in leaders])
        logs = await self._ask(
            lambda tps: self._logs_of(consumer, tps), [tps & end.keys() for tps in leaders]
        )
        # A rebalance meanwhile takes partitions away; one that came back is only read too early.
        waiting = sorted(logs.keys() & self._closed & consumer.assignment())
        faults: dict[str, str] = {}
        for tp in waiting:
            known = {place.topic_id for (topic, _), place in stored.items() if topic == tp.topic}
            fault = fault_of(
                tp.topic,
                tp.partition,
                stored=stored.get((tp.topic, tp.partition)),
                known={topic_id for topic_id in known if topic_id},
                topic_id=logs[tp],
                first=first[tp],
                end=end[tp],
            )
            if fault:
                faults.setdefault(tp.topic, fault)
        if faults:
            raise LogMismatch(faults)
        ids = {tp: topic_id for tp in waiting if (topic_id := logs[tp])}
        offsets = await self._begun(stored, first, ids)
        ours = {tp: offsets[tp] for tp in offsets.keys() & self._closed & consumer.assignment()}
        for tp, offset in ours.items():
            consumer.seek(tp, offset)
            self._closed.discard(tp)
            self._next[tp] = offset
            self._logs[tp] = ids[tp]
        return ours

    async def compare(self, consumer: AIOKafkaConsumer, topics: Collection[str]) -> None:
        """Raise LogMismatch when one of these topics is gone, or is another log than the group has stored.

        Also for partitions that this member does not read: a topic that was deleted leaves no partition at
        all. Each broker that leads an open partition is asked; one that does not answer says nothing. Raises
        errors of the database's.
        """
        async with asyncio.timeout(_ASK_SECONDS), self._database.transaction() as session:
            stored = await self._inbox.places(session, topics)
        client = client_of(consumer)
        faults: dict[str, str] = {}
        for broker in {leader_of(consumer, tp) for tp in self._logs} or {None}:
            try:
                async with asyncio.timeout(_ASK_SECONDS):
                    logs = await topic_logs(client, topics, broker=broker)
            except (KafkaError, TimeoutError):
                continue
            for topic in topics:
                if topic not in logs:
                    faults[topic] = missing(topic)
                elif not consumer.partitions_for_topic(topic):
                    client.force_metadata_update()  # it is there again, and nobody has told this client
            for (topic, _), place in stored.items():
                if place.topic_id and topic in logs and logs[topic].topic_id != place.topic_id:
                    faults[topic] = made_anew(topic, place.topic_id, logs[topic].topic_id)
        if faults:
            raise LogMismatch(faults)

    @staticmethod
    async def _logs_of(
        consumer: AIOKafkaConsumer, tps: set[TopicPartition]
    ) -> dict[TopicPartition, UUID | None]:
        """The log of each partition as its leader knows it, which leads all of these; None: it has none."""
        leader = leader_of(consumer, next(iter(tps)))
        logs = await topic_logs(client_of(consumer), {tp.topic for tp in tps}, broker=leader)
        return {tp: logs[tp.topic].topic_id if tp.topic in logs else None for tp in tps}

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

    async def _ask(
        self,
        request: Callable[[set[TopicPartition]], Awaitable[dict[TopicPartition, T]]],
        leaders: Iterable[set[TopicPartition]],
    ) -> dict[TopicPartition, T]:
        """Send the request to each leader; returns the answers of those that answer within 5 s.

        The others are asked again after 15 s. Raises their error only when no leader answers and no partition
        is open: the records of an open one must not wait for a broker that stands still.
        """

        async def ask(tps: set[TopicPartition]) -> dict[TopicPartition, T]:
            async with asyncio.timeout(_ASK_SECONDS):
                return await request(tps)

        requests = [tps for tps in leaders if tps]
        replies = await asyncio.gather(*map(ask, requests), return_exceptions=True)
        answers: dict[TopicPartition, T] = {}
        errors = []
        later = asyncio.get_running_loop().time() + _ASK_AGAIN_SECONDS
        for tps, reply in zip(requests, replies, strict=True):
            if not isinstance(reply, BaseException):
                answers |= reply
                continue
            errors.append(reply)
            self._not_before.update(dict.fromkeys(tps, later))
            _log.warning("gate.leader_does_not_answer", partitions=len(tps), exc_info=reply)
        if errors and not answers and not self._next:
            self._not_before.clear()
            raise errors[0]
        return answers

    async def _stored(self, topics: set[str]) -> dict[tuple[str, int], StoredPlace]:
        """Where the group is in these topics, by (topic, partition)."""
        async with asyncio.timeout(_ASK_SECONDS), self._database.transaction() as session:
            return await self._inbox.places(session, topics)

    async def _begun(
        self,
        stored: Mapping[tuple[str, int], StoredPlace],
        first: Mapping[TopicPartition, int],
        logs: Mapping[TopicPartition, UUID],
    ) -> dict[TopicPartition, int]:
        """The offset of each partition of `logs`. Stores the log's first one where this group never read, and
        the log's id where an older release stored an offset alone.
        """
        offsets = {}
        without_log = []
        for tp in logs:
            place = stored.get((tp.topic, tp.partition))
            offsets[tp] = first[tp] if place is None else place.next_offset
            if place is None or place.topic_id is None:
                without_log.append(tp)
        if without_log:
            async with asyncio.timeout(_ASK_SECONDS), self._database.transaction() as session:
                for tp in without_log:
                    await self._inbox.begin(session, tp.topic, tp.partition, offsets[tp], logs[tp])
        return offsets

    def admit(self, fetched: dict[TopicPartition, list[Any]]) -> list[tuple[Any, int, UUID | None]]:
        """The records to apply, each with the offset that must be stored then, and the log that it is of.

        A gap in offsets is legal. Records of a closed partition, and those below the next offset, are left
        out.
        """
        admitted: list[tuple[Any, int, UUID | None]] = []
        for tp, records in fetched.items():
            follows = self._next.get(tp)
            if follows is None:
                continue
            for record in records:
                offset = record.offset
                if offset >= follows:
                    admitted.append((record, follows, self._logs.get(tp)))
                    follows = offset + 1
            self._next[tp] = follows
        return admitted
