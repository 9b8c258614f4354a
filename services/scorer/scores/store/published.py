"""The published scores: computed, stored and sent. The table is its own outbox: a row whose `seq` is above
its `published_seq` is to be sent."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

import asyncpg

from services.scorer.counting.store.series import Series
from shared.feedback.metrics import Metric, scale_for

Connection: TypeAlias = "asyncpg.Connection[Any]"


Id = tuple[int, str, str]
"""Series, policy, window."""


@dataclass(frozen=True, slots=True)
class Publication:
    """What is published of a metric of a store: every series of the default scale, by one policy, over these
    windows. `rules`: what decides how a score is shown; one that was computed by others is outdated."""

    store: str
    policy: str
    windows: Sequence[str]
    metric: Metric
    rules: str


@dataclass(frozen=True, slots=True)
class ChangedSeries:
    """A series whose scores may have changed; `marks` is how often it was changed when this was read."""

    id: int
    series: Series
    marks: int


@dataclass(frozen=True, slots=True)
class Score:
    """What is to be stored of one score. `figure` is the JSON that is shown."""

    id: Id
    marks: int
    expires_at: datetime | None
    as_of: datetime
    rules: str
    figure: bytes


@dataclass(frozen=True, slots=True)
class Unpublished:
    """A score that the topic does not have yet."""

    id: Id
    series: Series
    seq: int
    as_of: datetime
    figure: Any
    previous: Any


async def changed_series(
    db: Connection, publications: Sequence[Publication], now: datetime, interval_seconds: float, limit: int
) -> list[ChangedSeries]:
    """Series whose scores are to be computed: an answer, time or the rules changed them, or a window has no
    score yet.

    One that was computed less than `interval_seconds` ago waits.
    """
    rows = await db.fetch(
        """SELECT s.id, s.store, s.metric, s.scale, s.segment, s.touchpoint, m.changes
           FROM (SELECT series, sum(changes)::bigint AS changes FROM scorer.marks GROUP BY series) m
           JOIN scorer.series s ON s.id = m.series
           JOIN unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $9::text[])
                AS p(store, policy, windows, metric, scale, rules) USING (store, metric, scale)
           CROSS JOIN LATERAL (
               SELECT min(c.marks) AS marks, min(c.expires_at) AS expires_at,
                      max(c.computed_at) AS computed_at, count(*) AS windows,
                      bool_or(c.rules <> p.rules) AS outdated
               FROM scorer.scores c WHERE c.series = s.id AND c.policy = p.policy
                AND c."window" = ANY(string_to_array(p.windows, ' '))) c
           WHERE c.windows < cardinality(string_to_array(p.windows, ' '))
              OR (c.marks < m.changes OR c.expires_at <= $6 OR c.outdated)
                 AND c.computed_at <= clock_timestamp() - make_interval(secs => $7)
           ORDER BY c.computed_at NULLS FIRST LIMIT $8""",
        [publication.store for publication in publications],
        [publication.policy for publication in publications],
        [" ".join(publication.windows) for publication in publications],
        [publication.metric.value for publication in publications],
        [scale_for(publication.metric).id for publication in publications],
        now,
        interval_seconds,
        limit,
        [publication.rules for publication in publications],
    )
    return [ChangedSeries(row[0], Series(*row[1:6]), row[6]) for row in rows]


async def save_scores(db: Connection, scores: Iterable[Score]) -> None:
    """Store computed scores. `seq` rises only where the figure changed; `previous` is what was published
    last.

    `seq` goes by the clock in milliseconds, so that after a restore the next state of a score is higher than
    any that was sent before.
    """
    rows = [
        (*score.id, score.marks, score.expires_at, score.as_of, score.figure.decode(), score.rules)
        for score in sorted(scores, key=lambda score: score.id)
    ]
    if not rows:
        return
    await db.execute(
        """INSERT INTO scorer.scores AS c
               (series, policy, "window", marks, expires_at, computed_at, as_of, figure, rules, seq)
           SELECT n.series, n.policy, n.win, n.marks, n.expires_at, clock_timestamp(), n.as_of, n.figure,
                  n.rules, floor(extract(epoch FROM n.as_of) * 1000)::bigint
           FROM unnest($1::int[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[], $6::timestamptz[],
                       $7::jsonb[], $8::text[])
                AS n(series, policy, win, marks, expires_at, as_of, figure, rules)
           ON CONFLICT (series, policy, "window") DO UPDATE SET
               marks = excluded.marks, expires_at = excluded.expires_at, computed_at = excluded.computed_at,
               rules = excluded.rules,
               as_of = CASE WHEN c.figure = excluded.figure THEN c.as_of ELSE excluded.as_of END,
               previous = CASE WHEN c.figure = excluded.figure OR c.seq > c.published_seq THEN c.previous
                               ELSE c.figure END,
               seq = CASE WHEN c.figure = excluded.figure THEN c.seq
                          ELSE greatest(c.seq + 1, excluded.seq) END,
               figure = excluded.figure""",
        *[list(column) for column in zip(*rows, strict=True)],
    )


async def unpublished(db: Connection, interval_seconds: float, limit: int) -> list[Unpublished]:
    """The scores to publish now, oldest first; one that was published just now waits."""
    rows = await db.fetch(
        """SELECT c.series, c.policy, c."window", s.store, s.metric, s.scale, s.segment, s.touchpoint,
                  c.seq, c.as_of, c.figure, c.previous
           FROM scorer.scores c JOIN scorer.series s ON s.id = c.series
           WHERE c.seq > c.published_seq
             AND (c.published_at IS NULL OR c.published_at <= clock_timestamp() - make_interval(secs => $1))
           ORDER BY c.computed_at LIMIT $2""",
        interval_seconds,
        limit,
    )
    return [
        Unpublished(
            (row[0], row[1], row[2]),
            Series(*row[3:8]),
            row[8],
            row[9],
            row[10],
            row[11],
        )
        for row in rows
    ]


async def backlog(db: Connection) -> int:
    """How many scores the topic does not have yet; counted to 10,000."""
    count = await db.fetchval(
        "SELECT count(*) FROM (SELECT FROM scorer.scores WHERE seq > published_seq LIMIT 10000) AS waiting"
    )
    return int(count)


async def mark_published(db: Connection, published: Sequence[tuple[Id, int]]) -> None:
    """Note that these scores are on the topic up to this `seq`."""
    await _update(
        db, published, "published_seq = greatest(c.published_seq, n.seq), published_at = clock_timestamp()"
    )


async def publish_again(db: Connection, published: Sequence[tuple[Id, int]]) -> None:
    """Send the newest state of these scores again, under a new `seq`."""
    await _update(db, published, "seq = c.seq + 1, published_at = NULL")


async def _update(db: Connection, published: Sequence[tuple[Id, int]], change: str) -> None:
    rows = sorted((*score, seq) for score, seq in published)
    if rows:
        await db.execute(
            f"""UPDATE scorer.scores c SET {change}
                FROM unnest($1::int[], $2::text[], $3::text[], $4::bigint[]) AS n(series, policy, win, seq)
                WHERE c.series = n.series AND c.policy = n.policy AND c."window" = n.win""",
            *[list(column) for column in zip(*rows, strict=True)],
        )


START: Id = (-1, "", "")


async def mark_unpublished(db: Connection, store: str | None, after: Id, limit: int) -> list[Id]:
    """Mark the next scores after this one as not sent, under the `seq` that they have; returns their ids."""
    rows = await db.fetch(
        """WITH held AS (
               SELECT c.series, c.policy, c."window" FROM scorer.scores c
               JOIN scorer.series s ON s.id = c.series
               WHERE (c.series, c.policy, c."window") > ($1, $2, $3) AND ($4::text IS NULL OR s.store = $4)
               ORDER BY c.series, c.policy, c."window" LIMIT $5 FOR UPDATE OF c)
           UPDATE scorer.scores c
           SET published_seq = least(c.published_seq, c.seq - 1), published_at = NULL
           FROM held
           WHERE c.series = held.series AND c.policy = held.policy AND c."window" = held."window"
           RETURNING c.series, c.policy, c."window" """,
        *after,
        store,
        limit,
    )
    return sorted((row[0], row[1], row[2]) for row in rows)


async def count_unpublished(db: Connection, store: str | None) -> int:
    """How many scores of a store, or of all, the topic does not have yet."""
    count: int = await db.fetchval(
        """SELECT count(*) FROM scorer.scores c JOIN scorer.series s ON s.id = c.series
           WHERE c.seq > c.published_seq AND ($1::text IS NULL OR s.store = $1)""",
        store,
    )
    return count
