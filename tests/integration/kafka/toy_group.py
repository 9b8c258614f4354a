"""A consumer group of its own: one topic, one schema, a handler that counts ids and keeps a ledger."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar
from uuid import uuid4

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.record.util import calc_crc32c

from shared.db import Database, Inbox, Session, asyncpg_connection
from shared.db.service_tables import log_identity_v1, tables_v1
from shared.events import EVENTS, Event, Received, encode
from shared.events.topics import Topic
from shared.kafka import Applier, Consumer, Handler, OutcomeCounts, topics
from shared.kafka.consumer import group_client
from shared.kafka.producer import Batch, Connections
from shared.ops import metrics

Headers = list[tuple[str, bytes]]
Record = tuple[bytes | None, bytes | None, Headers]


def counted_on(topic_name: str) -> type[Event]:
    """An event type for that topic, known to `decode`."""

    class Counted(Event):
        type: ClassVar = f"counted.{topic_name}"
        topic: ClassVar = Topic(topic_name)

        id: str
        amount: int = 1
        text: str = ""

        def subject(self) -> tuple[str, ...]:
            return (self.id,)

    EVENTS[Counted.type] = Counted
    return Counted


@dataclass
class Group:
    """What the members of one test share; also rebuilt in a member's own process."""

    bootstrap: str
    url: str
    topic: str
    schema: str
    partitions: int = 2
    spoilt: set[str] = field(default_factory=set)
    """Ids at which the handler raises."""
    clients: list[AIOKafkaConsumer] = field(default_factory=list)
    """The clients of the members so far, the newest last."""

    def __post_init__(self) -> None:
        self.event = counted_on(self.topic)
        self.name = f"group-{self.schema}"
        self.inbox = Inbox(self.schema, self.name)

    @classmethod
    async def create(cls, bootstrap: str, url: str, *, partitions: int = 2) -> "Group":
        unique = uuid4().hex[:12]
        group = cls(bootstrap, url, f"test.{unique}", f"toy_{unique}", partitions)
        await group.make_topic()
        async with group.sql() as db:
            for statement in (*tables_v1(group.schema), *log_identity_v1(group.schema)):
                await db.execute(statement)
            await db.execute(f"CREATE TABLE {group.schema}.counted (id text PRIMARY KEY, amount int)")
            await db.execute(
                f"CREATE TABLE {group.schema}.ledger"
                " (n bigserial, id text, partition int, place bigint, member int)"
            )
        return group

    async def make_topic(self) -> None:
        await topics.make(self.bootstrap, [Topic(self.topic)], partitions=self.partitions)

    @contextlib.asynccontextmanager
    async def sql(self) -> AsyncIterator["asyncpg.Connection[Any]"]:
        connection = await asyncpg.connect(self.url, timeout=10)
        try:
            yield connection
        finally:
            connection.terminate()

    async def fetch(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        async with self.sql() as db:
            return [tuple(row) for row in await db.fetch(query.format(s=self.schema), *arguments)]

    async def value(self, query: str, *arguments: object) -> Any:
        return (await self.fetch(query, *arguments))[0][0]

    async def total(self) -> int:
        return int(await self.value("SELECT coalesce(sum(amount), 0) FROM {s}.counted"))

    async def offsets(self) -> dict[int, int]:
        return dict(await self.fetch("SELECT partition, next_offset FROM {s}.progress"))  # type: ignore[arg-type]

    async def applied(self) -> int:
        """Records behind the stored offsets."""
        return sum((await self.offsets()).values())

    async def set_offset(self, partition: int, offset: int) -> None:
        async with self.sql() as db:
            await db.execute(
                f"INSERT INTO {self.schema}.progress VALUES ($1, $2, $3, $4)"
                " ON CONFLICT (consumer, topic, partition) DO UPDATE SET next_offset = excluded.next_offset",
                self.name,
                self.topic,
                partition,
                offset,
            )

    async def places(self) -> list[tuple[int, int]]:
        """(partition, offset) of every application, in the order in which they were committed."""
        return await self.fetch("SELECT partition, place FROM {s}.ledger ORDER BY n")  # type: ignore[return-value]

    async def letters(self) -> list[tuple[int, int, str, str]]:
        return await self.fetch(  # type: ignore[return-value]
            'SELECT partition, "offset", reason, detail FROM {s}.dead_letters ORDER BY partition, "offset"'
        )

    def record(self, name: str, amount: int = 1, **fields: Any) -> Record:
        return encode(self.event(store="s", id=name, amount=amount, **fields), source="test")

    async def produce(self, records: Sequence[Record], partition: int | None = None) -> None:
        """Spread over the partitions, or all into one."""
        lanes: dict[int, list[Record]] = {}
        for number, record in enumerate(records):
            lanes.setdefault(number % self.partitions if partition is None else partition, []).append(record)
        client = AIOKafkaProducer(bootstrap_servers=self.bootstrap, acks="all", max_batch_size=500_000)
        await client.start()
        try:
            for lane, waiting in lanes.items():
                batch = client.create_batch()
                for key, value, headers in waiting:
                    if batch.append(timestamp=None, key=key, value=value, headers=headers) is None:
                        await (await client.send_batch(batch, self.topic, partition=lane))
                        batch = client.create_batch()
                        batch.append(timestamp=None, key=key, value=value, headers=headers)
                await (await client.send_batch(batch, self.topic, partition=lane))
        finally:
            await client.stop()

    async def produce_unreadable(self, partition: int = 0) -> None:
        """One record whose header's name is not UTF-8; the batch around it is sound."""

        class Unreadable(Batch):
            def encoded(self) -> bytes:
                content = super().encoded().replace(b"NAME", b"\xff\xfe\xfd\xfc")
                return content[:17] + calc_crc32c(content[21:]).to_bytes(4, "big") + content[21:]

        place = (self.topic, partition)
        batch = Unreadable(
            place, asyncio.get_running_loop(), deadline_seconds=10, retry_seconds=10, most_bytes=1000
        )
        batch.add(b"k", b"{}", [("NAME", b"x")])
        connections = Connections(self.bootstrap, request_timeout_seconds=5)
        try:
            await connections.open((self.topic,))
            assert await connections.produce(connections.leader(place), [batch]) == {place: None}
        finally:
            await connections.close()

    async def commit_to_kafka(self, offsets: dict[int, int]) -> None:
        """Move Kafka's own committed offsets, as nobody in the product would."""
        client = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, group_id=self.name, enable_auto_commit=False
        )
        await client.start()
        try:
            client.assign([TopicPartition(self.topic, p) for p in offsets])
            await client.commit({TopicPartition(self.topic, p): offset for p, offset in offsets.items()})
        finally:
            await client.stop()

    async def handle(self, session: Session, batch: Sequence[Received]) -> OutcomeCounts:
        """Count each id once; write every application into the ledger."""
        for received in batch:
            if received.event.id in self.spoilt:  # type: ignore[attr-defined]
                raise ValueError(f"cannot apply {received.event.text}")  # type: ignore[attr-defined]
        db = await asyncpg_connection(session)
        ids = [r.event.id for r in batch]  # type: ignore[attr-defined]
        amounts = [r.event.amount for r in batch]  # type: ignore[attr-defined]
        new = await db.fetch(
            f"INSERT INTO {self.schema}.counted SELECT DISTINCT ON (id) id, amount"
            " FROM unnest($1::text[], $2::int[]) AS x(id, amount) ORDER BY id"
            " ON CONFLICT DO NOTHING RETURNING id",
            ids,
            amounts,
        )
        await db.execute(
            f"INSERT INTO {self.schema}.ledger (id, partition, place, member)"
            " SELECT x.id, x.partition, x.place, $4"
            " FROM unnest($1::text[], $2::int[], $3::bigint[]) AS x(id, partition, place)",
            ids,
            [r.partition for r in batch],
            [r.offset for r in batch],
            os.getpid(),
        )
        return {(self.topic, "ok"): len(new), (self.topic, "duplicate"): len(batch) - len(new)}

    def consumer(self, database: Database, handler: Handler | None = None, **options: Any) -> Consumer:
        options.setdefault("session_timeout_seconds", 6)
        kafka_group = options.pop("kafka_group", self.name)
        metadata_max_age_seconds = options.pop("metadata_max_age_seconds", 60.0)

        def connect(bootstrap: str, _: str, *, session_timeout_seconds: float) -> AIOKafkaConsumer:
            client = group_client(
                bootstrap,
                kafka_group,
                session_timeout_seconds=session_timeout_seconds,
                metadata_max_age_seconds=metadata_max_age_seconds,
            )
            self.clients.append(client)
            return client

        return Consumer(
            self.bootstrap,
            (self.topic,),
            database=database,
            inbox=self.inbox,
            applier=Applier(database, self.inbox, {self.event: handler or self.handle}),
            connect=connect,
            **options,
        )

    def failures(self) -> float:
        """How many batches were put off so far."""
        return sum(
            sample.value
            for family in metrics.RETRIES.collect()
            for sample in family.samples
            if sample.labels.get("group") == self.name
        )

    @contextlib.asynccontextmanager
    async def member(self, *, url: str | None = None, **options: Any) -> AsyncIterator[Consumer]:
        """A running member with a pool of its own."""
        timeout = options.pop("statement_timeout_seconds", 10)
        database = Database(url or self.url, pool_size=4, statement_timeout_seconds=timeout)
        consumer = self.consumer(database, **options)
        loop = asyncio.create_task(consumer.run())
        try:
            yield consumer
        finally:
            await consumer.stop()
            try:
                async with asyncio.timeout(8):
                    await loop
            finally:
                await database.close()


async def eventually(
    check: Callable[[], Awaitable[object] | object], *, within_seconds: float = 60, what: str = ""
) -> None:
    """Wait until the check is true."""
    deadline = time.monotonic() + within_seconds
    while True:
        result = check()
        if asyncio.iscoroutine(result):
            result = await result
        if result:
            return
        if time.monotonic() > deadline:
            raise AssertionError(what or f"not within {within_seconds} s")
        await asyncio.sleep(0.03)
