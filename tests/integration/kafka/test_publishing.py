"""What the database holds for others reaches the log: at least once, in order, by one owner."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from prometheus_client import REGISTRY
from sqlalchemy import text

from deploy.local.stack import LocalStack
from shared.db import Database, Lease, Outbox, Session
from shared.kafka import NotAcknowledged, OutboxRelay, Producer, State, StatePublisher
from tests.integration.kafka.toy_group import Group, eventually


@dataclass
class Source:
    """States of a toy group: `amount` is the sequence number."""

    group: Group
    marking_fails: int = 0
    prepared: int = 0
    sent_again: list[int] = field(default_factory=list)

    async def prepare(self, session: Session) -> None:
        self.prepared += 1

    async def unpublished(self, session: Session, limit: int) -> list[State]:
        rows = await session.execute(
            text(f"SELECT id, seq FROM {self.group.schema}.states WHERE seq > told ORDER BY id LIMIT {limit}")
        )
        return [
            State(name, seq, self.group.event(store="s", id=name, amount=seq))  # type: ignore[call-arg]
            for name, seq in rows
        ]

    async def published(self, session: Session, states: Sequence[State]) -> None:
        if self.marking_fails:
            self.marking_fails -= 1
            raise ConnectionResetError
        for state in states:
            await session.execute(
                text(f"UPDATE {self.group.schema}.states SET told = greatest(told, :seq) WHERE id = :id"),
                {"id": state.id, "seq": state.seq},
            )

    async def unpublish(self, session: Session, states: Sequence[State]) -> None:
        self.sent_again += [state.seq for state in states]
        for state in states:
            await session.execute(
                text(f"UPDATE {self.group.schema}.states SET told = 0 WHERE id = :id"), {"id": state.id}
            )


@dataclass
class Parts:
    """What a publisher needs, and what a test wants to see."""

    group: Group
    database: Database
    producer: Producer

    def lease(self, name: str = "job", **options: float) -> Lease:
        return Lease(self.database, self.group.schema, name, **options)

    def publisher(
        self, source: Source, producer: Any = None, lease: Lease | None = None, batch: int = 500
    ) -> StatePublisher:
        return StatePublisher(
            self.database,
            lease or self.lease(),
            producer or self.producer,
            source,
            name="test",
            idle_seconds=0.05,
            batch=batch,
        )

    def relay(self, producer: Any = None, lease: Lease | None = None) -> OutboxRelay:
        outbox = Outbox(self.group.schema)
        return OutboxRelay(
            self.database,
            lease or self.lease(),
            producer or self.producer,
            outbox,
            name="test",
            idle_seconds=0.05,
        )

    async def state(self, name: str, seq: int) -> None:
        async with self.group.sql() as db:
            await db.execute(
                f"INSERT INTO {self.group.schema}.states VALUES ($1, $2, 0)"
                " ON CONFLICT (id) DO UPDATE SET seq = excluded.seq",
                name,
                seq,
            )

    async def facts(self, *names: str) -> None:
        """Facts of one key each, the key being the name's first letter."""
        async with self.database.transaction() as session:
            for name in names:
                await Outbox(self.group.schema).put(
                    session, Keyed.of(self.group, name), traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01"
                )

    async def waiting(self) -> int:
        return int(await self.group.value("SELECT count(*) FROM {s}.outbox"))

    async def untold(self) -> int:
        return int(await self.group.value("SELECT count(*) FROM {s}.states WHERE seq > told"))


class Keyed:
    """A fact whose key is the first letter of its id."""

    @staticmethod
    def of(group: Group, name: str) -> Any:
        event = group.event(store="s", id=name)  # type: ignore[call-arg]
        keyed = type("Keyed", (type(event),), {"subject": lambda self: (self.id[0],)})
        return keyed(store="s", id=name)


@pytest.fixture
async def parts(group: Group) -> AsyncIterator[Parts]:
    async with group.sql() as db:
        await db.execute(f"CREATE TABLE {group.schema}.states (id text PRIMARY KEY, seq int, told int)")
    database, producer = Database(group.url, pool_size=4), Producer(group.bootstrap)
    await producer.start((group.topic,))
    yield Parts(group, database, producer)
    await producer.stop()
    await database.close()


def pending() -> float | None:
    return REGISTRY.get_sample_value("closeloop_outbox_pending_records")


class Running:
    """Jobs that run for the length of a block."""

    def __init__(self, *jobs: StatePublisher | OutboxRelay) -> None:
        self._jobs = jobs

    async def __aenter__(self) -> None:
        self._loops = [asyncio.create_task(job.run()) for job in self._jobs]

    async def __aexit__(self, *_: object) -> None:
        for job in self._jobs:
            await job.stop()
        async with asyncio.timeout(8):
            await asyncio.gather(*self._loops)


async def log_of(group: Group) -> list[tuple[str, int, str]]:
    """(id, amount, event id) of all that is in the log, partition by partition."""
    client = AIOKafkaConsumer(bootstrap_servers=group.bootstrap, auto_offset_reset="earliest")
    await client.start()
    try:
        places = [TopicPartition(group.topic, p) for p in range(group.partitions)]
        client.assign(places)
        await client.seek_to_beginning(*places)
        missing = sum((await client.end_offsets(places)).values())
        found: list[tuple[str, int, str]] = []
        while len(found) < missing:
            for records in (await client.getmany(timeout_ms=1000)).values():
                for record in records:
                    event: Any = group.event.model_validate_json(record.value)
                    found.append((event.id, event.amount, dict(record.headers)["ce_id"].decode()))
        return found
    finally:
        await client.stop()


class TestStatePublisher:
    async def test_publishes_the_newest_state_once(self, parts: Parts) -> None:
        for n in range(20):
            await parts.state(f"key-{n}", n + 1)
        async with Running(parts.publisher(Source(parts.group))):
            await eventually(lambda: none(parts.untold))
            await parts.state("key-3", 99)
            await eventually(lambda: none(parts.untold))

        told = [(name, seq) for name, seq, _ in await log_of(parts.group)]
        assert sorted(told) == sorted([*((f"key-{n}", n + 1) for n in range(20)), ("key-3", 99)])

    async def test_sends_again_with_the_same_seq_after_a_crash_before_the_mark(self, parts: Parts) -> None:
        await parts.state("key", 7)
        async with Running(parts.publisher(Source(parts.group, marking_fails=1))):
            await eventually(lambda: none(parts.untold))

        assert [seq for _, seq, _ in await log_of(parts.group)] == [7, 7]

    async def test_has_one_owner(self, parts: Parts) -> None:
        sources = [Source(parts.group) for _ in range(3)]
        async with Running(*(parts.publisher(source) for source in sources)):
            for n in range(30):
                await parts.state(f"key-{n}", 1)
            await eventually(lambda: none(parts.untold))
            working = [source for source in sources if source.prepared]

        assert len(await log_of(parts.group)) == 30
        assert len(working) == 1

    async def test_leaves_what_was_not_acknowledged_for_the_next_round(
        self, parts: Parts, stack: LocalStack
    ) -> None:
        await parts.state("key", 7)
        impatient = Producer(parts.group.bootstrap, deadline_seconds=0.5)
        await impatient.start((parts.group.topic,))
        stack.kafka.pause()
        try:
            async with Running(parts.publisher(Source(parts.group), impatient)):
                await asyncio.sleep(1.5)
                assert await parts.untold() == 1
                stack.kafka.resume()
                await eventually(lambda: none(parts.untold))
        finally:
            stack.kafka.resume()
            await asyncio.to_thread(stack.kafka.wait_ready)
            await impatient.stop()

        assert {seq for _, seq, _ in await log_of(parts.group)} == {7}

    async def test_that_froze_while_sending_has_its_keys_told_again(self, parts: Parts) -> None:
        """Its heir may have told something newer in between: the last word must be the newest."""
        await parts.state("key", 7)
        source = Source(parts.group)

        class Slow(Faulty):
            async def send(self, *record: Any) -> None:
                await super().send(*record)
                if not source.sent_again:
                    await asyncio.sleep(0.6)

        lease = parts.lease(ttl_seconds=0.4, grace_seconds=0.1)
        async with Running(parts.publisher(source, Slow(parts.producer), lease)):
            await eventually(lambda: none(parts.untold) if source.sent_again else False)

        assert source.sent_again == [7]
        assert [seq for _, seq, _ in await log_of(parts.group)] == [7, 7]

    async def test_that_froze_has_also_what_failed_told_again(self, parts: Parts) -> None:
        """A send that was reported failed may land after its heir's."""
        await parts.state("key", 7)
        source = Source(parts.group)
        lease = parts.lease(ttl_seconds=0.4, grace_seconds=0.1)

        class FailsLate(Refusing):
            async def send(self, *record: Any) -> None:
                await asyncio.sleep(0.6)
                await super().send(*record)

        assert await lease.hold()
        await parts.publisher(source, FailsLate(), lease).work()

        assert source.sent_again == [7]

    async def test_rests_when_a_full_batch_of_sends_failed(self, parts: Parts) -> None:
        await parts.state("key", 7)
        lease = parts.lease()
        assert await lease.hold()
        assert await parts.publisher(Source(parts.group), Refusing(), lease, batch=1).work() is False
        assert await parts.publisher(Source(parts.group), parts.producer, lease, batch=1).work() is True

    async def test_hands_over_at_once_when_stopped(self, parts: Parts) -> None:
        async with Running(parts.publisher(Source(parts.group))):
            await parts.state("a", 1)
            await eventually(lambda: none(parts.untold))
        async with Running(parts.publisher(Source(parts.group))):
            await parts.state("b", 1)
            await eventually(lambda: none(parts.untold), within_seconds=5)

    async def test_is_woken_by_its_bell(self, parts: Parts) -> None:
        lease = parts.lease()
        publisher = StatePublisher(
            parts.database, lease, parts.producer, Source(parts.group), name="t", idle_seconds=300
        )
        async with Running(publisher):
            await eventually(lambda: lease.held)
            await asyncio.sleep(0.1)
            await parts.state("a", 1)
            publisher.ring()
            await eventually(lambda: none(parts.untold), within_seconds=10)


class Refusing:
    """A producer that is not connected."""

    async def send(self, *_: Any) -> None:
        raise NotAcknowledged("not connected yet")


class Faulty:
    """A producer that refuses the facts of these names, once each."""

    def __init__(self, producer: Producer, *names: str) -> None:
        self._producer = producer
        self._names = list(names)

    async def send(self, topic: str, key: bytes, value: bytes, headers: Any) -> None:
        for name in self._names:
            if f'"{name}"'.encode() in value:
                self._names.remove(name)
                raise NotAcknowledged("TimeoutError")
        await self._producer.send(topic, key, value, headers)


class TestOutboxRelay:
    async def test_sends_every_fact_in_the_order_of_its_key(self, parts: Parts) -> None:
        await parts.facts(*(f"{key}{n}" for n in range(20) for key in "abc"))
        async with Running(parts.relay()):
            await eventually(lambda: none(parts.waiting))

        sent = [name for name, _, _ in await log_of(parts.group)]
        for key in "abc":
            assert [name for name in sent if name[0] == key] == [f"{key}{n}" for n in range(20)]

    async def test_keeps_the_order_of_a_key_when_a_send_fails(self, parts: Parts) -> None:
        await parts.facts("a1", "a2", "a3", "b1", "b2")
        async with Running(parts.relay(Faulty(parts.producer, "a2"))):
            await eventually(lambda: none(parts.waiting))

        sent = [name for name, _, _ in await log_of(parts.group)]
        assert [name for name in sent if name[0] == "a"] == ["a1", "a2", "a3"]
        assert [name for name in sent if name[0] == "b"] == ["b1", "b2"]

    async def test_sends_again_with_the_same_event_id_after_a_crash_before_the_mark(
        self, parts: Parts, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await parts.facts("a1", "a2")
        delete, crashes = Outbox.delete, []

        async def crash_once(outbox: Outbox, session: Session, ids: Sequence[int]) -> None:
            if not crashes:
                crashes.append(1)
                raise ConnectionResetError
            await delete(outbox, session, ids)

        monkeypatch.setattr(Outbox, "delete", crash_once)
        async with Running(parts.relay()):
            await eventually(lambda: none(parts.waiting))

        sent = await log_of(parts.group)
        assert [name for name, _, _ in sent] == ["a1", "a2", "a1", "a2"]
        assert len({event_id for _, _, event_id in sent}) == 2

    async def test_has_one_owner(self, parts: Parts) -> None:
        async with Running(*(parts.relay() for _ in range(3))):
            await parts.facts(*(f"a{n}" for n in range(30)))
            await eventually(lambda: none(parts.waiting))

        assert [name for name, _, _ in await log_of(parts.group)] == [f"a{n}" for n in range(30)]

    async def test_sends_nothing_more_once_its_lease_ran_out(self, parts: Parts) -> None:
        await parts.facts("a1", "a2")
        lease = parts.lease(ttl_seconds=0.5, grace_seconds=0)

        class Slow(Faulty):
            async def send(self, *record: Any) -> None:
                await super().send(*record)
                await asyncio.sleep(0.7)

        assert await lease.hold()
        await parts.relay(Slow(parts.producer), lease).work()

        assert [name for name, _, _ in await log_of(parts.group)] == ["a1"]
        assert await parts.waiting() == 1

    async def test_tells_no_backlog_that_is_not_its_own(self, parts: Parts) -> None:
        """A replica that lost the lease would show for ever what it saw last."""
        await parts.facts("a1")
        lease = parts.lease()
        relay = parts.relay(Faulty(parts.producer, "a1"), lease)
        assert await lease.hold()
        await relay.work()
        assert pending() == 1
        other = parts.lease()
        await lease.release()
        assert await other.hold()
        async with Running(relay):
            await eventually(lambda: pending() == 0)
        await other.release()

    async def test_a_fact_of_a_transaction_that_did_not_commit_is_never_sent(self, parts: Parts) -> None:
        with pytest.raises(KeyError):
            async with parts.database.transaction() as session:
                await Outbox(parts.group.schema).put(session, Keyed.of(parts.group, "a1"), traceparent="")
                raise KeyError
        await parts.facts("a2")
        async with Running(parts.relay()):
            await eventually(lambda: none(parts.waiting))

        assert [name for name, _, _ in await log_of(parts.group)] == ["a2"]


async def none(count: Any) -> bool:
    return await count() == 0
