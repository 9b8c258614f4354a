"""The rows of watching: hours of answers, samples of scores, and the silences and falls that are not over."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import orjson
from sqlalchemy import text

from services.notifier.watch.domain import Compared, Sample
from shared.db import Session
from shared.feedback.nps import Counts

# How many answers came in each hour, and which silences were told and are not over.


@dataclass(frozen=True, slots=True)
class Hour:
    """`touchpoint` of "" is none; `hour`: its first instant, UTC."""

    store: str
    touchpoint: str
    hour: datetime


async def add_arrivals(session: Session, answers: Mapping[Hour, Sequence[datetime]], shard: int) -> None:
    """Count answers by when they reached us. `shard`: owners of disjoint ones never touch the same row."""
    rows = sorted(answers, key=lambda row: (row.store, row.touchpoint, row.hour))
    if not rows:
        return
    await session.execute(
        text("""INSERT INTO notifier.intake_hours AS i (store, touchpoint, hour, shard, answers, last_at)
                SELECT store, touchpoint, hour, :shard, answers, last_at
                FROM unnest(CAST(:stores AS text[]), CAST(:touchpoints AS text[]),
                            CAST(:hours AS timestamptz[]), CAST(:answers AS int[]),
                            CAST(:last AS timestamptz[])) AS n(store, touchpoint, hour, answers, last_at)
                ON CONFLICT (store, touchpoint, hour, shard) DO UPDATE
                SET answers = i.answers + excluded.answers,
                    last_at = greatest(i.last_at, excluded.last_at)"""),
        {
            "shard": shard,
            "stores": [row.store for row in rows],
            "touchpoints": [row.touchpoint for row in rows],
            "hours": [row.hour for row in rows],
            "answers": [len(answers[row]) for row in rows],
            "last": [max(answers[row]) for row in rows],
        },
    )


async def last_answer(session: Session, store: str, touchpoint: str) -> datetime | None:
    """When the last answer came; `touchpoint` of "" is any. None when none ever did."""
    rows = await session.execute(
        text("""SELECT max(last_at) FROM notifier.intake_hours
                WHERE store = :store AND touchpoint = coalesce(CAST(:touchpoint AS text), touchpoint)"""),
        {"store": store, "touchpoint": touchpoint or None},
    )
    moment: datetime | None = rows.scalar_one()
    return moment


async def answer_counts(
    session: Session, store: str, touchpoint: str, spans: Sequence[tuple[datetime, datetime]]
) -> list[int]:
    """How many answers came in each of these spans of whole hours."""
    rows = await session.execute(
        text("""SELECT w.place, coalesce(sum(i.answers), 0) AS answers
                FROM unnest(CAST(:starts AS timestamptz[]), CAST(:ends AS timestamptz[]))
                     WITH ORDINALITY AS w(start, until, place)
                LEFT JOIN notifier.intake_hours i
                     ON i.store = :store AND i.touchpoint = coalesce(CAST(:touchpoint AS text), i.touchpoint)
                        AND i.hour >= w.start AND i.hour < w.until
                GROUP BY w.place ORDER BY w.place"""),
        {
            "starts": [start for start, _ in spans],
            "ends": [end for _, end in spans],
            "store": store,
            "touchpoint": touchpoint or None,
        },
    )
    return [int(row.answers) for row in rows]


@dataclass(frozen=True, slots=True)
class Silence:
    """A silence that was told and is not over."""

    rule: str
    touchpoint: str
    since: datetime
    notice_id: str


async def silences(session: Session, store: str) -> dict[tuple[str, str], Silence]:
    """By (rule, touchpoint)."""
    rows = await session.execute(
        text("SELECT rule, touchpoint, since, notice_id FROM notifier.silences WHERE store = :store"),
        {"store": store},
    )
    return {(row.rule, row.touchpoint): Silence(**row._asdict()) for row in rows}


async def silence_began(session: Session, store: str, silence: Silence) -> bool:
    """Note that a silence was told; False when it was told already."""
    inserted = await session.execute(
        text("""INSERT INTO notifier.silences (store, rule, touchpoint, since, notice_id)
                VALUES (:store, :rule, :touchpoint, :since, :notice_id) ON CONFLICT DO NOTHING"""),
        {
            "store": store,
            "rule": silence.rule,
            "touchpoint": silence.touchpoint,
            "since": silence.since,
            "notice_id": silence.notice_id,
        },
    )
    return inserted.rowcount > 0


async def silence_ended(session: Session, store: str, silence: Silence) -> bool:
    """Note that answers are back; False when somebody else did."""
    deleted = await session.execute(
        text("""DELETE FROM notifier.silences
                WHERE store = :store AND rule = :rule AND touchpoint = :touchpoint"""),
        {"store": store, "rule": silence.rule, "touchpoint": silence.touchpoint},
    )
    return deleted.rowcount > 0


def by_hour(answers: Sequence[tuple[str, str, datetime]]) -> dict[Hour, list[datetime]]:
    """(store, touchpoint, received at) of answers, by the hour in which they reached us."""
    hours: dict[Hour, list[datetime]] = {}
    for store, touchpoint, at in answers:
        hour = Hour(store, touchpoint, at.replace(minute=0, second=0, microsecond=0))
        hours.setdefault(hour, []).append(at)
    return hours


def key_of(metric: str, policy: str, segment: str, touchpoint: str, window: str) -> str:
    """One text for one score of a store."""
    return orjson.dumps((metric, policy, segment, touchpoint, window)).decode()


def parts_of(key: str) -> tuple[str, str, str, str, str]:
    """(metric, policy, segment, touchpoint, window)"""
    metric, policy, segment, touchpoint, window = orjson.loads(key)
    return metric, policy, segment, touchpoint, window


@dataclass(frozen=True, slots=True)
class ScoreSample:
    """A figure of a score as it was published; `counts` of None: the figure is hidden."""

    store: str
    key: str
    day: date
    seq: int
    as_of: datetime
    counts: Counts | None


async def keep_samples(session: Session, samples: Iterable[ScoreSample]) -> set[tuple[str, str, date, int]]:
    """Keep the newest figure of each day; returns the stored ones as (store, key, day, seq).

    A figure with a lower `seq` than the stored one changes nothing. Rows are locked in sorted order.
    """
    newest: dict[tuple[str, str, date], ScoreSample] = {}
    for sample in samples:
        place = (sample.store, sample.key, sample.day)
        if place not in newest or newest[place].seq < sample.seq:
            newest[place] = sample
    rows = [newest[place] for place in sorted(newest)]
    if not rows:
        return set()
    counts = [row.counts for row in rows]
    stored = await session.execute(
        text("""INSERT INTO notifier.score_samples AS s
                    (store, key, day, seq, as_of, n, promoters, passives, detractors)
                SELECT * FROM unnest(CAST(:stores AS text[]), CAST(:keys AS text[]), CAST(:days AS date[]),
                                     CAST(:seqs AS bigint[]), CAST(:moments AS timestamptz[]),
                                     CAST(:n AS int[]), CAST(:promoters AS int[]),
                                     CAST(:passives AS int[]), CAST(:detractors AS int[]))
                ON CONFLICT (store, key, day) DO UPDATE
                SET seq = excluded.seq, as_of = excluded.as_of, n = excluded.n,
                    promoters = excluded.promoters, passives = excluded.passives,
                    detractors = excluded.detractors
                WHERE s.seq < excluded.seq
                RETURNING store, key, day, seq"""),
        {
            "stores": [row.store for row in rows],
            "keys": [row.key for row in rows],
            "days": [row.day for row in rows],
            "seqs": [row.seq for row in rows],
            "moments": [row.as_of for row in rows],
            "n": [c.n if c else None for c in counts],
            "promoters": [c.promoters if c else None for c in counts],
            "passives": [c.passives if c else None for c in counts],
            "detractors": [c.detractors if c else None for c in counts],
        },
    )
    return {(row.store, row.key, row.day, row.seq) for row in stored}


async def sampled_keys(session: Session, store: str) -> list[str]:
    """The scores of a store that have samples."""
    rows = await session.execute(
        text("SELECT DISTINCT key FROM notifier.score_samples WHERE store = :store ORDER BY key"),
        {"store": store},
    )
    return list(rows.scalars())


async def compared_scores(
    session: Session, store: str, rule: str, watched: Sequence[str], length: timedelta, *, now: datetime
) -> list[Compared]:
    """Each score now beside the newest sample whose window shares no answer with it.

    Without those that are hidden now or were then, or that have no sample one to two windows older; and
    without those of which nothing was said for a whole window, such as those of a segment that is declared
    no more: then every answer has left it, so it is not the score of now.
    """
    rows = await session.execute(
        text("""SELECT w.key, now.as_of, now.promoters, now.passives, now.detractors, old.as_of AS old_as_of,
                       old.promoters AS old_promoters, old.passives AS old_passives,
                       old.detractors AS old_detractors, f.key IS NOT NULL AS told
                FROM unnest(CAST(:keys AS text[])) AS w(key)
                CROSS JOIN LATERAL (
                    SELECT * FROM notifier.score_samples s WHERE s.store = :store AND s.key = w.key
                    ORDER BY s.day DESC LIMIT 1) now
                CROSS JOIN LATERAL (
                    SELECT * FROM notifier.score_samples s WHERE s.store = :store AND s.key = w.key
                           AND s.as_of <= now.as_of - CAST(:length AS interval)
                           AND s.as_of >= now.as_of - 2 * CAST(:length AS interval)
                    ORDER BY s.day DESC LIMIT 1) old
                LEFT JOIN notifier.score_falls f ON (f.store, f.rule, f.key) = (:store, :rule, w.key)
                WHERE now.n IS NOT NULL AND old.n IS NOT NULL AND now.as_of > :since"""),
        {"keys": list(watched), "store": store, "rule": rule, "length": length, "since": now - length},
    )
    return [
        Compared(
            row.key,
            before=Sample(row.old_as_of, Counts(row.old_promoters, row.old_passives, row.old_detractors)),
            now=Sample(row.as_of, Counts(row.promoters, row.passives, row.detractors)),
            fall_told=row.told,
        )
        for row in rows
    ]


async def fall_began(
    session: Session, store: str, rule: str, key: str, *, since: datetime, notice_id: str
) -> bool:
    """Note that a fall was told; False when it was told already."""
    inserted = await session.execute(
        text("""INSERT INTO notifier.score_falls (store, key, rule, since, notice_id)
                VALUES (:store, :key, :rule, :since, :notice_id) ON CONFLICT DO NOTHING"""),
        {"store": store, "key": key, "rule": rule, "since": since, "notice_id": notice_id},
    )
    return inserted.rowcount > 0


async def falls_ended(session: Session, store: str, rule: str, keys: Sequence[str]) -> None:
    """The falls are over: the next one is told again."""
    if keys:
        await session.execute(
            text("""DELETE FROM notifier.score_falls
                    WHERE store = :store AND rule = :rule AND key = ANY(CAST(:keys AS text[]))"""),
            {"store": store, "rule": rule, "keys": list(keys)},
        )


async def drop_old(session: Session, *, samples_before: date, hours_before: datetime) -> int:
    """Let old samples and hours go; returns how many rows there were."""
    samples = await session.execute(
        text("DELETE FROM notifier.score_samples WHERE day < :before"), {"before": samples_before}
    )
    hours = await session.execute(
        text("DELETE FROM notifier.intake_hours WHERE hour < :before"), {"before": hours_before}
    )
    return int(samples.rowcount + hours.rowcount)
