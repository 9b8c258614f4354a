"""Apply a batch in one transaction: the offsets move, the handlers write, the poison is buried.

`Item` is a record as the applier takes it, `Breaker` decides when to stop a consumer rather than bury more,
`Applier` runs the handlers of a group.
"""

import re
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple
from uuid import UUID

from shared.db import Database, DeadLetter, Inbox, Position, Session, is_race, is_timeout, is_transient
from shared.events import Event, NotAnEvent, Received, decode
from shared.ops import metrics
from shared.ops.logs import log

_log = log("kafka")

OutcomeCounts = Mapping[tuple[str, str], int]
"""How many events had which outcome, by (topic, outcome): ok, duplicate, conflict or skipped."""

Handler = Callable[[Session, Sequence[Received]], Awaitable[OutcomeCounts | None]]
"""Applies events of the types it is registered for, in the session's transaction. Must be harmless twice."""

_RACES = 3
_TOO_SLOW = 5
_TRACE_ID = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands for a record on which the client's parser breaks: its offset is known, its content is not."""

    topic: str
    partition: int
    offset: int
    error: Exception
    timestamp: int = 0
    key: bytes | None = None
    value: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


class Item(NamedTuple):
    """A record after decoding: with an event, with a dead letter, or with neither (a type that is newer than
    this code, or that no handler takes).

    `record` is aiokafka's. `follows`: the offset that must be stored when this record is applied; it is below
    `offset` where the log has a gap. `topic_id`: the log that the record is of.
    """

    topic: str
    partition: int
    offset: int
    follows: int
    event: Received | None
    letter: DeadLetter | None
    record: Any
    topic_id: UUID | None = None


def item_of(record: Any, follows: int, handled: Container[type[Event]], topic_id: UUID | None = None) -> Item:
    """Decode a record of aiokafka's. One that is not a valid event gets a dead letter; nothing is raised."""
    topic, partition, offset = record.topic, record.partition, record.offset

    def unreadable(reason: str, detail: str) -> Item:
        letter = letter_of(record, reason, detail, topic_id)
        return Item(topic, partition, offset, follows, None, letter, record, topic_id)

    if isinstance(record, Unreadable):
        return unreadable("unreadable", type(record.error).__name__)
    try:
        event, envelope = decode(record.headers, record.value, topic=topic)
    except NotAnEvent as error:
        return unreadable(error.reason, str(error))
    except Exception as error:  # it stops nobody
        return unreadable("unreadable", type(error).__name__)
    received = None
    if event is not None and type(event) in handled:
        received = Received(event, envelope, topic, partition, offset, record.value)
    return Item(topic, partition, offset, follows, received, None, record, topic_id)


def letter_of(record: Any, reason: str, detail: str, topic_id: UUID | None) -> DeadLetter:
    """The dead letter of a record, for an operator who looks why it was not applied."""
    trace = next((value for name, value in record.headers if name == "traceparent" and value), b"")
    trace_id = _TRACE_ID.fullmatch(trace)
    return DeadLetter(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        reason=reason,
        detail=detail,
        key=record.key,
        value=record.value,
        headers=record.headers,
        correlation_id=trace_id[1].decode() if trace_id else "",
        topic_id=topic_id,
    )


def split_at_letters(items: Sequence[Item]) -> list[list[Item]]:
    """The items in their order, cut so that each one with a dead letter stands alone."""
    parts: list[list[Item]] = []
    for has_letter, group in groupby(items, key=lambda item: item.letter is not None):
        run = list(group)
        parts.extend([[item] for item in run] if has_letter else [run])
    return parts


def moves_of(items: Sequence[Item]) -> list[Position]:
    """The changes of stored offsets that go with applying these items, one for each partition."""
    first: dict[tuple[str, int], Item] = {}
    last: dict[tuple[str, int], Item] = {}
    for item in items:
        place = (item.topic, item.partition)
        first.setdefault(place, item)
        last[place] = item
    return [
        Position(topic, partition, item.follows, last[topic, partition].offset + 1, item.topic_id)
        for (topic, partition), item in first.items()
    ]


class Breaker:
    """Stops a consumer before it buries all that a bad deploy cannot apply.

    It opens after `in_a_row` bad records, or when more than `ratio` of the last `window` were bad.
    """

    def __init__(self, *, in_a_row: int = 50, ratio: float = 0.05, window: int = 1000) -> None:
        self._in_a_row = in_a_row
        self._ratio = ratio
        self._recent: deque[bool] = deque(maxlen=window)
        self._bad_recent = 0
        self._run = 0

    def good(self, records: int) -> None:
        """Note records that were applied."""
        if records:
            self._run = 0
        for _ in range(min(records, self._recent.maxlen or 0)):
            self._push(False)

    def bad(self) -> None:
        """Note a record that was buried."""
        self._run += 1
        self._push(True)

    def allows_bad(self) -> bool:
        """Whether one more record may be buried."""
        if self._run >= self._in_a_row:
            return False
        full = len(self._recent) == self._recent.maxlen
        return not full or self._bad_recent + 1 <= self._ratio * len(self._recent)

    def _push(self, bad: bool) -> None:
        if len(self._recent) == self._recent.maxlen and self._recent[0]:
            self._bad_recent -= 1
        self._recent.append(bad)
        self._bad_recent += bad


class PartitionsLost(Exception):
    """Another member of the group has moved these partitions on. Nothing of the batch was written."""

    def __init__(self, partitions: set[tuple[str, int]]) -> None:
        super().__init__(f"{len(partitions)} partitions moved on")
        self.partitions = partitions


class TooManyDeadLetters(RuntimeError):
    """The breaker is open: an operator must look before more records are buried."""


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

    def read(self, record: Any, follows: int, topic_id: UUID | None = None) -> Item:
        """Decode a record of aiokafka's, see `item_of`."""
        return item_of(record, follows, self._handlers, topic_id)

    async def apply(self, items: list[Item]) -> None:
        """Apply the items, which stand partition by partition in the log's order.

        Raises PartitionsLost, TooManyDeadLetters, or a transient error of the database (try the same again).
        A batch that fails otherwise, or that takes too long while the database answers others, is halved
        until the record that cannot be applied stands alone; that one is buried.
        """
        if any(item.letter for item in items) and len(items) > 1:
            # Singled out before anything is written, so the breaker sees them in the log's order.
            for part in split_at_letters(items):
                await self.apply(part)
            return
        try:
            await self._despite_races(items)
        except (PartitionsLost, TooManyDeadLetters):
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
            letter = letter_of(items[0].record, reason, type(error).__name__, items[0].topic_id)
            await self.apply_in_one_transaction([items[0]._replace(event=None, letter=letter)])

    async def _takes_too_long(self, items: Sequence[Item], error: Exception) -> bool:
        """Whether these items, and not the database, are why our own time limit stopped the transaction.

        Of a single item only after some rounds.
        """
        if not is_timeout(error):
            return False
        if len(items) == 1:
            place = (items[0].topic, items[0].partition, items[0].offset)
            self._timeouts[place] += 1
            if self._timeouts[place] < _TOO_SLOW or items[0].letter:
                return False
        try:
            await self._database.ping()
        except Exception as no_answer:  # then the database is slow
            _log.info("record.not_blamed", exc_info=no_answer)
            return False
        return True

    async def _despite_races(self, items: Sequence[Item]) -> None:
        """Try again after a lost race: the next try sees what the other has written. Three times at most."""
        for _ in range(_RACES - 1):
            try:
                return await self.apply_in_one_transaction(items)
            except Exception as error:
                if not is_race(error):
                    raise
        return await self.apply_in_one_transaction(items)

    async def apply_in_one_transaction(self, items: Sequence[Item]) -> None:
        """Move the offsets, run the handlers and bury the letters: all of it is committed, or nothing.

        Raises PartitionsLost, TooManyDeadLetters, or what a handler or the database raises.
        """
        moves = moves_of(items)
        letters = [item.letter for item in items if item.letter]
        if letters and not self._breaker.allows_bad():
            raise TooManyDeadLetters("too many dead letters in a row: look before more is buried")
        async with self._database.transaction() as session:
            moved = await self._inbox.move(session, moves)
            lost = {(move.topic, move.partition) for move in moves} - moved
            if lost:
                raise PartitionsLost(lost)
            outcomes = await self._handle(session, [item.event for item in items if item.event])
            await self._inbox.bury(session, letters)
        self._count(items, outcomes)

    async def _handle(self, session: Session, events: Sequence[Received]) -> Counter[tuple[str, str]]:
        """Give each handler all of its events at once, so that it takes its locks in one sorted round.

        The events stand partition by partition in the log's order. Returns how many had which outcome.
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
        """Run the record of a dead letter through its handler again and return the outcome.

        Raises NotAnEvent when it still is none, or what the handler raises.
        """
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
