"""Fill the scorer's tables by sets: any number of answers, in the shape in which the scorer stores them."""

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, TypeAlias

import asyncpg
import orjson

from bench.answers import COUNTRIES, LINES, TOUCHPOINTS, made_events
from bench.stage import CONFIG, STORE
from services.scorer.counting.counter import StoreRules
from services.scorer.counting.store import verification
from services.scorer.counting.store.series import Series, SeriesIds
from shared import config as configuration

DAYS = 365
_PEOPLE_PER_ANSWER = 0.336
"""Drawn from so many people, 60% of three quarters of the answers are by somebody who answered before."""

Connection: TypeAlias = "asyncpg.Connection[Any]"


def rules() -> StoreRules:
    """The benchmark's store as the scorer reads it."""
    return StoreRules(configuration.load(CONFIG).stores[STORE])


async def fill(db: Connection, count: int) -> None:
    """Answers evenly over a year up to now; respondents, series, buckets and marks to go with them.

    The tables of answers are unlogged meanwhile and stay so, which reading does not notice.
    """
    await db.execute(
        "SET work_mem = '256MB'; SET maintenance_work_mem = '512MB'; SET synchronous_commit = off"
    )
    await _profiles(db)
    await db.execute("SELECT setseed(0.42)")
    await db.execute(
        f"""CREATE UNLOGGED TABLE made AS
            SELECT i, $1::timestamptz + (i - random()) * $2::interval AS answered_at,
                   CASE WHEN random() >= 0.25 THEN (random() * $3)::int END AS person,
                   (ARRAY[10,10,10,9,9,9,8,8,7,6,3,0])[1 + (random() * 11)::int] AS score,
                   1 + (random() * {len(_kinds()) - 1})::int AS profile
            FROM generate_series(1, $4) AS i""",
        datetime.now(UTC) - timedelta(days=DAYS),
        timedelta(days=DAYS) / count,
        count * _PEOPLE_PER_ANSWER,
        count,
        timeout=1800,
    )
    indexes = await db.fetch(
        """SELECT indexname, indexdef FROM pg_indexes
           WHERE schemaname = 'scorer' AND tablename = 'answers' AND indexname <> 'answers_pkey'"""
    )
    for name, _ in indexes:
        await db.execute(f"DROP INDEX scorer.{name}")
    await db.execute("ALTER TABLE scorer.answers SET UNLOGGED; ALTER TABLE scorer.respondents SET UNLOGGED")
    await db.execute(_ANSWERS, STORE, rules().config.timezone, timeout=3600)
    await db.execute(
        """INSERT INTO scorer.respondents (store, respondent)
           SELECT $1, lpad(to_hex(person), 32, '0') FROM made WHERE person IS NOT NULL GROUP BY person""",
        STORE,
        timeout=1800,
    )
    for _, definition in indexes:
        await db.execute(definition, timeout=1800)
    async with db.transaction():
        await verification.recount_buckets(db, 0)
    await db.execute("DROP TABLE made, profiles")
    for table in ("answers", "buckets", "respondents"):
        await db.execute(f"VACUUM ANALYZE scorer.{table}", timeout=1800)


_ANSWERS = """
    INSERT INTO scorer.answers (store, response_id, respondent, metric, scale, answered_at, received_at,
        ce_id, fingerprint, latest, day, grp, score, series, body)
    SELECT $1, 'made-' || lpad(m.i::text, 9, '0'), lpad(to_hex(m.person), 32, '0'), 'nps', '0-10',
        m.answered_at, m.answered_at, 'ce-' || m.i, md5(m.i::text) || md5(m.i::text),
        m.person IS NULL OR l.i IS NOT NULL, (m.answered_at AT TIME ZONE $2)::date,
        CASE WHEN m.score >= 9 THEN 1 WHEN m.score >= 7 THEN 0 ELSE -1 END, m.score, p.series, p.body
    FROM made m
    JOIN profiles p ON p.id = m.profile
    LEFT JOIN (SELECT max(i) AS i FROM made WHERE person IS NOT NULL GROUP BY person) l ON l.i = m.i"""


def _kinds() -> list[tuple[str, str, str]]:
    return list(product(TOUCHPOINTS, COUNTRIES, LINES))


async def _profiles(db: Connection) -> None:
    """For each combination of the values that decide the cuts: its series, and a body as it is stored."""
    cuts, book = rules().cuts, SeriesIds()
    event = next(made_events(1, days=1, upto=datetime.now(UTC)))
    rows = []
    for number, (touchpoint, country, line) in enumerate(_kinds(), start=1):
        segments = {"country": country, "product_line": line}
        series = [
            Series(STORE, "nps", "0-10", cut.segment, cut.touchpoint)
            for cut in cuts.of(cuts.profile(segments, touchpoint, None))
        ]
        ids = await book.ids(db, series)
        body = orjson.dumps({**event, "touchpoint": touchpoint, "segments": segments}).decode()
        rows.append((number, sorted(ids.values()), body))
    await db.execute("CREATE UNLOGGED TABLE profiles (id int PRIMARY KEY, series int[], body text)")
    await db.executemany("INSERT INTO profiles VALUES ($1, $2, $3)", rows)
