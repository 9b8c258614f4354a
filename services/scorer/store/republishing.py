"""Have every published score told once more."""

from typing import Any, TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[Any]"
Place = tuple[int, str, str]
"""Series, policy, window."""

START: Place = (-1, "", "")


async def tell_again(db: Connection, store: str | None, after: Place, limit: int) -> list[Place]:
    """Have the publisher send the next scores again, under the `seq` they have; returns which they are."""
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


async def waiting(db: Connection, store: str | None) -> int:
    """How many scores the topic does not have yet."""
    count: int = await db.fetchval(
        """SELECT count(*) FROM scorer.scores c JOIN scorer.series s ON s.id = c.series
           WHERE c.seq > c.published_seq AND ($1::text IS NULL OR s.store = $1)""",
        store,
    )
    return count
