"""What the producer gathers: records of one partition in a batch, batches for one broker in a wave."""

import asyncio
import math
import time
from collections import deque

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from shared.events.envelope import Headers

Lane = tuple[str, int]
"""Topic and partition."""

_FORMAT = 2
_NO_COMPRESSION = _NO_TRANSACTION = 0
_NOBODY = -1


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
