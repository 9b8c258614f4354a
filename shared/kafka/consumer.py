"""The loop of a consumer group: poll always, apply one batch at a time, fetch the next meanwhile."""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from shared.db import Database, Inbox
from shared.kafka.applying import Applier, Item, Lost, TooManyDeadLetters
from shared.kafka.gate import Gate, LogMismatch
from shared.ops import metrics
from shared.ops.health import NotReady
from shared.ops.logs import log

_log = log("kafka")

_POLL_MS = 500
_HINT_SECONDS = 5.0


class Consumer:
    """One member of a group. The database's offsets are the truth; Kafka's are a hint for lag tools."""

    def __init__(
        self,
        bootstrap: str,
        topics: tuple[str, ...],
        *,
        database: Database,
        inbox: Inbox,
        applier: Applier,
        on_commit: Callable[[], None] = lambda: None,
        batch_records: int = 1000,
        session_timeout_seconds: float = 12.0,
    ) -> None:
        self._topics = topics
        self._group = inbox.consumer
        self._gate = Gate(database, inbox)
        self._applier = applier
        self._on_commit = on_commit
        self._batch_records = batch_records
        self._stopping = asyncio.Event()
        self._applying: asyncio.Task[None] | None = None
        self._turned = time.monotonic()
        self._applied: dict[tuple[str, int], tuple[int, int]] = {}
        self._failures = 0
        self._joined = False
        self.halted: str | None = None
        """Why this consumer applies nothing until somebody looked, or None."""
        self._client = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            group_id=inbox.consumer,
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # the gate seeks before anything is applied
            max_poll_records=batch_records,
            fetch_max_wait_ms=_POLL_MS,
            session_timeout_ms=int(session_timeout_seconds * 1000),
            heartbeat_interval_ms=int(session_timeout_seconds * 1000 / 4),
            rebalance_timeout_ms=60_000,
            max_poll_interval_ms=300_000,
            request_timeout_ms=int(session_timeout_seconds * 1000) + 40_000,
            metadata_max_age_ms=60_000,
            retry_backoff_ms=100,
        )

    async def run(self) -> None:
        """Consume until `stop`. Ends early only by an error that a restart may mend."""
        await self._join()
        helpers = [asyncio.create_task(self._hint()), asyncio.create_task(self._measure())]
        try:
            while not self._stopping.is_set():
                await self._turn()
        finally:
            for helper in helpers:
                helper.cancel()
            await self._leave()

    async def stop(self) -> None:
        """Ask the loop to finish the batch in hand and leave the group."""
        self._stopping.set()

    def since_last_turn(self) -> float:
        """Seconds since the loop last polled; the clock of liveness."""
        return time.monotonic() - self._turned

    async def check(self) -> None:
        """Readiness: member of the group and not halted."""
        if self.halted:
            raise NotReady(self.halted)
        if not self._joined:
            raise NotReady("joining the consumer group")

    async def _join(self) -> None:
        while not self._stopping.is_set():
            self._turned = time.monotonic()
            try:
                await self._client.start()
                break
            except KafkaError as error:
                _log.warning("consumer.not_connected", group=self._group, exc_info=error)
                await asyncio.sleep(1)
        self._client.subscribe(self._topics, listener=self._gate)

    async def _turn(self) -> None:
        """Poll once; hand what came to the applier."""
        try:
            if not self.halted:
                await self._gate.open(self._client)
            items = await self._fetch()
        except LogMismatch as error:
            self._halt(str(error))
            return
        except Exception as error:  # broker or database away: keep polling, never advance
            _log.warning("consumer.turn_failed", group=self._group, exc_info=error)
            await asyncio.sleep(random.uniform(0.2, 1.0))
            await self._stay_member()
            return
        self._turned = time.monotonic()
        if self.halted:
            await self._stay_member()
            await asyncio.sleep(1)
        elif items:
            await self._previous_applied()
            self._applying = asyncio.create_task(self._apply(items))

    async def _fetch(self) -> list[Item]:
        fetched: dict[Any, list[Any]] = await self._client.getmany(
            timeout_ms=_POLL_MS, max_records=self._batch_records
        )
        self._joined = True
        metrics.LAST_POLL.labels(self._group).set_to_current_time()
        for tp, records in fetched.items():
            metrics.CONSUMED.labels(self._group, tp.topic).inc(len(records))
        return [self._applier.read(record, follows) for record, follows in self._gate.admit(fetched)]

    async def _previous_applied(self) -> None:
        """Wait for the batch in hand, and stay a member meanwhile: an unpolled one is thrown out (#1187)."""
        while self._applying is not None and not self._applying.done():
            await asyncio.wait({self._applying}, timeout=1)
            if not self._applying.done():
                await self._stay_member()
        if self._applying is not None:
            self._applying.result()

    async def _stay_member(self) -> None:
        """A poll that takes nothing."""
        with contextlib.suppress(KafkaError, AssertionError):
            assigned = self._client.assignment()
            self._client.pause(*assigned)
            await self._client.getmany(timeout_ms=0)
            self._client.resume(*(assigned & self._client.assignment()))
        self._turned = time.monotonic()

    async def _apply(self, items: list[Item]) -> None:
        """Apply one batch. Whatever goes wrong, the stored offset says where to go on from."""
        started = time.monotonic()
        try:
            await self._applier.apply(items)
        except TooManyDeadLetters as error:
            self._halt(str(error))
        except Lost as lost:
            _log.info("consumer.partition_moved", group=self._group, partitions=len(lost.partitions))
            self._read_again(items)
        except Exception as error:  # transient, or unknown whether the COMMIT arrived
            self._failures += 1
            metrics.RETRIES.labels(self._group, type(error).__name__).inc()
            _log.warning("batch.put_off", group=self._group, attempt=self._failures, exc_info=error)
            await asyncio.sleep(random.uniform(0.5, 1.0) * min(5.0, 0.1 * 2 ** min(self._failures, 6)))
            self._read_again(items)
        else:
            self._failures = 0
            metrics.PROCESSING_DURATION.labels(self._group).observe(time.monotonic() - started)
            for item in items:
                self._applied[item.topic, item.partition] = (item.offset + 1, item.record.timestamp)
            self._on_commit()

    def _read_again(self, items: list[Item]) -> None:
        for topic, partition in {(item.topic, item.partition) for item in items}:
            self._gate.close(topic, partition)

    def _halt(self, why: str) -> None:
        self.halted = why
        metrics.CONSUMER_PAUSED.labels(self._group).set(1)
        _log.critical("consumer.halted", group=self._group, reason=why)

    async def _leave(self) -> None:
        """Finish the batch in hand, tell Kafka where we are, leave; each bounded."""
        if self._applying is not None:
            await asyncio.wait({self._applying}, timeout=4)
            self._applying.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await self._applying
        await self._commit_hint()
        # `stop()` may hang or raise CancelledError into its caller while the broker is away (#647).
        leaving = asyncio.ensure_future(self._client.stop())
        await asyncio.wait({leaving}, timeout=2)
        leaving.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await leaving

    async def _hint(self) -> None:
        while True:
            await asyncio.sleep(_HINT_SECONDS)
            await self._commit_hint()

    async def _commit_hint(self) -> None:
        """Explicit offsets, bounded, errors swallowed: `commit()` never returns while the broker is away."""
        offsets = {
            tp: self._applied[tp.topic, tp.partition][0]
            for tp in self._gate.positions
            if (tp.topic, tp.partition) in self._applied
        }
        if not offsets:
            return
        try:
            async with asyncio.timeout(2):
                await self._client.commit(offsets)
        except Exception as error:  # a hint
            metrics.COMMIT_ERRORS.labels(self._group, type(error).__name__).inc()

    async def _measure(self) -> None:
        """Lag by partition, on a timer; series of partitions that left are removed."""
        shown: set[tuple[str, int]] = set()
        while True:
            await asyncio.sleep(1)
            positions = self._gate.positions
            for topic, partition in shown - {(tp.topic, tp.partition) for tp in positions}:
                with contextlib.suppress(KeyError):
                    metrics.LAG_RECORDS.remove(self._group, topic, str(partition))
                    metrics.LAG_SECONDS.remove(self._group, topic, str(partition))
            shown = set()
            for tp, admitted in positions.items():
                with contextlib.suppress(AssertionError, KafkaError, ValueError):
                    end = self._client.highwater(tp)
                    applied, at = self._applied.get((tp.topic, tp.partition), (admitted, 0))
                    idle = self._applying is None or self._applying.done()
                    behind = max(0, (end or 0) - (admitted if idle else applied))
                    age = max(0.0, time.time() - at / 1000) if behind and at else 0.0
                    metrics.LAG_RECORDS.labels(self._group, tp.topic, str(tp.partition)).set(behind)
                    metrics.LAG_SECONDS.labels(self._group, tp.topic, str(tp.partition)).set(age)
                    shown.add((tp.topic, tp.partition))
            for topic in self._topics:
                count = sum(1 for tp in positions if tp.topic == topic)
                metrics.ASSIGNED.labels(self._group, topic).set(count)
