"""What `closeloop verify` asks the database, and how `closeloop rebuild scorer` writes the buckets anew."""

from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

import asyncpg

from services.scorer.counting.domain.answer import Answer
from services.scorer.counting.store.answers import ANSWER_COLUMNS, Key, answer_of
from shared.db import StoredPlace
from shared.feedback.identity import CLAIMED, ERASED

Connection: TypeAlias = "asyncpg.Connection[Any]"
Accepted = tuple[str, str, str]
"""Store, response id, fingerprint: one body that was accepted."""


class BucketFault(NamedTuple):
    """A bucket or a counted hour that differs from a recount of the answers; `day`: its day, or hour in UTC.

    Counts: detractors, passives, promoters, sum of scores.
    """

    store: str
    segment: str
    touchpoint: str
    metric: str
    day: str
    policy: str
    stored: tuple[int, ...]
    recomputed: tuple[int, ...]


_RECOUNT = """count(*) FILTER (WHERE a.grp = -1) AS detractors, count(*) FILTER (WHERE a.grp = 0) AS passives,
        count(*) FILTER (WHERE a.grp = 1) AS promoters, sum(a.score)::bigint AS points,
        count(*) FILTER (WHERE a.grp = -1 AND a.latest) AS latest_detractors,
        count(*) FILTER (WHERE a.grp = 0 AND a.latest) AS latest_passives,
        count(*) FILTER (WHERE a.grp = 1 AND a.latest) AS latest_promoters,
        coalesce(sum(a.score) FILTER (WHERE a.latest), 0)::bigint AS latest_points"""
_RECOMPUTED = f"""SELECT s AS series, a.day, {_RECOUNT}
    FROM scorer.answers a, unnest(a.series) AS s WHERE a.series IS NOT NULL GROUP BY 1, 2"""

_COUNTS = ("detractors", "passives", "promoters", "points")
_BOTH = (*_COUNTS, *(f"latest_{name}" for name in _COUNTS))


async def bucket_faults(db: Connection, limit: int = 100) -> list[BucketFault]:
    """Buckets that differ from a recount of the answers, over all shards."""
    sums = ", ".join(f"sum({name})::bigint AS {name}" for name in _BOTH)
    return await _faults(
        db,
        f"""stored AS (SELECT series, day, {sums} FROM scorer.buckets GROUP BY 1, 2),
            recomputed AS ({_RECOMPUTED})""",
        limit,
    )


async def hour_faults(db: Connection, limit: int = 100) -> list[BucketFault]:
    """Counted hours that a reader would use now, and that differ from a recount of the answers."""
    return await _faults(
        db,
        f"""used AS (
                SELECT c.store, c.hour FROM scorer.counted_hours c
                WHERE c.used AND c.changes = (SELECT sum(m.changes) FROM scorer.hour_marks m
                                              WHERE m.store = c.store AND m.hour = c.hour)),
            stored AS (
                SELECT h.series, h.hour AS day, {", ".join(f"h.{name}" for name in _BOTH)}
                FROM scorer.hours h JOIN scorer.series x ON x.id = h.series
                JOIN used u ON u.store = x.store AND u.hour = h.hour),
            recomputed AS (
                SELECT s AS series, u.hour AS day, {_RECOUNT}
                FROM used u JOIN scorer.answers a ON a.store = u.store AND a.series IS NOT NULL
                     AND a.answered_at >= u.hour AND a.answered_at < u.hour + interval '1 hour',
                     unnest(a.series) AS s GROUP BY 1, 2)""",
        limit,
    )


async def _faults(db: Connection, tables: str, limit: int) -> list[BucketFault]:
    """Where `stored` and `recomputed` differ."""
    rows = await db.fetch(
        f"""WITH {tables}
            SELECT x.store, x.segment, x.touchpoint, x.metric, day::text AS day,
                   ARRAY[{", ".join(f"coalesce(o.{name}, 0)" for name in _BOTH)}] AS stored,
                   ARRAY[{", ".join(f"coalesce(r.{name}, 0)" for name in _BOTH)}] AS recomputed
            FROM stored o FULL JOIN recomputed r USING (series, day)
            LEFT JOIN scorer.series x ON x.id = series
            WHERE ({", ".join(f"coalesce(o.{name}, 0)" for name in _BOTH)}) IS DISTINCT FROM
                  ({", ".join(f"coalesce(r.{name}, 0)" for name in _BOTH)})
            LIMIT $1""",
        limit,
    )
    faults = []
    for row in rows:
        for policy, part in (("all", slice(0, 4)), ("latest", slice(4, 8))):
            stored, recomputed = tuple(row["stored"][part]), tuple(row["recomputed"][part])
            if stored != recomputed:
                place = (row["store"], row["segment"], row["touchpoint"], row["metric"], row["day"])
                faults.append(BucketFault(*place, policy, stored, recomputed))
    return faults


async def recount_buckets(db: Connection, shard: int) -> int:
    """Replace every bucket by a recount of the answers; writers wait meanwhile. Returns the buckets made.

    The counted hours are void after it: the job counts them again. Readers go on with what was there before.
    """
    await db.execute(
        "LOCK TABLE scorer.answers, scorer.buckets, scorer.counted_hours IN SHARE ROW EXCLUSIVE MODE"
    )
    # TRUNCATE would be faster and wrong: readers would wait for it, and then see an empty table in their
    # older snapshot.
    await db.execute("DELETE FROM scorer.counted_hours")
    await db.execute("DELETE FROM scorer.hours")
    await db.execute("DELETE FROM scorer.buckets")
    status = await db.execute(
        f"""INSERT INTO scorer.buckets (series, day, shard, {", ".join(_BOTH)}, changes)
            SELECT series, day, {int(shard)}, {", ".join(_BOTH)}, 1 FROM ({_RECOMPUTED}) r"""
    )
    await db.execute(
        """INSERT INTO scorer.marks AS m SELECT id, $1, 1 FROM scorer.series
           ON CONFLICT (series, shard) DO UPDATE SET changes = m.changes + 1""",
        shard,
    )
    return int(status.split()[-1])


async def latest_faults(db: Connection) -> int:
    """How many answers are wrongly marked, or not marked, as their respondent's latest."""
    count: int = await db.fetchval(
        """SELECT count(*) FROM (
               SELECT latest, row_number() OVER (
                   PARTITION BY store, metric, scale, respondent IS NULL, coalesce(respondent, response_id)
                   ORDER BY answered_at DESC, response_id COLLATE "C" DESC) = 1 AS should_be
               FROM scorer.answers WHERE series IS NOT NULL) x WHERE latest <> should_be"""
    )
    return count


async def next_keys(db: Connection, store: str | None, after: Key, limit: int) -> list[Key]:
    """The keys of the next answers in their order; empty at the end."""
    rows = await db.fetch(
        """SELECT store, response_id FROM scorer.answers
           WHERE (store, response_id) > ($1, $2) AND ($3::text IS NULL OR store = $3)
           ORDER BY store, response_id LIMIT $4""",
        *after,
        store,
        limit,
    )
    return [(row[0], row[1]) for row in rows]


async def counted_for_the_claimed(db: Connection, keys: Collection[Key]) -> dict[Key, Key]:
    """Of these answers those that count as a customer's who was only claimed, with that customer."""
    rows = await db.fetch(
        """SELECT a.store, a.response_id, a.respondent
           FROM unnest($1::text[], $2::text[]) AS k(store, response_id)
           JOIN scorer.answers a USING (store, response_id)
           WHERE a.respondent IS NOT NULL AND NOT a.respondent ^@ ANY($3::text[])
                 AND a.body::json ->> 'verified' = 'false'""",
        [key[0] for key in keys],
        [key[1] for key in keys],
        [CLAIMED, ERASED],
    )
    return {(row[0], row[1]): (row[0], row[2]) for row in rows}


async def all_answers(db: Connection, store: str | None, batch: int) -> AsyncIterator[list[Answer]]:
    """Every stored answer, in the order of its key."""
    after = ("", "")
    while True:
        rows = await db.fetch(
            f"""SELECT {ANSWER_COLUMNS} FROM scorer.answers a
                WHERE (a.store, a.response_id) > ($1, $2) AND ($3::text IS NULL OR a.store = $3)
                ORDER BY a.store, a.response_id LIMIT $4""",
            *after,
            store,
            batch,
        )
        if not rows:
            return
        yield [answer_of(row, []) for row in rows]
        after = (rows[-1]["store"], rows[-1]["response_id"])


async def count_answers(db: Connection, store: str | None) -> int:
    """About how many answers there are."""
    count: int = await db.fetchval(
        "SELECT count(*) FROM scorer.answers WHERE $1::text IS NULL OR store = $1", store
    )
    return count


async def places(db: Connection, consumer: str, topic: str) -> dict[tuple[str, int], StoredPlace]:
    """Where the consumer is, by (topic, partition)."""
    rows = await db.fetch(
        "SELECT partition, next_offset, topic_id FROM scorer.progress WHERE consumer = $1 AND topic = $2",
        consumer,
        topic,
    )
    return {(topic, row[0]): StoredPlace(row[1], row[2]) for row in rows}


async def dead_offsets(db: Connection, consumer: str, topic: str, topic_id: UUID) -> set[tuple[int, int]]:
    """(partition, offset) of the records of this log that nobody could apply.

    A letter without an id was written by an older release, while this log was read.
    """
    rows = await db.fetch(
        """SELECT partition, "offset" FROM scorer.dead_letters
           WHERE consumer = $1 AND topic = $2 AND state <> 'replayed'
                 AND (topic_id IS NULL OR topic_id = $3)""",
        consumer,
        topic,
        topic_id,
    )
    return {(row[0], row[1]) for row in rows}


async def adoptions(db: Connection, consumer: str, topic: str) -> list[datetime]:
    """When operators had the consumer go on in another log, the latest last."""
    rows = await db.fetch(
        """SELECT DISTINCT adopted_at FROM scorer.adopted_logs WHERE consumer = $1 AND topic = $2
           ORDER BY adopted_at""",
        consumer,
        topic,
    )
    return [row[0] for row in rows]


async def fates_of(db: Connection, bodies: Sequence[Accepted]) -> Counter[str]:
    """How many of these accepted bodies are counted, test, retracted, conflict, store_unknown or missing."""
    rows = await db.fetch(
        """SELECT CASE WHEN a.response_id IS NULL THEN 'missing'
                       WHEN a.fingerprint IS DISTINCT FROM k.fingerprint THEN
                            CASE WHEN c.fingerprint IS NULL THEN 'missing' ELSE 'conflict' END
                       WHEN a.retracted THEN 'retracted'
                       WHEN a.series IS NOT NULL THEN 'counted'
                       WHEN (a.body::json ->> 'test')::boolean THEN 'test'
                       ELSE 'store_unknown' END AS fate, count(*)
           FROM unnest($1::text[], $2::text[], $3::text[]) AS k(store, response_id, fingerprint)
           LEFT JOIN scorer.answers a USING (store, response_id)
           LEFT JOIN scorer.conflicts c ON c.store = k.store AND c.response_id = k.response_id
                 AND c.fingerprint = k.fingerprint
           GROUP BY 1""",
        [body[0] for body in bodies],
        [body[1] for body in bodies],
        [body[2] for body in bodies],
    )
    return Counter({row[0]: row[1] for row in rows})
