"""Send records and know when all in-sync replicas have them.

Group commit: records that arrive while a broker works on a wave form the next wave, one batch for each
partition and one request for all, so that the load sets the size and a lone record waits for nothing. A
request of its own for each record, and a murmur2 in Python, would cost more than everything else together.

`Batch` holds records of one partition, `Wave` the batches that travel to one broker, `BatchQueues` those that
wait; `Connections` knows who leads a partition and sends one request for all batches of a wave;
`Acknowledgements` knows since when Kafka does not acknowledge; `Producer` is what callers hold.
"""

import asyncio
import contextlib
import math
import time
import zlib
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import cache

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    KafkaError,
    LeaderNotAvailableError,
    NodeNotReadyError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import TopicPartition

from shared.events.envelope import Headers
from shared.kafka.brokers import Brokers, client_options, closed
from shared.kafka.log_identity import TopicLog, topic_logs
from shared.ops import metrics
from shared.ops.health import NotReady, cancel_and_wait
from shared.ops.logs import log

_log = log("kafka")

Partition = tuple[str, int]
"""A topic and the number of one of its partitions."""

ErrorByPartition = dict[Partition, KafkaError | None]
"""What became of the batch of each partition; None: all in-sync replicas have it."""

REBUILD_AFTER_SECONDS = 10.0
_LATELY_SECONDS = 3.0
_ASK_AGAIN_SECONDS = 0.05
_TRY_AGAIN_SECONDS = 0.05
_SEVERAL_RECORDS = 4
_REST_SECONDS = 0.001
"""After a wave of several records, so that whom it answered may join the next: half as many requests."""

# What Kafka's protocol calls by these numbers.
_FORMAT = 2
_NO_COMPRESSION = _NO_TRANSACTION = 0
_NOBODY = _ALL_IN_SYNC = -1


class NotAcknowledged(Exception):
    """Kafka did not confirm within the deadline. The record may or may not be in the log."""


class TopicsMissing(UnknownTopicOrPartitionError):  # type: ignore[misc]
    """Kafka does not have these topics. `str()` is a sentence for operators."""

    def __init__(self, topics: Sequence[str]) -> None:
        super().__init__(", ".join(topics))
        self.topics = tuple(topics)

    def __str__(self) -> str:
        return f"Kafka lacks {', '.join(self.topics)}: `closeloop topics --create` makes what is missing"


class Batch:
    """Records of one partition. Each has a waiter of its own: a caller that gives up does not affect others.

    `deadline_seconds`: when the batch fails, from now. `retry_seconds`: how long a fault that may pass is
    retried.
    """

    __slots__ = (
        "_builder", "_closes_at", "_encoded", "_loop", "_stamp",
        "deadline", "partition", "retry_until", "timer", "waiters", "wave",
    )  # fmt: skip

    def __init__(
        self,
        partition: Partition,
        loop: asyncio.AbstractEventLoop,
        *,
        deadline_seconds: float,
        retry_seconds: float,
        most_bytes: int,
    ) -> None:
        now = loop.time()
        self.partition = partition
        self.deadline = now + deadline_seconds
        self.retry_until = now + retry_seconds
        self._closes_at = now + deadline_seconds / 2
        """A record that joins shares the deadline, so nothing joins a batch that has waited for long."""
        self.timer: asyncio.TimerHandle | None = None
        self.wave: Wave | None = None
        self.waiters: list[asyncio.Future[None]] = []
        self._loop = loop
        self._stamp = int(time.time() * 1000)
        self._encoded: bytes | None = None
        self._builder = DefaultRecordBatchBuilder(
            _FORMAT, _NO_COMPRESSION, _NO_TRANSACTION, _NOBODY, _NOBODY, 0, most_bytes
        )

    def add(self, key: bytes, value: bytes | None, headers: Headers) -> "asyncio.Future[None] | None":
        """Add a record; returns its waiter, or None when the batch is closed or full, which no new one is."""
        if self._closes_at < self._loop.time():
            return None
        if self._builder.append(len(self.waiters), self._stamp, key, value, headers) is None:
            return None
        waiter = self._loop.create_future()
        self.waiters.append(waiter)
        return waiter

    def encoded(self) -> bytes:
        """The batch in Kafka's format, the same bytes each time. No record can be added from now on."""
        if self._encoded is None:
            self._closes_at = -math.inf
            self._encoded = self._builder.build()
        return self._encoded

    def acknowledged(self) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)

    def failed(self, reason: str) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                # One exception each: a shared one would grow a traceback with every waiter.
                waiter.set_exception(NotAcknowledged(reason))
                waiter.exception()  # its owner may be gone; that is not worth a warning


class Wave:
    """Batches on their way to one broker, which takes no further wave before all of them have landed."""

    __slots__ = ("batches", "broker", "records", "started", "task", "unsettled")

    def __init__(self, broker: int | None, batches: list[Batch]) -> None:
        self.broker = broker
        self.batches = batches
        self.unsettled = set(batches)
        self.started = time.monotonic()
        self.task: asyncio.Task[None] | None = None
        self.records = sum(len(batch.waiters) for batch in batches)
        for batch in batches:
            batch.wave = self


class BatchQueues:
    """Batches that wait to be sent, in one queue for each partition. There is no empty queue."""

    def __init__(self) -> None:
        self._queues: dict[Partition, deque[Batch]] = {}

    def __bool__(self) -> bool:
        return bool(self._queues)

    def partitions(self) -> list[Partition]:
        return list(self._queues)

    def last(self, partition: Partition) -> Batch | None:
        queue = self._queues.get(partition)
        return queue[-1] if queue else None

    def append(self, batch: Batch) -> None:
        self._queues.setdefault(batch.partition, deque()).append(batch)

    def prepend(self, batch: Batch) -> None:
        """Put a batch that was tried already before the others, whose records came later."""
        self._queues.setdefault(batch.partition, deque()).appendleft(batch)

    def pop_first(self, partition: Partition) -> Batch:
        batch = self._queues[partition][0]
        self.remove(batch)
        return batch

    def remove(self, batch: Batch) -> None:
        queue = self._queues[batch.partition]
        queue.remove(batch)
        if not queue:
            del self._queues[batch.partition]

    def clear(self) -> list[Batch]:
        """Take all batches out and return them."""
        batches = [batch for queue in self._queues.values() for batch in queue]
        self._queues.clear()
        return batches


class Connections:
    """Who leads a partition, and one request for all batches of a broker.

    aiokafka's client without its producer, which keeps timers and futures for each partition of a request:
    they cost more than the request itself. Idempotence stays off: aiokafka 0.14 hangs with it when the broker
    is gone (#1101), and a repeat is harmless here, because consumers count by response id.
    """

    def __init__(self, bootstrap: str | Brokers, *, request_timeout_seconds: float) -> None:
        self._timeout_seconds = request_timeout_seconds
        self._timeout_ms = int(request_timeout_seconds * 1000)
        self._client = AIOKafkaClient(
            **client_options(bootstrap),
            request_timeout_ms=self._timeout_ms,
            retry_backoff_ms=50,
            metadata_max_age_ms=60_000,
        )

    async def open(self, topics: Sequence[str]) -> dict[str, int]:
        """Connect, and learn the partition counts. Raises KafkaError, also when a topic does not exist."""
        await self._client.bootstrap()
        self._client.set_topics(topics)
        known: dict[str, set[int] | None] = {}
        try:
            async with asyncio.timeout(self._timeout_seconds):
                while True:
                    await self._client.force_metadata_update()
                    known = {topic: self._client.cluster.partitions_for_topic(topic) for topic in topics}
                    counts = {topic: len(partitions) for topic, partitions in known.items() if partitions}
                    if len(counts) == len(known):
                        return counts
                    await asyncio.sleep(_ASK_AGAIN_SECONDS)
        except TimeoutError:
            missing = [topic for topic, partitions in known.items() if not partitions]
            raise TopicsMissing(missing or topics) from None

    def brokers(self) -> set[int]:
        """The ids of all brokers that the metadata names."""
        return {broker.nodeId for broker in self._client.cluster.brokers()}

    def leader(self, partition: Partition) -> int | None:
        """The broker that takes the partition's records; None while there is none."""
        leader = self._client.cluster.leader_for_partition(TopicPartition(*partition))
        return leader if isinstance(leader, int) and leader >= 0 else None

    async def produce(self, broker: int | None, batches: Sequence[Batch]) -> ErrorByPartition:
        """Send the batches in one request with `acks=all` and return what became of each.

        `broker` None: nobody leads these partitions now; all fail, and the metadata is read again.
        """
        try:
            if broker is None:
                raise LeaderNotAvailableError
            response = await self._client.send(broker, _request(batches, self._timeout_ms))
        except KafkaError as error:
            errors: ErrorByPartition = {batch.partition: error for batch in batches}
        else:
            errors = {batch.partition: KafkaError("not in the answer") for batch in batches}
            for topic, partitions in response.topics:
                for number, code, *_ in partitions:
                    errors[topic, number] = for_code(code)() if code else None
        if any(error is not None and error.invalid_metadata for error in errors.values()):
            self._client.force_metadata_update()
        return errors

    async def logs(self, topics: Sequence[str]) -> dict[str, TopicLog]:
        """The logs of those topics that exist. Raises KafkaError."""
        return await topic_logs(self._client, topics)

    async def ping(self) -> None:
        """Ask a broker for the metadata. Raises KafkaError when none answers."""
        await self._client.fetch_all_metadata()

    async def close(self, *, within_seconds: float = 2.0) -> None:
        """Close the connections, whatever state the brokers are in. Raises nothing."""
        await closed(self._client, within_seconds=within_seconds)


def _request(batches: Sequence[Batch], timeout_ms: int) -> ProduceRequest:
    topics: dict[str, list[tuple[int, bytes]]] = {}
    for batch in batches:
        topic, number = batch.partition
        topics.setdefault(topic, []).append((number, batch.encoded()))
    return ProduceRequest(
        transactional_id=None, required_acks=_ALL_IN_SYNC, timeout=timeout_ms, topics=list(topics.items())
    )


class Acknowledgements:
    """When Kafka last acknowledged something, and since when it does not."""

    def __init__(self) -> None:
        self._failing_since: float | None = None
        self._failed_at = self._acknowledged_at = -math.inf

    def acknowledged(self) -> None:
        self._failing_since = None
        self._acknowledged_at = time.monotonic()

    def failed(self) -> bool:
        """Note a batch that failed. True when nothing was acknowledged for 10 s, then 10 s later again."""
        self._failed_at = now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        elif now - self._failing_since > REBUILD_AFTER_SECONDS:
            self._failing_since = now
            return True
        return False

    def are_recent(self) -> bool:
        """Whether Kafka acknowledged something within 3 s. Raises NotReady when the last batch failed."""
        lately = time.monotonic() - _LATELY_SECONDS
        if self._failed_at > max(lately, self._acknowledged_at):
            raise NotReady("Kafka does not acknowledge")
        return self._acknowledged_at > lately


class Producer:
    """Sends with `acks=all`. Every send has a deadline of its own, time in the queue included."""

    def __init__(
        self,
        bootstrap: str | Brokers,
        *,
        deadline_seconds: float = 8.0,
        request_timeout_seconds: float = 5.0,
        batch_bytes: int = 128 * 1024,
        connect: Callable[..., Connections] = Connections,
    ) -> None:
        """`connect`: makes the connections, as `Connections` does."""
        self._bootstrap = bootstrap
        self._deadline = deadline_seconds
        self._request_timeout = request_timeout_seconds
        self._batch_bytes = batch_bytes
        self._connect = connect
        self._waiting = BatchQueues()
        self._busy: set[Partition] = set()
        self._brokers_at_work: set[int | None] = set()
        self._flush_is_due = False
        self._idle: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop
        self._partitions: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._duration = cache(metrics.PRODUCE_DURATION.labels)
        self._connections: Connections | None = None
        self._acknowledgements = Acknowledgements()
        self._learning = False
        self._stopping = False

    async def start(self, topics: tuple[str, ...]) -> None:
        """Connect, and learn the partition counts. Raises when a topic does not exist."""
        self._loop = asyncio.get_running_loop()
        self._connections, self._partitions = await self._connected(topics)

    async def _connected(self, topics: tuple[str, ...]) -> tuple[Connections, dict[str, int]]:
        connections = self._connect(self._bootstrap, request_timeout_seconds=self._request_timeout)
        try:
            return connections, await connections.open(topics)
        except BaseException:
            await connections.close()
            raise

    async def stop(self, within_seconds: float = 3.0) -> None:
        """Wait for the batches that wait or are on their way, at most so long; the rest fails."""
        if self._brokers_at_work or self._waiting:
            self._idle = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_seconds):
                    await self._idle.wait()
        self._stopping = True
        for batch in self._waiting.clear():
            batch.failed("Stopped")
            if batch.timer is not None:
                batch.timer.cancel()
        await cancel_and_wait(*self._tasks, within_seconds=1)
        if self._connections is not None:
            await self._connections.close(within_seconds=1)

    def send(self, topic: str, key: bytes, value: bytes | None, headers: Headers) -> Awaitable[None]:
        """Queue a record at once; await the result for the acknowledgement. No value: the end of a key.

        Raises NotAcknowledged at the deadline or when Kafka refused. A cancelled await does not
        cancel the record.
        """
        if topic not in self._partitions:
            raise NotAcknowledged("not connected yet")
        partition = (topic, zlib.crc32(key) % self._partitions[topic])
        batch = self._waiting.last(partition)
        waiter = batch.add(key, value, headers) if batch is not None else None
        return waiter or self._begin(partition, key, value, headers)

    def _begin(
        self, partition: Partition, key: bytes, value: bytes | None, headers: Headers
    ) -> Awaitable[None]:
        """Begin a batch with its first record. Raises NotAcknowledged when the record is too large."""
        batch = Batch(
            partition,
            self._loop,
            deadline_seconds=self._deadline,
            retry_seconds=self._request_timeout,
            most_bytes=self._batch_bytes,
        )
        if (waiter := batch.add(key, value, headers)) is None:
            raise NotAcknowledged("larger than a batch")
        batch.timer = self._loop.call_at(batch.deadline, self._expired, batch)
        self._waiting.append(batch)
        self._flush_soon()
        return waiter

    def _flush_soon(self) -> None:
        if not self._flush_is_due:
            self._flush_is_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Send a wave to each broker that has none, of the first batch of each partition that has none."""
        self._flush_is_due = False
        connections = self._connections
        if connections is None:
            return
        by_broker: dict[int | None, list[Batch]] = {}
        for partition in self._waiting.partitions():
            if partition in self._busy:
                continue
            broker = connections.leader(partition)
            if broker not in self._brokers_at_work:
                by_broker.setdefault(broker, []).append(self._waiting.pop_first(partition))
        for broker, batches in by_broker.items():
            wave = Wave(broker, batches)
            self._brokers_at_work.add(broker)
            self._busy.update(batch.partition for batch in batches)
            wave.task = self._task(self._send_wave(wave, connections))

    async def _send_wave(self, wave: Wave, connections: Connections) -> None:
        """Send a wave; a batch whose fault may pass goes back to the head of its queue."""
        retried = []
        try:
            errors = await connections.produce(wave.broker, wave.batches)
            for batch in wave.batches:
                error = errors[batch.partition]
                if error is not None and error.retriable and batch.retry_until > self._loop.time():
                    retried.append(batch)
                else:
                    self._settle(wave, batch, error)
            if retried:
                await asyncio.sleep(_TRY_AGAIN_SECONDS)
                for batch in retried:
                    self._put_back(wave, batch)
        except BaseException as error:
            for batch in wave.batches:
                self._settle(wave, batch, error)
            raise

    def _put_back(self, wave: Wave, batch: Batch) -> None:
        if batch in wave.unsettled:  # otherwise its deadline has passed
            self._waiting.prepend(batch)
            self._leave(wave, batch)

    def _expired(self, batch: Batch) -> None:
        """The deadline of this batch has passed, whether it waits or is on its way. Others go on."""
        if (wave := batch.wave) is not None:
            self._settle(wave, batch, TimeoutError())
            if not wave.unsettled and wave.task is not None:
                wave.task.cancel()  # nobody waits for it any more
            return
        self._waiting.remove(batch)
        self._refuse(batch, TimeoutError())
        self._note_idle()

    def _settle(self, wave: Wave, batch: Batch, error: BaseException | None) -> None:
        """Tell the waiters of a batch what became of it, once. `error` None: acknowledged."""
        if batch not in wave.unsettled:
            return
        if batch.timer is not None:
            batch.timer.cancel()
        if error is None:
            self._acknowledgements.acknowledged()
            self._duration(batch.partition[0]).observe(time.monotonic() - wave.started)
            batch.acknowledged()
        else:
            self._refuse(batch, error)
        self._leave(wave, batch)

    def _leave(self, wave: Wave, batch: Batch) -> None:
        """Take a batch out of its wave; after the last one the broker may get the next wave."""
        wave.unsettled.discard(batch)
        batch.wave = None
        self._busy.discard(batch.partition)
        if wave.unsettled:
            return
        if wave.records >= _SEVERAL_RECORDS:
            self._loop.call_later(_REST_SECONDS, self._free_broker, wave.broker)
        else:
            self._free_broker(wave.broker)

    def _free_broker(self, broker: int | None) -> None:
        self._brokers_at_work.discard(broker)
        self._note_idle()
        if self._waiting:
            self._flush_soon()

    def _refuse(self, batch: Batch, error: BaseException) -> None:
        metrics.PRODUCE_ERRORS.labels(batch.partition[0], type(error).__name__).inc()
        batch.failed(type(error).__name__)
        if isinstance(error, KafkaError) and error.invalid_metadata and not self._learning:
            self._learning = True
            self._task(self._learn_partitions())
        if self._acknowledgements.failed() and not self._stopping:
            self._task(self._rebuild())

    def _note_idle(self) -> None:
        if self._idle is not None and not self._waiting and not self._brokers_at_work:
            self._idle.set()

    def _task(self, work: Coroutine[object, object, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _learn_partitions(self) -> None:
        """A partition has no leader for long: perhaps its topic was made anew with fewer."""
        try:
            await self.logs(tuple(self._partitions))
        except (KafkaError, TimeoutError) as error:
            _log.info("producer.not_learned", exc_info=error)
        finally:
            self._learning = False

    async def _rebuild(self) -> None:
        """Replace connections that are stuck by fresh ones (aiokafka #1017)."""
        try:
            fresh, self._partitions = await self._connected(tuple(self._partitions))
        except KafkaError as error:
            _log.warning("producer.not_rebuilt", exc_info=error)
            return
        old, self._connections = self._connections, fresh
        _log.warning("producer.rebuilt")
        if old is not None:
            await old.close()

    async def logs(self, topics: Sequence[str]) -> dict[str, TopicLog]:
        """The logs of those topics that exist, as any broker knows them. Raises KafkaError, TimeoutError.

        From then on a topic's records are spread over as many partitions as it has: one that was made anew
        with fewer would otherwise refuse a part of them for ever.
        """
        if self._connections is None:
            raise NodeNotReadyError("not connected")
        async with asyncio.timeout(self._request_timeout):
            logs = await self._connections.logs(topics)
        for topic, log_of_topic in logs.items():
            if log_of_topic.partitions:
                self._partitions[topic] = log_of_topic.partitions
        return logs

    async def check(self) -> None:
        """Readiness. Raises NotReady unless Kafka acknowledged something lately or answers now."""
        if self._connections is None:
            raise NotReady("not connected")
        if self._acknowledgements.are_recent():
            return
        try:
            async with asyncio.timeout(2):
                await self._connections.ping()
        except Exception as error:
            raise NotReady("Kafka does not answer") from error
