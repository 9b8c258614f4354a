"""Send records and know when all in-sync replicas have them.

Group commit: records that arrive while a broker works on a wave form the next wave, one batch for each
partition and one request for all, so that the load sets the size and a lone record waits for nothing. A
request of its own for each record, and a murmur2 in Python, would cost more than everything else together.

`Batch` holds records of one partition, `Wave` the batches that travel to one broker, `Lines` those that wait;
`Connections` knows who leads a partition and sends one request for all batches of a wave; `Pulse` knows since
when Kafka does not acknowledge; `Producer` is what callers hold.
"""

import asyncio
import contextlib
import math
import time
import zlib
from collections import deque
from collections.abc import Awaitable, Coroutine, Sequence
from functools import cache

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, LeaderNotAvailableError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import TopicPartition

from shared.events.envelope import Headers
from shared.kafka.brokers import Brokers, client_options, closed
from shared.ops import metrics
from shared.ops.health import NotReady, ended
from shared.ops.logs import log

_log = log("kafka")

Lane = tuple[str, int]
"""Topic and partition."""

Verdicts = dict[Lane, KafkaError | None]
"""None: all in-sync replicas have it."""

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


class Batch:
    """Records of one lane. Each has a waiter of its own, so that whoever gives up takes nobody along.

    `now`: the loop's clock. `retry_seconds`: how long a fault that may pass is not taken for an answer.
    """

    __slots__ = (
        "_builder", "_closes_at", "_encoded", "_loop", "_stamp",
        "deadline", "lane", "retry_until", "timer", "waiters", "wave",
    )  # fmt: skip

    def __init__(
        self,
        lane: Lane,
        loop: asyncio.AbstractEventLoop,
        *,
        deadline_seconds: float,
        retry_seconds: float,
        most_bytes: int,
    ) -> None:
        now = loop.time()
        self.lane = lane
        self.deadline = now + deadline_seconds
        self.retry_until = now + retry_seconds
        self._closes_at = now + deadline_seconds / 2
        """Who joins shares the deadline: none that waits for long already."""
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
        """The record's waiter; None when it is too late or too full. A first record always has room."""
        if self._closes_at < self._loop.time():
            return None
        if self._builder.append(len(self.waiters), self._stamp, key, value, headers) is None:
            return None
        waiter = self._loop.create_future()
        self.waiters.append(waiter)
        return waiter

    def encoded(self) -> bytes:
        """As Kafka takes it, the same each time; nothing joins it any more."""
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

    __slots__ = ("batches", "broker", "records", "started", "task", "under_way")

    def __init__(self, broker: int | None, batches: list[Batch]) -> None:
        self.broker = broker
        self.batches = batches
        self.under_way = set(batches)
        self.started = time.monotonic()
        self.task: asyncio.Task[None] | None = None
        self.records = sum(len(batch.waiters) for batch in batches)
        for batch in batches:
            batch.wave = self


class Lines:
    """Batches that wait, in one line for each lane. There is no empty line."""

    def __init__(self) -> None:
        self._lines: dict[Lane, deque[Batch]] = {}

    def __bool__(self) -> bool:
        return bool(self._lines)

    def lanes(self) -> list[Lane]:
        return list(self._lines)

    def last(self, lane: Lane) -> Batch | None:
        line = self._lines.get(lane)
        return line[-1] if line else None

    def join(self, batch: Batch) -> None:
        self._lines.setdefault(batch.lane, deque()).append(batch)

    def join_first(self, batch: Batch) -> None:
        """Before the others, whose records came later."""
        self._lines.setdefault(batch.lane, deque()).appendleft(batch)

    def take(self, lane: Lane) -> Batch:
        batch = self._lines[lane][0]
        self.leave(batch)
        return batch

    def leave(self, batch: Batch) -> None:
        line = self._lines[batch.lane]
        line.remove(batch)
        if not line:
            del self._lines[batch.lane]

    def clear(self) -> list[Batch]:
        """All that waited."""
        waited = [batch for line in self._lines.values() for batch in line]
        self._lines.clear()
        return waited


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
        found: dict[str, set[int] | None] = {}
        try:
            async with asyncio.timeout(self._timeout_seconds):
                while True:
                    await self._client.force_metadata_update()
                    found = {topic: self._client.cluster.partitions_for_topic(topic) for topic in topics}
                    counts = {topic: len(partitions) for topic, partitions in found.items() if partitions}
                    if len(counts) == len(found):
                        return counts
                    await asyncio.sleep(_ASK_AGAIN_SECONDS)
        except TimeoutError:
            missing = [topic for topic, partitions in found.items() if not partitions]
            raise UnknownTopicOrPartitionError(", ".join(missing or topics)) from None

    def brokers(self) -> set[int]:
        return {broker.nodeId for broker in self._client.cluster.brokers()}

    def leader(self, lane: Lane) -> int | None:
        """The broker that takes the lane's records; None while there is none."""
        leader = self._client.cluster.leader_for_partition(TopicPartition(*lane))
        return leader if isinstance(leader, int) and leader >= 0 else None

    async def produce(self, broker: int | None, batches: Sequence[Batch]) -> Verdicts:
        """Write with `acks=all`; what became of each lane. None: there is no such broker, ask for one."""
        try:
            if broker is None:
                raise LeaderNotAvailableError
            response = await self._client.send(broker, _request(batches, self._timeout_ms))
        except KafkaError as error:
            verdicts: Verdicts = {batch.lane: error for batch in batches}
        else:
            verdicts = {batch.lane: KafkaError("not in the answer") for batch in batches}
            for topic, partitions in response.topics:
                for partition, code, *_ in partitions:
                    verdicts[topic, partition] = for_code(code)() if code else None
        if any(error is not None and error.invalid_metadata for error in verdicts.values()):
            self._client.force_metadata_update()
        return verdicts

    async def ask(self) -> None:
        """Raises KafkaError when no broker answers."""
        await self._client.fetch_all_metadata()

    async def close(self, *, within_seconds: float = 2.0) -> None:
        """Bounded, and swallowed."""
        await closed(self._client, within_seconds=within_seconds)


def _request(batches: Sequence[Batch], timeout_ms: int) -> ProduceRequest:
    topics: dict[str, list[tuple[int, bytes]]] = {}
    for batch in batches:
        topic, partition = batch.lane
        topics.setdefault(topic, []).append((partition, batch.encoded()))
    return ProduceRequest(
        transactional_id=None, required_acks=_ALL_IN_SYNC, timeout=timeout_ms, topics=list(topics.items())
    )


class Pulse:
    """When Kafka last acknowledged something, and since when it does not."""

    def __init__(self) -> None:
        self._failing_since: float | None = None
        self._failed_at = self._acknowledged_at = -math.inf

    def acknowledged(self) -> None:
        self._failing_since = None
        self._acknowledged_at = time.monotonic()

    def failed(self) -> bool:
        """Whether nothing was acknowledged for 10 s while sends waited; true once, then 10 s later again."""
        self._failed_at = now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        elif now - self._failing_since > REBUILD_AFTER_SECONDS:
            self._failing_since = now
            return True
        return False

    def proves(self) -> bool:
        """Whether Kafka acknowledged something lately. Raises NotReady when it refused instead."""
        lately = time.monotonic() - _LATELY_SECONDS
        if self._failed_at > max(lately, self._acknowledged_at):
            raise NotReady("Kafka does not acknowledge")
        return self._acknowledged_at > lately


class Producer:
    """`acks=all`, with a deadline of its own for every send, time in the queue included."""

    def __init__(
        self,
        bootstrap: str | Brokers,
        *,
        deadline_seconds: float = 8.0,
        request_timeout_seconds: float = 5.0,
        batch_bytes: int = 128 * 1024,
    ) -> None:
        self._bootstrap = bootstrap
        self._deadline = deadline_seconds
        self._request_timeout = request_timeout_seconds
        self._batch_bytes = batch_bytes
        self._waiting = Lines()
        self._busy: set[Lane] = set()
        self._brokers_at_work: set[int | None] = set()
        self._flush_is_due = False
        self._idle: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop
        self._partitions: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._duration = cache(metrics.PRODUCE_DURATION.labels)
        self._connections: Connections | None = None
        self._pulse = Pulse()
        self._stopping = False

    async def start(self, topics: tuple[str, ...]) -> None:
        """Connect, and learn the partition counts. Raises when a topic does not exist."""
        self._loop = asyncio.get_running_loop()
        self._connections, self._partitions = await self._connected(topics)

    async def _connected(self, topics: tuple[str, ...]) -> tuple[Connections, dict[str, int]]:
        connections = Connections(self._bootstrap, request_timeout_seconds=self._request_timeout)
        try:
            return connections, await connections.open(topics)
        except BaseException:
            await connections.close()
            raise

    async def stop(self, within_seconds: float = 3.0) -> None:
        """Let what waits and what is on its way finish, bounded; the rest is not acknowledged."""
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
        await ended(*self._tasks, within_seconds=1)
        if self._connections is not None:
            await self._connections.close(within_seconds=1)

    def send(self, topic: str, key: bytes, value: bytes | None, headers: Headers) -> Awaitable[None]:
        """Queue a record at once; await the result for the acknowledgement. No value: the end of a key.

        Raises NotAcknowledged at the deadline or when Kafka refused. A cancelled await does not
        cancel the record.
        """
        if topic not in self._partitions:
            raise NotAcknowledged("not connected yet")
        lane = (topic, zlib.crc32(key) % self._partitions[topic])
        batch = self._waiting.last(lane)
        waiter = batch.add(key, value, headers) if batch is not None else None
        return waiter or self._begin(lane, key, value, headers)

    def _begin(self, lane: Lane, key: bytes, value: bytes | None, headers: Headers) -> Awaitable[None]:
        """A new batch, with its first record."""
        batch = Batch(
            lane,
            self._loop,
            deadline_seconds=self._deadline,
            retry_seconds=self._request_timeout,
            most_bytes=self._batch_bytes,
        )
        if (waiter := batch.add(key, value, headers)) is None:
            raise NotAcknowledged("larger than a batch")
        batch.timer = self._loop.call_at(batch.deadline, self._expired, batch)
        self._waiting.join(batch)
        self._flush_soon()
        return waiter

    def _flush_soon(self) -> None:
        if not self._flush_is_due:
            self._flush_is_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Send a wave to each broker that waits for work."""
        self._flush_is_due = False
        connections = self._connections
        if connections is None:
            return
        by_broker: dict[int | None, list[Batch]] = {}
        for lane in [lane for lane in self._waiting.lanes() if lane not in self._busy]:
            broker = connections.leader(lane)
            if broker not in self._brokers_at_work:
                by_broker.setdefault(broker, []).append(self._waiting.take(lane))
        for broker, batches in by_broker.items():
            wave = Wave(broker, batches)
            self._brokers_at_work.add(broker)
            self._busy.update(batch.lane for batch in batches)
            wave.task = self._task(self._carry(wave, connections))

    async def _carry(self, wave: Wave, connections: Connections) -> None:
        """Take a wave to its broker; what a fault kept that may pass goes back to the head of its line."""
        kept = []
        try:
            verdicts = await connections.produce(wave.broker, wave.batches)
            for batch in wave.batches:
                error = verdicts[batch.lane]
                if error is not None and error.retriable and batch.retry_until > self._loop.time():
                    kept.append(batch)
                else:
                    self._land(wave, batch, error)
            if kept:
                await asyncio.sleep(_TRY_AGAIN_SECONDS)
                for batch in kept:
                    self._put_back(wave, batch)
        except BaseException as error:
            for batch in wave.batches:
                self._land(wave, batch, error)
            raise

    def _put_back(self, wave: Wave, batch: Batch) -> None:
        if batch in wave.under_way:  # otherwise its time is over
            self._waiting.join_first(batch)
            self._leave(wave, batch)

    def _expired(self, batch: Batch) -> None:
        """Time is over for this batch alone, on its way or still waiting."""
        if (wave := batch.wave) is not None:
            self._land(wave, batch, TimeoutError())
            if not wave.under_way and wave.task is not None:
                wave.task.cancel()  # nobody waits for it any more
            return
        self._waiting.leave(batch)
        self._refuse(batch, TimeoutError())
        self._note_idle()

    def _land(self, wave: Wave, batch: Batch, error: BaseException | None) -> None:
        """The fate of a batch is known, or its time is over; what comes later changes nothing."""
        if batch not in wave.under_way:
            return
        if batch.timer is not None:
            batch.timer.cancel()
        if error is None:
            self._pulse.acknowledged()
            self._duration(batch.lane[0]).observe(time.monotonic() - wave.started)
            batch.acknowledged()
        else:
            self._refuse(batch, error)
        self._leave(wave, batch)

    def _leave(self, wave: Wave, batch: Batch) -> None:
        """One batch less in a wave; the last one frees its broker."""
        wave.under_way.discard(batch)
        batch.wave = None
        self._busy.discard(batch.lane)
        if wave.under_way:
            return
        if wave.records >= _SEVERAL_RECORDS:
            self._loop.call_later(_REST_SECONDS, self._free, wave.broker)
        else:
            self._free(wave.broker)

    def _free(self, broker: int | None) -> None:
        self._brokers_at_work.discard(broker)
        self._note_idle()
        if self._waiting:
            self._flush_soon()

    def _refuse(self, batch: Batch, error: BaseException) -> None:
        metrics.PRODUCE_ERRORS.labels(batch.lane[0], type(error).__name__).inc()
        batch.failed(type(error).__name__)
        if self._pulse.failed() and not self._stopping:
            self._task(self._rebuild())

    def _note_idle(self) -> None:
        if self._idle is not None and not self._waiting and not self._brokers_at_work:
            self._idle.set()

    def _task(self, work: Coroutine[object, object, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _rebuild(self) -> None:
        """Fresh connections instead of wedged ones (#1017)."""
        try:
            fresh, _ = await self._connected(tuple(self._partitions))
        except KafkaError as error:
            _log.warning("producer.not_rebuilt", exc_info=error)
            return
        old, self._connections = self._connections, fresh
        _log.warning("producer.rebuilt")
        if old is not None:
            await old.close()

    async def check(self) -> None:
        """Readiness: acknowledged something lately, or answers when asked."""
        if self._connections is None:
            raise NotReady("not connected")
        if self._pulse.proves():
            return
        try:
            async with asyncio.timeout(2):
                await self._connections.ask()
        except Exception as error:
            raise NotReady("Kafka does not answer") from error
