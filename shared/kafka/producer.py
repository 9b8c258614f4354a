"""Send records and know when all in-sync replicas have them.

Group commit: records that arrive while a broker works on a wave form the next wave, one batch for each
partition and one request for all, so that the load sets the size and a lone record waits for nothing. A
request of its own for each record, and a murmur2 in Python, would cost more than everything else together.
"""

import asyncio
import contextlib
import time
import zlib
from collections.abc import Awaitable, Coroutine
from functools import cache

from aiokafka.errors import KafkaError

from shared.events.envelope import Headers
from shared.kafka.batches import Batch, Lane, Lines, NotAcknowledged, Wave
from shared.kafka.brokers import Brokers
from shared.kafka.connections import Connections
from shared.kafka.pulse import Pulse
from shared.ops import metrics
from shared.ops.health import NotReady, ended
from shared.ops.logs import log

_log = log("kafka")

_TRY_AGAIN_SECONDS = 0.05
_SEVERAL_RECORDS = 4
_REST_SECONDS = 0.001
"""After a wave of several records, so that whom it answered may join the next: half as many requests."""


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
