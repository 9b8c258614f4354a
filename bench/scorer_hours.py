"""Count the hours of answers that were filled in by sets, as the scorer's job would have over the year."""

from typing import Any, TypeAlias

import asyncpg

from services.scorer.scores.store import hours

Connection: TypeAlias = "asyncpg.Connection[Any]"

_WORTH_ANSWERS = 64
_AT_ONCE = 200


async def count_hours(db: Connection) -> int:
    """Note a change of every hour that holds answers, and count all that are over; returns how many."""
    await db.execute(
        """INSERT INTO scorer.hour_marks (store, hour, shard, changes)
           SELECT store, date_trunc('hour', answered_at, 'UTC'), -1, 1 FROM scorer.answers
           WHERE series IS NOT NULL GROUP BY 1, 2 ON CONFLICT DO NOTHING""",
        timeout=1800,
    )
    await db.execute("ANALYZE scorer.hour_marks")
    counted = 0
    while True:
        async with db.transaction(isolation="repeatable_read"):
            changed = await hours.changed_hours(db, settled_seconds=0, limit=_AT_ONCE)
            if not changed:
                break
            await hours.count_hours(db, changed, worth=_WORTH_ANSWERS)
        counted += len(changed)
    for table in ("hours", "hour_marks", "counted_hours"):
        await db.execute(f"VACUUM ANALYZE scorer.{table}")
    return counted
