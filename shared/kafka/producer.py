"""Send records and know when all in-sync replicas have them.

Group commit: records that arrive while a broker works on a wave form the next wave, one batch for each
partition, so that the load sets the size and a lone record waits for nothing. A request of its own for
each record, and a murmur2 in Python, would cost more than everything else together.
Idempotence stays off: aiokafka 0.14 hangs with it when the broker is gone (#1101), and a repeat is
harmless here, because consumers count by response id.
"""

import asyncio
import contextlib
import math
import time
import zlib
from collections import deque
from collections.abc import Awaitable, Coroutine
from functools import partial

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from shared.events.envelope import Headers
from shared.kafka.brokers import Brokers, client_options
from shared.kafka.stopping import stopped
from shared.ops import metrics
from shared.ops.health import NotReady, ended
from shared.ops.logs import log

_log = log("kafka")

_REBUILD_AFTER_SECONDS = 10.0
_LATELY_SECONDS = 3.0

Lane = tuple[str, int]
"""Topic and partition."""


class NotAcknowledged(Exception):
    """Kafka did not confirm within the deadline. The record may or may not be in the log."""


class _Batch:
    """Records of one lane. Each has a waiter of its own, so that whoever gives up takes nobody along."""

    __slots__ = ("bytes", "closes_at", "deadline", "lane", "records", "timer", "waiters", "wave")

    def __init__(self, lane: Lane, now: float, deadline_seconds: float) -> None:
        self.lane = lane
        self.deadline = now + deadline_seconds
        self.closes_at = now + deadline_seconds / 2
        self.timer: asyncio.TimerHandle | None = None
        self.wave: _Wave | None = None
        self.records: list[tuple[bytes, bytes | None, Headers]] = []
        self.waiters: list[asyncio.Future[None]] = []
        self.bytes = 0

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


class _Wave:
    """Batches on their way to one broker. It takes no further wave before all of them have landed."""

    __slots__ = ("broker", "started", "under_way")

    def __init__(self, broker: int | None, batches: list[_Batch]) -> None:
        self.broker = broker
        self.under_way = set(batches)
        self.started = time.monotonic()


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
        self._request_timeout_ms = int(request_timeout_seconds * 1000)
        self._batch_bytes = batch_bytes
        self._waiting: dict[Lane, deque[_Batch]] = {}
        self._busy: set[Lane] = set()
        self._brokers_at_work: set[int | None] = set()
        self._flush_is_due = False
        self._idle: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop
        self._partitions: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._client: AIOKafkaProducer | None = None
        self._failing_since: float | None = None
        self._failed_at = self._acknowledged_at = -math.inf
        self._stopping = False

    def _new_client(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            **client_options(self._bootstrap),
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
        self._loop = asyncio.get_running_loop()
        client = self._new_client()
        try:
            await client.start()
            partitions = {topic: len(await client.partitions_for(topic)) for topic in topics}
        except BaseException:
            await stopped(client)
            raise
        self._client, self._partitions = client, partitions

    async def stop(self, within_seconds: float = 3.0) -> None:
        """Let what waits and what is on its way finish, bounded; the rest is not acknowledged."""
        if self._brokers_at_work or self._waiting:
            self._idle = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_seconds):
                    await self._idle.wait()
        self._stopping = True
        for line in self._waiting.values():
            for batch in line:
                batch.failed("Stopped")
                if batch.timer is not None:
                    batch.timer.cancel()
        self._waiting.clear()
        await ended(*self._tasks, within_seconds=1)
        if self._client is not None:
            await stopped(self._client, within_seconds=1)

    def send(self, topic: str, key: bytes, value: bytes | None, headers: Headers) -> Awaitable[None]:
        """Queue a record at once; await the result for the acknowledgement. No value: the end of a key.

        Raises NotAcknowledged at the deadline or when Kafka refused. A cancelled await does not
        cancel the record.
        """
        if topic not in self._partitions:
            raise NotAcknowledged("not connected yet")
        lane = (topic, zlib.crc32(key) % self._partitions[topic])
        loop = self._loop  # asking for it is a system call each time
        line = self._waiting.get(lane)
        if line is None:
            line = self._waiting[lane] = deque()
        size = len(key) + len(value or b"") + 400
        # Who joins a batch shares its deadline: none that waits for long already.
        if not line or line[-1].bytes + size > self._batch_bytes or line[-1].closes_at < loop.time():
            line.append(batch := _Batch(lane, loop.time(), self._deadline))
            batch.timer = loop.call_at(batch.deadline, self._expired, batch)
            if not self._flush_is_due:
                self._flush_is_due = True
                loop.call_soon(self._flush)
        batch = line[-1]
        waiter = loop.create_future()
        batch.records.append((key, value, headers))
        batch.waiters.append(waiter)
        batch.bytes += size
        return waiter

    def _flush(self) -> None:
        """Send a wave to each broker that waits for work."""
        self._flush_is_due = False
        waves: dict[int | None, list[_Batch]] = {}
        for lane in [lane for lane in self._waiting if lane not in self._busy]:
            broker = self._leader(lane)
            if broker in self._brokers_at_work:
                continue
            line = self._waiting[lane]
            waves.setdefault(broker, []).append(line.popleft())
            if not line:
                del self._waiting[lane]
        for broker, batches in waves.items():
            wave = _Wave(broker, batches)
            self._brokers_at_work.add(broker)
            self._busy.update(batch.lane for batch in batches)
            for batch in batches:
                batch.wave = wave
            self._task(self._launch(wave, batches))

    def _leader(self, lane: Lane) -> int | None:
        """The broker that takes the lane's records; None while there is none."""
        client = self._client
        leader = client.client.cluster.leader_for_partition(TopicPartition(*lane)) if client else None
        return leader if isinstance(leader, int) and leader >= 0 else None

    async def _launch(self, wave: _Wave, batches: list[_Batch]) -> None:
        for number, batch in enumerate(batches):
            if batch not in wave.under_way:
                continue  # its time was over before its turn
            try:
                async with asyncio.timeout_at(batch.deadline):
                    landing = await self._write(batch)
            except (KafkaError, TimeoutError) as error:
                self._land(wave, batch, error)
            except BaseException as error:
                for left in batches[number:]:
                    self._land(wave, left, error)
                raise
            else:
                landing.add_done_callback(partial(self._landed, wave, batch))

    def _expired(self, batch: _Batch) -> None:
        """Time is over for this batch alone, on its way or still waiting."""
        if batch.wave is not None:
            self._land(batch.wave, batch, TimeoutError())
            return
        line = self._waiting[batch.lane]
        line.remove(batch)
        if not line:
            del self._waiting[batch.lane]
        self._refuse(batch, TimeoutError())
        self._note_idle()

    def _landed(self, wave: _Wave, batch: _Batch, landing: "asyncio.Future[object]") -> None:
        error = asyncio.CancelledError() if landing.cancelled() else landing.exception()
        self._land(wave, batch, error)

    def _land(self, wave: _Wave, batch: _Batch, error: BaseException | None) -> None:
        """The fate of a batch is known, or its time is over; what comes later changes nothing."""
        if batch not in wave.under_way:
            return
        wave.under_way.discard(batch)
        self._busy.discard(batch.lane)
        if batch.timer is not None:
            batch.timer.cancel()
        if error is None:
            self._failing_since = None
            self._acknowledged_at = time.monotonic()
            metrics.PRODUCE_DURATION.labels(batch.lane[0]).observe(time.monotonic() - wave.started)
            batch.acknowledged()
        else:
            self._refuse(batch, error)
        if wave.under_way:
            return
        self._brokers_at_work.discard(wave.broker)
        self._note_idle()
        if self._waiting and not self._flush_is_due:
            self._flush_is_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _refuse(self, batch: _Batch, error: BaseException) -> None:
        metrics.PRODUCE_ERRORS.labels(batch.lane[0], type(error).__name__).inc()
        batch.failed(type(error).__name__)
        self._failed()

    def _note_idle(self) -> None:
        if self._idle is not None and not self._waiting and not self._brokers_at_work:
            self._idle.set()

    async def _write(self, batch: _Batch) -> "asyncio.Future[object]":
        """Hand a batch to the client; the future is done when the broker has it."""
        client = self._client
        if client is None:
            raise KafkaError("the producer is not started")
        topic, partition = batch.lane
        now = int(time.time() * 1000)
        builder = client.create_batch()
        for key, value, headers in batch.records:
            if builder.append(timestamp=now, key=key, value=value, headers=headers) is None:
                # The estimate of `send` was too low: this much goes first.
                await (await client.send_batch(builder, topic, partition=partition))
                builder = client.create_batch()
                if builder.append(timestamp=now, key=key, value=value, headers=headers) is None:
                    raise KafkaError("a record is larger than a batch")
        landing: asyncio.Future[object] = await client.send_batch(builder, topic, partition=partition)
        return landing

    def _task(self, work: Coroutine[object, object, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _failed(self) -> None:
        """Nothing acknowledged for 10 s while sends wait: a fresh client instead of a wedged one (#1017)."""
        self._failed_at = now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        elif now - self._failing_since > _REBUILD_AFTER_SECONDS and not self._stopping:
            self._failing_since = now
            self._task(self._rebuild())

    async def _rebuild(self) -> None:
        fresh = self._new_client()
        try:
            await fresh.start()
        except BaseException as error:
            await stopped(fresh)
            if not isinstance(error, KafkaError):
                raise
            _log.warning("producer.not_rebuilt", exc_info=error)
            return
        old, self._client = self._client, fresh
        _log.warning("producer.rebuilt")
        if old is not None:
            await stopped(old)

    async def check(self) -> None:
        """Readiness: acknowledged something lately, or answers when asked."""
        if self._client is None:
            raise NotReady("not connected")
        lately = time.monotonic() - _LATELY_SECONDS
        if self._failed_at > max(lately, self._acknowledged_at):
            raise NotReady("Kafka does not acknowledge")
        if self._acknowledged_at > lately:
            return
        try:
            async with asyncio.timeout(2):
                await self._client.client.fetch_all_metadata()
        except Exception as error:
            raise NotReady("Kafka does not answer") from error
