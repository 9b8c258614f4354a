"""Hours counted once they are over.

A writer only notes that it changed an hour. A job counts the hour, with the number of changes that it
saw in the same snapshot; a reader uses the counts while that number is still the present one, and reads the
answers otherwise. So they are exact by construction, and cost the writers next to nothing.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeAlias

import asyncpg

from services.scorer.counting.store.packing import packed
from shared.feedback.windows import Window

Connection: TypeAlias = "asyncpg.Connection[Any]"
"""Store, and hours since 1970."""

_HOUR = timedelta(hours=1)
_TICK = timedelta(microseconds=1)
_MOST_PIECES = 8


class Pieces(NamedTuple):
    """How the ragged ends of a window are read: some hours from their counts, the rest from the answers."""

    hours: list[datetime]
    rest: list[Window]


class ChangedHour(NamedTuple):
    """An hour that changed since it was counted."""

    store: str
    hour: datetime
    changes: int


async def pieces(db: Connection, store: str, ends: Sequence[Window]) -> Pieces:
    """The whole hours within these ends of a window whose counts are valid now, and what is left of the
    ends."""
    spans = [(_first_hour(end.after + _TICK), _hour_of(end.upto + _TICK)) for end in ends]
    counted: list[datetime] = []
    if any(first < beyond for first, beyond in spans):
        rows = await db.fetch(
            """SELECT c.hour FROM unnest($2::timestamptz[], $3::timestamptz[]) AS e(first, beyond)
               JOIN scorer.counted_hours c ON c.store = $1 AND c.hour >= e.first AND c.hour < e.beyond
               WHERE c.used AND c.changes = (SELECT sum(m.changes) FROM scorer.hour_marks m
                                             WHERE m.store = c.store AND m.hour = c.hour)
               ORDER BY c.hour""",
            store,
            [first for first, _ in spans],
            [beyond for _, beyond in spans],
        )
        counted = [row[0] for row in rows]
    rest = [window for end in ends for window in _between(end, counted)]
    return Pieces(counted, rest) if len(rest) <= _MOST_PIECES else Pieces([], list(ends))


def _between(end: Window, hours: Sequence[datetime]) -> list[Window]:
    rest, after = [], end.after
    for hour in hours:
        if end.after < hour <= end.upto:
            if after < hour - _TICK:
                rest.append(Window(after, hour - _TICK))
            after = hour + _HOUR - _TICK
    if after < end.upto:
        rest.append(Window(after, end.upto))
    return rest


def _hour_of(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _first_hour(moment: datetime) -> datetime:
    hour = _hour_of(moment)
    return hour if hour == moment else hour + _HOUR


async def changed_hours(db: Connection, *, settled_seconds: float, limit: int) -> list[ChangedHour]:
    """Hours that are over, changed since they were counted, and were left alone for a while; newest first."""
    rows = await db.fetch(
        """SELECT m.store, m.hour, sum(m.changes)::bigint AS changes FROM scorer.hour_marks m
           WHERE m.hour <= clock_timestamp() - interval '1 hour'
           GROUP BY m.store, m.hour
           HAVING max(m.touched_at) <= clock_timestamp() - make_interval(secs => $1)
              AND sum(m.changes) IS DISTINCT FROM (SELECT c.changes FROM scorer.counted_hours c
                                                   WHERE c.store = m.store AND c.hour = m.hour)
           ORDER BY m.hour DESC LIMIT $2""",
        settled_seconds,
        limit,
    )
    return [ChangedHour(*row) for row in rows]


async def count_hours(db: Connection, hours: Sequence[ChangedHour], *, worth: int) -> None:
    """Count these hours, in the snapshot in which they were found due; fewer answers than `worth` are not."""
    stores, changes, separator = packed((hour.store, str(hour.changes)) for hour in hours)
    arguments = (stores, changes, separator, [hour.hour for hour in hours])
    hours_sql = """unnest(string_to_array($1, $3), string_to_array($2, $3), $4::timestamptz[])
                    AS k(store, changes, hour)"""
    used = await db.fetch(
        f"""INSERT INTO scorer.counted_hours AS c (store, hour, changes, used)
            SELECT k.store, k.hour, k.changes::bigint, (
                SELECT count(*) FROM (
                    SELECT FROM scorer.answers a
                    WHERE a.store = k.store AND a.series IS NOT NULL
                      AND a.answered_at >= k.hour AND a.answered_at < k.hour + interval '1 hour'
                    LIMIT $5) x) >= $5
            FROM {hours_sql}
            ON CONFLICT (store, hour) DO UPDATE SET changes = excluded.changes, used = excluded.used
            RETURNING c.store, c.hour, c.used""",
        *arguments,
        worth,
    )
    await db.execute(
        f"""DELETE FROM scorer.hours h USING {hours_sql} JOIN scorer.series s USING (store)
            WHERE $2 <> '' AND h.series = s.id AND h.hour = k.hour""",
        *arguments,
    )
    for store, hour, is_used in used:
        if is_used:
            await db.execute(
                """INSERT INTO scorer.hours
                   SELECT s, $2, count(*) FILTER (WHERE grp = -1), count(*) FILTER (WHERE grp = 0),
                          count(*) FILTER (WHERE grp = 1), sum(score),
                          count(*) FILTER (WHERE grp = -1 AND latest),
                          count(*) FILTER (WHERE grp = 0 AND latest),
                          count(*) FILTER (WHERE grp = 1 AND latest),
                          coalesce(sum(score) FILTER (WHERE latest), 0)
                   FROM scorer.answers, unnest(series) AS s
                   WHERE store = $1 AND series IS NOT NULL
                     AND answered_at >= $2 AND answered_at < $2 + interval '1 hour' GROUP BY s""",
                store,
                hour,
            )
