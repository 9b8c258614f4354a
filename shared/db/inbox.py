"""A consumer's offsets and its dead letters, kept in the same database as its state.

The stored offset decides, and it is changed only from the value that is expected. A consumer that has lost
its partition without noticing expects an old value, so nothing that it does can commit.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import text

from shared.db.database import Session


@dataclass(frozen=True, slots=True)
class Position:
    """A consumer moves one partition from `old` to `new` (offsets of the next record to apply)."""

    topic: str
    partition: int
    old: int
    new: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that this consumer cannot apply. `detail` names types and places, never content."""

    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    correlation_id: str


class Inbox:
    """The tables `progress` and `dead_letters` of one schema, as one consumer group uses them."""

    def __init__(self, schema: str, consumer: str) -> None:
        self.schema = schema
        self.consumer = consumer

    async def read(self, session: Session, topic: str, partition: int) -> int | None:
        """The stored next offset, or None when this consumer never read the partition."""
        rows = await session.execute(
            text(
                f"SELECT next_offset FROM {self.schema}.progress"
                " WHERE consumer = :c AND topic = :t AND partition = :p"
            ),
            {"c": self.consumer, "t": topic, "p": partition},
        )
        return rows.scalar_one_or_none()

    async def begin(self, session: Session, topic: str, partition: int, offset: int) -> None:
        """Store the first offset of a new partition, unless another member did so already."""
        await session.execute(
            text(
                f"INSERT INTO {self.schema}.progress (consumer, topic, partition, next_offset)"
                " VALUES (:c, :t, :p, :o) ON CONFLICT DO NOTHING"
            ),
            {"c": self.consumer, "t": topic, "p": partition, "o": offset},
        )

    async def move(self, session: Session, positions: Iterable[Position]) -> set[tuple[str, int]]:
        """Move offsets by compare and swap; returns the (topic, partition) pairs that moved.

        The others have another owner by now. Rows are locked in sorted order until the transaction ends, so
        that two members never deadlock.
        """
        moves = sorted(positions, key=lambda p: (p.topic, p.partition))
        moved = await session.execute(
            text(f"""
            WITH expected AS (
                SELECT * FROM unnest(CAST(:topics AS text[]), CAST(:partitions AS int[]),
                                     CAST(:olds AS bigint[]), CAST(:news AS bigint[]))
                       AS e(topic, partition, old_offset, new_offset)
            ), held AS (
                SELECT p.topic, p.partition, e.new_offset FROM {self.schema}.progress p
                JOIN expected e ON e.topic = p.topic AND e.partition = p.partition
                WHERE p.consumer = :consumer AND p.next_offset = e.old_offset
                ORDER BY p.topic, p.partition FOR UPDATE OF p
            )
            UPDATE {self.schema}.progress p SET next_offset = held.new_offset, moved_at = now()
            FROM held WHERE p.consumer = :consumer AND p.topic = held.topic AND p.partition = held.partition
            RETURNING p.topic, p.partition"""),
            {
                "consumer": self.consumer,
                "topics": [p.topic for p in moves],
                "partitions": [p.partition for p in moves],
                "olds": [p.old for p in moves],
                "news": [p.new for p in moves],
            },
        )
        return {(topic, partition) for topic, partition in moved}

    async def bury(self, session: Session, letters: Sequence[DeadLetter]) -> None:
        """Store dead letters; one that is stored already is left as it is."""
        if not letters:
            return
        await session.execute(
            text(f"""
            INSERT INTO {self.schema}.dead_letters
                (consumer, topic, partition, "offset", reason, detail, key, value, headers, correlation_id)
            VALUES (:consumer, :topic, :partition, :offset, :reason, :detail, :key, :value,
                    CAST(:headers AS jsonb), :correlation_id)
            ON CONFLICT (consumer, topic, partition, "offset") DO NOTHING"""),
            [self._row(letter) for letter in letters],
        )

    async def buried(self, session: Session) -> int:
        """How many dead letters of this consumer are neither replayed nor discarded."""
        rows = await session.execute(
            text(f"SELECT count(*) FROM {self.schema}.dead_letters WHERE consumer = :c AND state = 'dead'"),
            {"c": self.consumer},
        )
        return int(rows.scalar_one())

    def _row(self, letter: DeadLetter) -> dict[str, Any]:
        # Values in hex, and no NUL in names: whatever a record holds, storing it must not fail.
        headers = [[name.replace("\0", "\ufffd"), (value or b"").hex()] for name, value in letter.headers]
        return {
            "consumer": self.consumer,
            "topic": letter.topic,
            "partition": letter.partition,
            "offset": letter.offset,
            "reason": letter.reason,
            "detail": letter.detail[:500],
            "key": letter.key,
            "value": letter.value,
            "headers": orjson.dumps(headers).decode(),
            "correlation_id": letter.correlation_id,
        }
