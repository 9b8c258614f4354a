"""Send records and know when all in-sync replicas have them.

Micro-batches: what arrives in one turn of the loop for one partition goes out as one batch of one task
(a task and a murmur2 in Python for each record cost more than everything else together).
Idempotence stays off: aiokafka 0.14 hangs with it when the broker is gone (#1101), and a repeat is
harmless here, because consumers count by response id.
"""

import asyncio
import contextlib
import time
import zlib
from collections import deque
from collections.abc import Awaitable

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from shared.events.envelope import Headers
from shared.ops import metrics
from shared.ops.health import NotReady
from shared.ops.logs import log

_log = log("kafka")

_BATCHES_IN_FLIGHT = 2
_REBUILD_AFTER_SECONDS = 10.0


class NotAcknowledged(Exception):
    """Kafka did not confirm within the deadline. The record may or may not be in the log."""


class _Lane:
    """One partition: an open batch, full ones in line, and at most two on their way."""

    __slots__ = ("in_flight", "open", "waiting")

    def __init__(self) -> None:
        self.open: _Batch | None = None
        self.waiting: deque[_Batch] = deque()
        self.in_flight = 0


class _Batch:
    """Each record has a waiter of its own, so that whoever gives up takes nobody along."""

    __slots__ = ("bytes", "deadline", "records", "waiters")

    def __init__(self, deadline: float) -> None:
        self.records: list[tuple[bytes, bytes, Headers]] = []
        self.waiters: list[asyncio.Future[None]] = []
        self.bytes = 0
        self.deadline = deadline

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


class Producer:
    """`acks=all`, with a deadline of its own for every send, time in the queue included."""

    def __init__(
        self,
        bootstrap: str,
        *,
        deadline_seconds: float = 8.0,
        request_timeout_seconds: float = 5.0,
        batch_bytes: int = 128 * 1024,
    ) -> None:
        self._bootstrap = bootstrap
        self._deadline = deadline_seconds
        self._request_timeout_ms = int(request_timeout_seconds * 1000)
        self._batch_bytes = batch_bytes
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._partitions: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._client: AIOKafkaProducer | None = None
        self._failing_since: float | None = None

    def _new_client(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            acks="all",
            enable_idempotence=False,
            linger_ms=0,
            max_batch_size=self._batch_bytes,
            request_timeout_ms=self._request_timeout_ms,
            retry_backoff_ms=50,
            metadata_max_age_ms=60_000,
        )

    async def start(self, topics: tuple[str, ...]) -> None:
        """Connect, and learn the partition counts. Raises when a topic does not exist."""
        client = self._new_client()
        try:
            await client.start()
        except BaseException:
            await _stopped(client)
            raise
        self._client = client
        for topic in topics:
            partitions = await client.partitions_for(topic)
            self._partitions[topic] = len(partitions)

    async def stop(self, within_seconds: float = 3.0) -> None:
        """Let what is on its way finish, bounded."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within_seconds)
        for task in self._tasks:
            task.cancel()
        if self._client is not None:
            await _stopped(self._client)

    def send(self, topic: str, key: bytes, value: bytes, headers: Headers) -> Awaitable[None]:
        """Queue a record at once; await the result for the acknowledgement.

        Raises NotAcknowledged at the deadline or when Kafka refused. A cancelled await does not
        cancel the record.
        """
        if topic not in self._partitions:
            raise NotAcknowledged("not connected yet")
        partition = zlib.crc32(key) % self._partitions[topic]
        lane = self._lanes.get((topic, partition))
        if lane is None:
            lane = self._lanes[topic, partition] = _Lane()
        batch = lane.open
        size = len(key) + len(value) + 400
        if batch is not None and batch.bytes + size > self._batch_bytes:
            lane.waiting.append(batch)
            batch = None
        loop = asyncio.get_running_loop()
        if batch is None:
            batch = lane.open = _Batch(loop.time() + self._deadline)
            if lane.in_flight < _BATCHES_IN_FLIGHT:
                loop.call_soon(self._flush, topic, partition, lane)
        waiter = loop.create_future()
        batch.records.append((key, value, headers))
        batch.waiters.append(waiter)
        batch.bytes += size
        return waiter

    def _flush(self, topic: str, partition: int, lane: _Lane) -> None:
        while lane.in_flight < _BATCHES_IN_FLIGHT:
            if lane.waiting:
                batch = lane.waiting.popleft()
            elif lane.open is not None:
                batch, lane.open = lane.open, None
            else:
                return
            lane.in_flight += 1
            task = asyncio.create_task(self._deliver(topic, partition, lane, batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _deliver(self, topic: str, partition: int, lane: _Lane, batch: _Batch) -> None:
        started = time.monotonic()
        try:
            async with asyncio.timeout_at(batch.deadline):
                await self._write(topic, partition, batch)
        except BaseException as error:
            metrics.PRODUCE_ERRORS.labels(topic, type(error).__name__).inc()
            batch.failed(type(error).__name__)
            self._failed()
            if not isinstance(error, TimeoutError | KafkaError):
                raise
        else:
            self._failing_since = None
            metrics.PRODUCE_DURATION.labels(topic).observe(time.monotonic() - started)
            batch.acknowledged()
        finally:
            lane.in_flight -= 1
            self._flush(topic, partition, lane)

    async def _write(self, topic: str, partition: int, batch: _Batch) -> None:
        client = self._client
        if client is None:
            raise KafkaError("the producer is not started")
        now = int(time.time() * 1000)
        builder = client.create_batch()
        for key, value, headers in batch.records:
            if builder.append(timestamp=now, key=key, value=value, headers=headers) is None:
                # The estimate of `send` was too low: this much goes first.
                await (await client.send_batch(builder, topic, partition=partition))
                builder = client.create_batch()
                if builder.append(timestamp=now, key=key, value=value, headers=headers) is None:
                    raise KafkaError("a record is larger than a batch")
        await (await client.send_batch(builder, topic, partition=partition))

    def _failed(self) -> None:
        """Nothing acknowledged for 10 s while sends wait: a fresh client instead of a wedged one (#1017)."""
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        elif now - self._failing_since > _REBUILD_AFTER_SECONDS:
            self._failing_since = now
            task = asyncio.create_task(self._rebuild())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _rebuild(self) -> None:
        fresh = self._new_client()
        try:
            await fresh.start()
        except KafkaError as error:
            _log.warning("producer.not_rebuilt", exc_info=error)
            await _stopped(fresh)
            return
        old, self._client = self._client, fresh
        _log.warning("producer.rebuilt")
        if old is not None:
            await _stopped(old)

    async def check(self) -> None:
        """Readiness: acknowledged something lately, or nothing was sent."""
        if self._client is None:
            raise NotReady("not connected")
        if self._failing_since is not None and time.monotonic() - self._failing_since > 2:
            try:
                async with asyncio.timeout(2):
                    await self._client.client.fetch_all_metadata()
            except Exception as error:
                raise NotReady("Kafka does not acknowledge") from error
            self._failing_since = None


async def _stopped(client: AIOKafkaProducer) -> None:
    """`stop()` may hang or raise CancelledError when the broker is gone (#1013): bounded, and swallowed."""
    stopping = asyncio.ensure_future(client.stop())
    await asyncio.wait({stopping}, timeout=2)
    stopping.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        stopping.exception()
