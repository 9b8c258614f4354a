"""Reads rolling counts: whole days from the buckets, the ragged ends from counted hours and the answers."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta, tzinfo
from typing import Any, NamedTuple, TypeAlias

import asyncpg

from services.scorer.counting.store.series import Series, SeriesIds
from services.scorer.scores.store.hours import pieces
from shared.feedback.figures import CONFIDENTIAL_BELOW
from shared.feedback.nps import Counts
from shared.feedback.windows import Days, Split, Window, split

Connection: TypeAlias = "asyncpg.Connection[Any]"


class Tally(NamedTuple):
    """Counts of one series over a window, the sum of the scores counted, and how many are confidential."""

    counts: Counts
    points: int
    confidential: int = 0

    def __add__(self, other: "Tally") -> "Tally":  # type: ignore[override]
        return Tally(
            self.counts + other.counts, self.points + other.points, self.confidential + other.confidential
        )


class Counted(NamedTuple):
    """A tally and its oldest answer: the instant or hour within each ragged end, and the oldest whole day."""

    tally: Tally
    in_head: datetime | None = None
    first_day: date | None = None
    in_tail: datetime | None = None


class TooManyAnswers(Exception):
    """`latest` in the past would have to read more answers than the limit."""


NOTHING = Tally(Counts(), 0)
_AHEAD = timedelta(days=1)


async def read(
    db: Connection,
    series_ids: SeriesIds,
    series: Series,
    window: Window,
    zone: tzinfo,
    *,
    latest: bool,
    past: bool,
    latest_limit: int,
) -> Tally:
    """One series over one window, by `latest` or all answers; `past`: the window ended before now.

    How many of the answers are confidential is read only where it decides whether they are shown. Raises
    TooManyAnswers when `latest` in the past would read more than `latest_limit`.
    """

    async def counted_in(series_id: int) -> Tally:
        if not (latest and past):
            part = split(window.upto, window.upto - window.after, zone)
            return await tally(db, series.store, series_id, part, latest=latest)
        return await tally_latest_in_the_past(
            db,
            series.store,
            series_id,
            window,
            metric=(series.metric, series.scale),
            limit=latest_limit,
        )

    ids = await series_ids.find_all(db, (series, series.confidential()))
    if series not in ids:
        return NOTHING
    every = await counted_in(ids[series])
    part_of = ids.get(series.confidential())
    if part_of is None or every.counts.n >= CONFIDENTIAL_BELOW:
        return every
    return every._replace(confidential=(await counted_in(part_of)).counts.n)


async def tally(db: Connection, store: str, series: int, part: Split, *, latest: bool) -> Tally:
    """One series over one window. `latest` is exact for windows that end now."""
    flag = "AND latest" if latest else ""
    prefix = "latest_" if latest else ""
    hours, rest = await pieces(db, store, [end for end in (part.head, part.tail) if end])
    counted = f"""coalesce(sum({prefix}detractors), 0), coalesce(sum({prefix}passives), 0),
        coalesce(sum({prefix}promoters), 0), coalesce(sum({prefix}points), 0)::bigint"""
    clauses = [
        f"""SELECT count(*) FILTER (WHERE grp = -1), count(*) FILTER (WHERE grp = 0),
                   count(*) FILTER (WHERE grp = 1), coalesce(sum(score), 0)::bigint
            FROM scorer.answers WHERE store = $1 AND series IS NOT NULL AND $2 = ANY(series) {flag}
             AND answered_at > ${2 * i + 6} AND answered_at <= ${2 * i + 7}"""
        for i in range(len(rest))
    ]
    rows = await db.fetch(
        f"""SELECT {counted} FROM scorer.buckets WHERE series = $2 AND day BETWEEN $3 AND $4 AND $1 <> ''
            UNION ALL SELECT {counted} FROM scorer.hours WHERE series = $2 AND hour = ANY($5)
            {"".join(f" UNION ALL {clause}" for clause in clauses)}""",
        store,
        series,
        *(part.days or (None, None)),
        hours,
        *[edge for window in rest for edge in (window.after, window.upto)],
    )
    return _sum(rows)


class ScoreReader:
    """Reads many series of one store over several windows that end at one moment.

    What two windows share, as the end of today, is read once. `confidential`: by series, the one that counts
    its confidential answers, where there is one.
    """

    def __init__(
        self,
        db: Connection,
        store: str,
        series: Sequence[int],
        *,
        latest: bool,
        confidential: Mapping[int, int],
    ) -> None:
        self._db = db
        self._store = store
        self._shown = series
        self._confidential = confidential
        self._series = [*series, *confidential.values()]
        self._flag = "AND latest" if latest else ""
        self._prefix = "latest_" if latest else ""
        self._ends: dict[Window, dict[int, tuple[Tally, datetime | None]]] = {}

    async def tallies(self, part: Split) -> dict[int, Counted]:
        """Every series over one window."""
        days = await self._days(part.days) if part.days else {}
        head = await self._end(part.head) if part.head else {}
        tail = await self._end(part.tail) if part.tail else {}
        counted = {}
        for series in self._series:
            whole, first_day = days.get(series, (NOTHING, None))
            old, in_head = head.get(series, (NOTHING, None))
            new, in_tail = tail.get(series, (NOTHING, None))
            counted[series] = Counted(whole + old + new, in_head, first_day, in_tail)
        for series, part_of in self._confidential.items():
            confidential = counted[part_of].tally.counts.n
            tally = counted[series].tally._replace(confidential=confidential)
            counted[series] = counted[series]._replace(tally=tally)
        return {series: counted[series] for series in self._shown}

    async def coming(self, now: datetime) -> dict[int, datetime]:
        """The time of the next answer of each series that lies after `now`: its sender's clock runs before
        ours."""
        ahead = await self._end(Window(now, now + _AHEAD))
        return {series: first for series, (_, first) in ahead.items() if first}

    async def _days(self, days: Days) -> dict[int, tuple[Tally, date | None]]:
        p = self._prefix
        rows = await self._db.fetch(
            f"""SELECT sum({p}detractors), sum({p}passives), sum({p}promoters), sum({p}points)::bigint,
                       series, min(day) FILTER (WHERE {p}detractors + {p}passives + {p}promoters <> 0)
                FROM scorer.buckets JOIN unnest($1::int[]) AS w(series) USING (series)
                WHERE day BETWEEN $2 AND $3 GROUP BY series""",
            self._series,
            *days,
        )
        return {row[4]: (_sum([row]), row[5]) for row in rows}

    async def _end(self, end: Window) -> dict[int, tuple[Tally, datetime | None]]:
        """Counts, and the first instant or counted hour with an answer."""
        if end in self._ends:
            return self._ends[end]
        hours, rest = await pieces(self._db, self._store, [end])
        p = self._prefix
        rows = await self._db.fetch(
            f"""SELECT sum({p}detractors), sum({p}passives), sum({p}promoters), sum({p}points)::bigint,
                       series, min(hour) FILTER (WHERE {p}detractors + {p}passives + {p}promoters <> 0)
                FROM scorer.hours JOIN unnest($1::int[]) AS w(series) USING (series)
                WHERE hour = ANY($2) GROUP BY series""",
            self._series,
            hours,
        )
        for window in rest:
            rows += await self._db.fetch(
                f"""SELECT count(*) FILTER (WHERE grp = -1), count(*) FILTER (WHERE grp = 0),
                           count(*) FILTER (WHERE grp = 1), sum(score)::bigint, s, min(answered_at)
                    FROM scorer.answers, unnest(series) AS s JOIN unnest($2::int[]) AS w(s) USING (s)
                    WHERE store = $1 AND series IS NOT NULL {self._flag}
                      AND answered_at > $3 AND answered_at <= $4 GROUP BY s""",
                self._store,
                self._series,
                window.after,
                window.upto,
            )
        ends: dict[int, tuple[Tally, datetime | None]] = {}
        for row in rows:
            old, first = ends.get(row[4], (NOTHING, None))
            more = _sum([row])
            ends[row[4]] = old + more, min(filter(None, (first, row[5])), default=None)
        self._ends[end] = ends
        return ends


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
    count = await db.fetchval(f"SELECT count(*) FROM (SELECT 1 {among} LIMIT $6) x", *arguments, limit + 1)
    if count > limit:
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
