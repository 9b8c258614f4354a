"""Send to Kafka what the database holds for it: states by a publisher, facts by a relay.

Each is run by one replica, under a lease. After a crash between sending and marking the same is sent again:
consumers ignore a state with a lower `seq`, and a fact whose id they know.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from shared.db import Database, Lease, Outbox, Session
from shared.events import Event, encode
from shared.events.envelope import Headers
from shared.jobs.rounds import LeasedJob, backoff
from shared.kafka.producer import NotAcknowledged, Producer
from shared.ops import metrics

_APART_SECONDS = 0.25
"""From the start of one round to the next: under load every batch wakes the job, and readers of the topic
would get many small batches."""


@dataclass(frozen=True, slots=True)
class State:
    """A row whose latest state was not published yet. `id` is whatever the source needs to mark it.

    `ends`: a record without a value follows the event, so that compaction removes the key.
    """

    id: object
    seq: int
    event: Event
    traceparent: str = ""
    ends: bool = False


class StateSource(Protocol):
    """Rows that are an outbox themselves: `seq > published_seq` is still to be published."""

    async def prepare(self, session: Session) -> None:
        """Compute the state of rows that an event or the time has changed since. Runs under the lease."""

    async def unpublished(self, session: Session, limit: int) -> list[State]:
        """The oldest unpublished states, at most one of a key, and none whose interval is not over yet."""

    async def published(self, session: Session, states: Sequence[State]) -> None:
        """Mark these states as published."""

    async def unpublish(self, session: Session, states: Sequence[State]) -> None:
        """Mark the newest states of these keys as not published, so that they are sent again."""


class _Publishing(LeasedJob):
    """A job under a lease that sends, soon after somebody wakes it or by the clock."""

    def __init__(self, database: Database, lease: Lease, idle_seconds: float) -> None:
        super().__init__(database, lease, every_seconds=idle_seconds, apart_seconds=_APART_SECONDS)

    def failed(self, failures: int) -> float:
        return backoff(failures)

    def idle(self) -> None:
        """Show no backlog: only the owner of the lease knows it, and our last value would stay."""
        metrics.OUTBOX_PENDING.set(0)
        metrics.OUTBOX_AGE.set(0)


class StatePublisher(_Publishing):
    """Publishes the states of a StateSource. `name` is the service, the source of the events."""

    def __init__(
        self,
        database: Database,
        lease: Lease,
        producer: Producer,
        source: StateSource,
        *,
        name: str,
        idle_seconds: float = 0.5,
        batch: int = 500,
    ) -> None:
        super().__init__(database, lease, idle_seconds)
        self._producer = producer
        self._source = source
        self._name = name
        self._batch = batch

    async def work(self) -> bool:
        async with self._database.transaction() as session:
            await self._source.prepare(session)
        async with self._database.transaction() as session:
            states = await self._source.unpublished(session, self._batch)
        if not states or not self._lease.held:
            return False
        sent = await self._send(states)
        if not self._lease.held:
            # The lease was lost while sending: a new owner may have sent newer states before ours arrived,
            # also before those whose sending failed but that reach the log after all.
            async with self._database.transaction() as session:
                await self._source.unpublish(session, states)
            return False
        async with self._database.transaction() as session:
            await self._source.published(session, sent)
        return len(states) == self._batch and bool(sent)

    async def _send(self, states: Sequence[State]) -> list[State]:
        waiting: list[Awaitable[None]] = []
        for state in states:
            key, body, headers = encode(state.event, source=self._name, traceparent=state.traceparent)
            sending = self._producer.send(state.event.topic.name, key, body, headers)
            waiting.append(self._and_end(sending, state, key, headers) if state.ends else sending)
        results = await asyncio.gather(*waiting, return_exceptions=True)
        sent = []
        for state, result in zip(states, results, strict=True):
            outcome = "failed" if isinstance(result, BaseException) else "published"
            metrics.OUTBOX_PUBLISHED.labels(state.event.topic.name, outcome).inc()
            if not isinstance(result, BaseException):
                sent.append(state)
        return sent

    async def _and_end(self, sending: Awaitable[None], state: State, key: bytes, headers: Headers) -> None:
        """Wait for the state, then send the record without a value."""
        await sending
        await self._producer.send(state.event.topic.name, key, None, headers)


class OutboxRelay(_Publishing):
    """Sends the facts of an outbox; those of one key in their order. `name` is the service."""

    def __init__(
        self,
        database: Database,
        lease: Lease,
        producer: Producer,
        outbox: Outbox,
        *,
        name: str,
        idle_seconds: float = 0.5,
        batch: int = 500,
    ) -> None:
        super().__init__(database, lease, idle_seconds)
        self._producer = producer
        self._outbox = outbox
        self._name = name
        self._batch = batch

    async def work(self) -> bool:
        async with self._database.transaction() as session:
            facts = await self._outbox.oldest(session, self._batch)
            pending, oldest = await self._outbox.backlog(session)
        metrics.OUTBOX_PENDING.set(pending)
        metrics.OUTBOX_AGE.set((datetime.now(UTC) - oldest).total_seconds() if oldest else 0)
        if not facts or not self._lease.held:
            return False
        by_key: dict[bytes, list[int]] = {}
        for index, fact in enumerate(facts):
            by_key.setdefault(fact.key, []).append(index)
        sent: list[int] = []

        async def send_in_order(indexes: list[int]) -> None:
            for index in indexes:
                if not self._lease.held:
                    return
                fact = facts[index]
                try:
                    await self._producer.send(fact.topic, fact.key, fact.body, fact.headers(self._name))
                except NotAcknowledged:
                    metrics.OUTBOX_PUBLISHED.labels(fact.topic, "failed").inc()
                    return  # the next facts of this key wait, so that none overtakes this one
                metrics.OUTBOX_PUBLISHED.labels(fact.topic, "published").inc()
                sent.append(fact.id)

        await asyncio.gather(*(send_in_order(indexes) for indexes in by_key.values()))
        async with self._database.transaction() as session:
            await self._outbox.delete(session, sent)
        return len(facts) == self._batch and bool(sent)
