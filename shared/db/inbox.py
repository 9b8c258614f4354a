"""A consumer's offsets and its dead letters, kept in the same database as its state.

A place is (topic id, partition, offset): a topic that was made anew has another id and is another log. Rows
without an id are from a release that stored none; they belong to the log that the group reads.

The stored offset decides, and it is changed only from the value that is expected. A consumer that has lost
its partition without noticing expects an old value, so nothing that it does can commit.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text

from shared.db.database import Session

UNKNOWN_LOG = UUID(int=0)
"""Stands for a former log whose id nobody knows."""

_LETTER_COLUMNS = """id, consumer, topic, partition, "offset", reason, detail, key, value, headers,
                     correlation_id, dead_at, state, settled_at, topic_id"""


@dataclass(frozen=True, slots=True)
class StoredPlace:
    """Up to where a group has read one partition. `topic_id` None: stored before ids were."""

    next_offset: int
    topic_id: UUID | None


@dataclass(frozen=True, slots=True)
class Position:
    """A consumer moves one partition from `old` to `new` (offsets of the next record to apply)."""

    topic: str
    partition: int
    old: int
    new: int
    topic_id: UUID | None = None


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
    topic_id: UUID | None = None


class Inbox:
    """The tables `progress` and `dead_letters` of one schema, as one consumer group uses them."""

    def __init__(self, schema: str, consumer: str) -> None:
        self.schema = schema
        self.consumer = consumer

    async def places(
        self, session: Session, topics: Collection[str] | None = None
    ) -> dict[tuple[str, int], StoredPlace]:
        """Where this consumer is, by (topic, partition); of these topics, or of all that it ever read."""
        rows = await session.execute(
            text(f"""SELECT topic, partition, next_offset, topic_id FROM {self.schema}.progress
                     WHERE consumer = :c AND (CAST(:t AS text[]) IS NULL OR topic = ANY(:t))
                     ORDER BY topic, partition"""),
            {"c": self.consumer, "t": None if topics is None else list(topics)},
        )
        return {(topic, partition): StoredPlace(offset, log) for topic, partition, offset, log in rows}

    async def begin(
        self, session: Session, topic: str, partition: int, offset: int, topic_id: UUID | None = None
    ) -> None:
        """Store the first offset of a new partition, unless another member did so already.

        A place that is stored with this offset and without a log takes this one, its dead letters too.
        """
        place = {"c": self.consumer, "t": topic, "p": partition, "o": offset, "log": topic_id}
        await session.execute(
            text(f"""
            INSERT INTO {self.schema}.progress AS p (consumer, topic, partition, next_offset, topic_id)
            VALUES (:c, :t, :p, :o, :log)
            ON CONFLICT (consumer, topic, partition) DO UPDATE SET topic_id = excluded.topic_id
            WHERE p.topic_id IS NULL AND p.next_offset = excluded.next_offset"""),
            place,
        )
        await self._date_letters(session, topic, [partition], topic_id)

    async def adopt(
        self, session: Session, topic: str, topic_id: UUID, starts: Mapping[int, int], *, by: str
    ) -> None:
        """Go on in this log: `starts` has the next offset of each partition that changes.

        Partitions that the topic had when it was another log, and has no more, are forgotten. Every change is
        written into `adopted_logs`, with `by`, the operator's name.
        """
        former = {
            partition: place
            for (_, partition), place in (await self.places(session, [topic])).items()
            if partition in starts or place.topic_id != topic_id
        }
        for partition, place in former.items():
            if place.topic_id != topic_id:
                await self._date_letters(session, topic, [partition], place.topic_id or UNKNOWN_LOG)
        await session.execute(
            text(f"""
            INSERT INTO {self.schema}.adopted_logs
                (consumer, topic, partition, former_topic_id, former_offset, topic_id, next_offset,
                 adopted_by)
            VALUES (:consumer, :topic, :partition, :former_id, :former_offset, :topic_id, :start, :by)"""),
            [
                {
                    "consumer": self.consumer,
                    "topic": topic,
                    "partition": partition,
                    "former_id": former[partition].topic_id if partition in former else None,
                    "former_offset": former[partition].next_offset if partition in former else None,
                    "topic_id": topic_id,
                    "start": starts.get(partition),
                    "by": by,
                }
                for partition in sorted(former.keys() | starts.keys())
            ],
        )
        await session.execute(
            text(f"""DELETE FROM {self.schema}.progress
                     WHERE consumer = :c AND topic = :t AND partition = ANY(:gone)"""),
            {"c": self.consumer, "t": topic, "gone": sorted(former.keys() - starts.keys())},
        )
        await session.execute(
            text(f"""
            INSERT INTO {self.schema}.progress (consumer, topic, partition, next_offset, topic_id)
            VALUES (:c, :t, :p, :o, :log)
            ON CONFLICT (consumer, topic, partition) DO UPDATE
            SET next_offset = excluded.next_offset, topic_id = excluded.topic_id, moved_at = now()"""),
            [
                {"c": self.consumer, "t": topic, "p": partition, "o": offset, "log": topic_id}
                for partition, offset in sorted(starts.items())
            ],
        )

    async def _date_letters(
        self, session: Session, topic: str, partitions: Sequence[int], topic_id: UUID | None
    ) -> None:
        """Write down of which log the dead letters are that have none."""
        await session.execute(
            text(f"""UPDATE {self.schema}.dead_letters SET topic_id = :log
                     WHERE consumer = :c AND topic = :t AND partition = ANY(:p) AND topic_id IS NULL"""),
            {"c": self.consumer, "t": topic, "p": list(partitions), "log": topic_id},
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
                                     CAST(:olds AS bigint[]), CAST(:news AS bigint[]), CAST(:logs AS uuid[]))
                       AS e(topic, partition, old_offset, new_offset, topic_id)
            ), held AS (
                SELECT p.topic, p.partition, e.new_offset FROM {self.schema}.progress p
                JOIN expected e ON e.topic = p.topic AND e.partition = p.partition
                WHERE p.consumer = :consumer AND p.next_offset = e.old_offset
                      AND p.topic_id IS NOT DISTINCT FROM e.topic_id
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
                "logs": [p.topic_id for p in moves],
            },
        )
        return {(topic, partition) for topic, partition in moved}

    async def bury(self, session: Session, letters: Sequence[DeadLetter]) -> None:
        """Store dead letters; one that is stored already is left as it is.

        A letter of a former log at the same place of the topic makes room: it goes to `former_dead_letters`,
        which inherits from `dead_letters`, so that whoever reads and settles letters meets it as before.
        """
        if not letters:
            return
        await session.execute(
            text(f"""
            WITH moved AS (
                DELETE FROM ONLY {self.schema}.dead_letters d
                USING unnest(CAST(:topics AS text[]), CAST(:partitions AS int[]), CAST(:offsets AS bigint[]),
                             CAST(:logs AS uuid[])) AS n(topic, partition, place, topic_id)
                WHERE d.consumer = :consumer AND d.topic = n.topic AND d.partition = n.partition
                      AND d."offset" = n.place AND d.topic_id <> n.topic_id
                RETURNING d.*)
            INSERT INTO {self.schema}.former_dead_letters ({_LETTER_COLUMNS})
            SELECT {_LETTER_COLUMNS} FROM moved"""),
            {
                "consumer": self.consumer,
                "topics": [letter.topic for letter in letters],
                "partitions": [letter.partition for letter in letters],
                "offsets": [letter.offset for letter in letters],
                "logs": [letter.topic_id for letter in letters],
            },
        )
        await session.execute(
            text(f"""
            INSERT INTO {self.schema}.dead_letters
                (consumer, topic, partition, "offset", reason, detail, key, value, headers, correlation_id,
                 topic_id)
            VALUES (:consumer, :topic, :partition, :offset, :reason, :detail, :key, :value,
                    CAST(:headers AS jsonb), :correlation_id, :topic_id)
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
            "topic_id": letter.topic_id,
        }
