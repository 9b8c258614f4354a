"""Read rolling counts: whole days from the buckets, the ragged ends from the answers."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple, TypeAlias

import asyncpg

from shared.feedback.nps import Counts
from shared.feedback.windows import Split, Window

Connection: TypeAlias = "asyncpg.Connection[Any]"


class Tally(NamedTuple):
    """Counts of one series over a window, and the sum of the scores counted."""

    counts: Counts
    points: int


class Counted(NamedTuple):
    """A tally and its oldest answer: the instant if it lies in a ragged end, and the oldest whole day."""

    tally: Tally
    first: datetime | None
    first_day: date | None


class TooManyAnswers(Exception):
    """`latest` in the past would have to read more answers than the limit."""


NOTHING = Tally(Counts(), 0)


async def tally(db: Connection, store: str, series: int, part: Split, *, latest: bool) -> Tally:
    """One series over one window. `latest` is exact for windows that end now."""
    flag = "AND latest" if latest else ""
    prefix = "latest_" if latest else ""
    ends = [end for end in (part.head, part.tail) if end]
    clauses = [
        f"""SELECT count(*) FILTER (WHERE grp = -1), count(*) FILTER (WHERE grp = 0),
                   count(*) FILTER (WHERE grp = 1), coalesce(sum(score), 0)::bigint
            FROM scorer.answers WHERE store = $1 AND series IS NOT NULL AND $2 = ANY(series) {flag}
             AND answered_at > ${2 * i + 5} AND answered_at <= ${2 * i + 6}"""
        for i in range(len(ends))
    ]
    days = part.days or (None, None)
    rows = await db.fetch(
        f"""SELECT coalesce(sum({prefix}detractors), 0), coalesce(sum({prefix}passives), 0),
                   coalesce(sum({prefix}promoters), 0), coalesce(sum({prefix}points), 0)::bigint
            FROM scorer.buckets WHERE series = $2 AND day BETWEEN $3 AND $4 AND $1 <> ''
            {"".join(f" UNION ALL {clause}" for clause in clauses)}""",
        store,
        series,
        *days,
        *[edge for end in ends for edge in (end.after, end.upto)],
    )
    return _sum(rows)


async def tallies(
    db: Connection, store: str, series: Sequence[int], part: Split, *, latest: bool
) -> dict[int, Counted]:
    """Many series of one store over one window; each end of the window is read once for all of them."""
    flag = "AND latest" if latest else ""
    prefix = "latest_" if latest else ""
    result = {one: Counted(NOTHING, None, None) for one in series}
    if part.days:
        rows = await db.fetch(
            f"""SELECT sum({prefix}detractors), sum({prefix}passives), sum({prefix}promoters),
                       sum({prefix}points)::bigint, series,
                       min(day) FILTER (WHERE {prefix}detractors + {prefix}passives + {prefix}promoters <> 0)
                FROM scorer.buckets WHERE series = ANY($1) AND day BETWEEN $2 AND $3 GROUP BY series""",
            series,
            *part.days,
        )
        for row in rows:
            result[row[4]] = Counted(_sum([row]), None, row[5])
    for end in filter(None, (part.head, part.tail)):
        rows = await db.fetch(
            f"""SELECT count(*) FILTER (WHERE grp = -1), count(*) FILTER (WHERE grp = 0),
                       count(*) FILTER (WHERE grp = 1), sum(score)::bigint, s, min(answered_at)
                FROM scorer.answers, unnest(series) AS s
                WHERE store = $1 AND series IS NOT NULL AND s = ANY($2) {flag}
                  AND answered_at > $3 AND answered_at <= $4 GROUP BY s""",
            store,
            series,
            end.after,
            end.upto,
        )
        for row in rows:
            old = result[row[4]]
            more = _sum([row])
            total = Tally(old.tally.counts + more.counts, old.tally.points + more.points)
            result[row[4]] = Counted(total, min(filter(None, (old.first, row[5]))), old.first_day)
    return result


async def tally_latest_in_the_past(
    db: Connection, store: str, series: int, window: Window, *, metric: tuple[str, str], limit: int
) -> Tally:
    """The last answer of each respondent within a window that ended before now, read from the answers.

    `metric` is the metric and its scale: a respondent's last answer decides, in whatever segment it fell.
    Raises TooManyAnswers.
    """
    arguments = (store, window.after, window.upto, *metric)
    among = """FROM scorer.answers WHERE store = $1 AND series IS NOT NULL AND answered_at > $2
               AND answered_at <= $3 AND metric = $4 AND scale = $5"""
    found = await db.fetchval(f"SELECT count(*) FROM (SELECT 1 {among} LIMIT $6) x", *arguments, limit + 1)
    if found > limit:
        raise TooManyAnswers
    rows = await db.fetch(
        f"""SELECT count(*) FILTER (WHERE grp = -1), count(*) FILTER (WHERE grp = 0),
                   count(*) FILTER (WHERE grp = 1), coalesce(sum(score), 0)::bigint
            FROM (SELECT DISTINCT ON (respondent IS NULL, coalesce(respondent, response_id))
                         grp, score, series
                  {among}
                  ORDER BY respondent IS NULL, coalesce(respondent, response_id),
                           answered_at DESC, response_id COLLATE "C" DESC) AS last
            WHERE $6 = ANY(series)""",
        *arguments,
        series,
    )
    return _sum(rows)


def _sum(rows: Iterable[Any]) -> Tally:
    detractors = passives = promoters = points = 0
    for row in rows:
        detractors += row[0]
        passives += row[1]
        promoters += row[2]
        points += row[3]
    return Tally(Counts(promoters, passives, detractors), points)
