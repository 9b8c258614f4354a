"""Apply a batch in one transaction: the offsets move, the handlers write, the poison is buried."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog

from shared.db import Database, Inbox, Session, is_race, is_timeout, is_transient
from shared.events import Event, NotAnEvent, Received
from shared.kafka.breaker import Breaker
from shared.kafka.items import Item, around_letters, item_of, letter_of, moves_of
from shared.ops import metrics
from shared.ops.logs import log

_log = log("kafka")

_RACES = 3
_TOO_SLOW = 5

Outcomes = Mapping[tuple[str, str], int]
"""How many events ended how, by (topic, outcome); an outcome is ok, duplicate, conflict or skipped."""

Handler = Callable[[Session, Sequence[Received]], Awaitable[Outcomes | None]]
"""Applies events of the types it is registered for, in the session's transaction. Must be harmless twice."""


def each(handle: Callable[[Session, Received], Awaitable[str | None]]) -> Handler:
    """A handler of single events as a handler of batches; its word is the outcome (None: ok)."""

    async def handle_all(session: Session, batch: Sequence[Received]) -> Outcomes:
        outcomes: Counter[tuple[str, str]] = Counter()
        for received in batch:
            with structlog.contextvars.bound_contextvars(correlation_id=received.envelope.correlation_id):
                outcomes[received.topic, await handle(session, received) or "ok"] += 1
        return outcomes

    return handle_all


class Lost(Exception):
    """Another member moved these partitions: nothing of the batch was written."""

    def __init__(self, partitions: set[tuple[str, int]]) -> None:
        super().__init__(f"{len(partitions)} partitions moved on")
        self.partitions = partitions


class TooManyDeadLetters(RuntimeError):
    """The breaker is open: somebody must look before more is buried."""


class Applier:
    """The handlers of one consumer group and the transaction around them."""

    def __init__(
        self,
        database: Database,
        inbox: Inbox,
        handlers: Mapping[type[Event], Handler],
        *,
        breaker: Breaker | None = None,
    ) -> None:
        self._database = database
        self._inbox = inbox
        self._handlers = handlers
        self._breaker = breaker or Breaker()
        self._timeouts: Counter[tuple[str, int, int]] = Counter()

    def read(self, record: Any, follows: int) -> Item:
        """Decode a record of aiokafka's; what is not an event becomes a dead letter."""
        return item_of(record, follows, self._handlers)

    async def apply(self, items: list[Item]) -> None:
        """Apply the items, which stand partition by partition in the log's order, or raise.

        Raises Lost, TooManyDeadLetters, or a transient error of the database (try the same again).
        A batch that fails otherwise is halved until the record that nobody can apply stands alone; also one
        that takes too long while the database answers others.
        """
        if any(item.letter for item in items) and len(items) > 1:
            # Singled out before anything is written, so the breaker sees them in the log's order.
            for part in around_letters(items):
                await self.apply(part)
            return
        try:
            await self._despite_races(items)
        except (Lost, TooManyDeadLetters):
            raise
        except Exception as error:
            reason = "handler_failed"
            if is_transient(error) and not is_race(error):
                if not await self._takes_too_long(items, error):
                    raise
                reason = "too_slow"
            if len(items) > 1:
                middle = len(items) // 2
                for part in (items[:middle], items[middle:]):
                    await self.apply(part)
                return
            _log.error(
                "record.not_applicable",
                exc_info=error,
                topic=items[0].topic,
                partition=items[0].partition,
                offset=items[0].offset,
            )
            letter = letter_of(items[0].record, reason, type(error).__name__)
            await self._in_one_transaction([items[0]._replace(event=None, letter=letter)])

    async def _takes_too_long(self, items: Sequence[Item], error: Exception) -> bool:
        """Whether it is these items that our own time limit stops; a single one only after some rounds."""
        if not is_timeout(error):
            return False
        if len(items) == 1:
            place = (items[0].topic, items[0].partition, items[0].offset)
            self._timeouts[place] += 1
            if self._timeouts[place] < _TOO_SLOW or items[0].letter:
                return False
        try:
            await self._database.ping()
        except Exception as silence:  # then it is the database
            _log.info("record.not_blamed", exc_info=silence)
            return False
        return True

    async def _despite_races(self, items: Sequence[Item]) -> None:
        """A lost race is found won by somebody at the next look; one lost every time is no race."""
        for _ in range(_RACES - 1):
            try:
                return await self._in_one_transaction(items)
            except Exception as error:
                if not is_race(error):
                    raise
        return await self._in_one_transaction(items)

    async def _in_one_transaction(self, items: Sequence[Item]) -> None:
        moves = moves_of(items)
        letters = [item.letter for item in items if item.letter]
        if letters and not self._breaker.allows_bad():
            raise TooManyDeadLetters("too many dead letters in a row: look before more is buried")
        async with self._database.transaction() as session:
            moved = await self._inbox.move(session, moves)
            lost = {(move.topic, move.partition) for move in moves} - moved
            if lost:
                raise Lost(lost)
            outcomes = await self._handle(session, [item.event for item in items if item.event])
            await self._inbox.bury(session, letters)
        self._count(items, outcomes)

    async def _handle(self, session: Session, events: Sequence[Received]) -> Counter[tuple[str, str]]:
        """Each handler gets all of its events at once, so that it takes its locks in one sorted round.

        They stand partition by partition in the log's order. Returns how many ended how.
        """
        handlers = {self._handlers[kind] for kind in {type(received.event) for received in events}}
        batches: dict[Handler, list[Received]] = {handler: [] for handler in handlers}
        for received in events:
            batches[self._handlers[type(received.event)]].append(received)
        outcomes: Counter[tuple[str, str]] = Counter()
        for handler, batch in batches.items():
            outcomes.update(await handler(session, batch) or Counter((r.topic, "ok") for r in batch))
        return outcomes

    async def replay(self, session: Session, record: Any) -> str:
        """Run one dead letter through its handler again; returns the outcome, or raises as the handler."""
        item = self.read(record, record.offset)
        if item.letter:
            raise NotAnEvent(item.letter.reason)
        if item.event is None:
            return "skipped"
        outcomes = await self._handle(session, [item.event])
        return next((outcome for (_, outcome), count in outcomes.items() if count), "ok")

    def _count(self, items: Sequence[Item], outcomes: Counter[tuple[str, str]]) -> None:
        group, good = self._inbox.consumer, 0
        for item in items:
            if item.letter:
                self._breaker.bad()
                outcomes[item.topic, "dead_letter"] += 1
                metrics.DEAD_LETTERS.labels(group, item.topic, item.letter.reason).inc()
                continue
            good += 1
            if not item.event:
                outcomes[item.topic, "skipped"] += 1
        self._breaker.good(good)
        if self._timeouts:
            for item in items:
                self._timeouts.pop((item.topic, item.partition, item.offset), None)
        for (topic, outcome), count in outcomes.items():
            metrics.PROCESSED.labels(group, topic, outcome).inc(count)
