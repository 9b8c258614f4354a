"""The inbox with 1,000,000 open cases: its first page, and each filter, over HTTP."""

import asyncio
import random
import time
from typing import Any
from urllib.parse import urlencode

import asyncpg
import orjson

from bench import http
from bench.percentiles import percentile
from bench.report import Figures, Goal, Part
from bench.stage import STORE, Failed, Stage, wait_ready

CASES = 1_000_000
OWNERS = 20
_LIMIT_MS = 100.0
_WARM = 3

# How often each word is in a comment: from one that everybody writes to one that hardly anybody does.
WORDS = {"late": 0.3, "broken": 0.05, "zipper": 0.02, "refund": 0.002, "zebra": 0.0001}

_TABLES = ("answers", "cases", "case_answers", "customers", "case_watchers")

_MADE = f"""CREATE UNLOGGED TABLE made AS SELECT n, random() AS a, random() AS b, random() AS c,
    random() AS d, random() AS e, now() + (random() - 0.3) * interval '20 days' AS due,
    'Something was not as it should have been'
    {" ".join(f"|| CASE WHEN random() < {share} THEN ' {word}' ELSE '' END" for word, share in WORDS.items())}
    AS comment FROM generate_series(1, $1::int) n"""

_FILL = (
    """INSERT INTO notifier.customers (store, customer_ref, tier)
       SELECT $1, 'c-' || n, CASE WHEN c < 0.02 THEN 'Gold' WHEN c < 0.2 THEN 'Silver' ELSE 'Bronze' END
       FROM made""",
    """INSERT INTO notifier.answers (store, response_id, customer_ref, metric, scale, score, grp, answered_at,
                                    received_at, revisions)
       SELECT $1, 'r-' || n, 'c-' || n, 'nps', '0-10', (a * 7)::int % 7, 'detractor', now(), now(),
              jsonb_build_object('e-' || n, jsonb_build_object('type', 'response.submitted.v1', 'body',
                  jsonb_build_object('store', $1::text, 'response_id', 'r-' || n, 'received_at', now(),
                      'fingerprint', 'f', 'metric', 'nps', 'scale', '0-10', 'score', (a * 7)::int % 7,
                      'answered_at', now(), 'comment', comment, 'identity', 'identified', 'customer',
                      jsonb_build_object('ref', 'c-' || n, 'id', 'c-' || n, 'name', 'Customer ' || n,
                          'email', 'c' || n || '@example.com'))))
       FROM made""",
    f"""INSERT INTO notifier.cases (case_id, store, customer_ref, response_id, status, priority, rule,
            config_version, verified, tier, owner, opened_at, first_contact_due_at, first_contact_at,
            resolve_due_at, resolve_hours, reopened, version, team, wants_contact, score, metric,
            last_group, snoozed_at, snoozed_until, before_snooze, resolved_at, clock_from, resolve_from,
            words)
       SELECT lpad(to_hex(n), 8, '0'), $1, 'c-' || n, 'r-' || n, s.status,
              CASE WHEN b < 0.03 THEN 'urgent' WHEN b < 0.2 THEN 'high' WHEN b < 0.9 THEN 'normal'
                   ELSE 'low' END,
              'default', 'v', true,
              CASE WHEN c < 0.02 THEN 'Gold' WHEN c < 0.2 THEN 'Silver' ELSE 'Bronze' END,
              CASE WHEN s.status <> 'open'
                   THEN 'agent' || (d * {OWNERS})::int % {OWNERS} || '@example.com' END,
              due - interval '3 days', due - interval '2 days',
              CASE WHEN s.status IN ('contacted', 'resolved') THEN due - interval '2 days' END, due, 72, 0, 1,
              CASE WHEN d < 0.01 THEN 'vip' WHEN d < 0.6 THEN 'care' END, e < 0.02, (a * 7)::int % 7, 'nps',
              'detractor', CASE WHEN s.status = 'snoozed' THEN now() END,
              CASE WHEN s.status = 'snoozed' THEN now() + interval '9 days' END,
              CASE WHEN s.status = 'snoozed' THEN 'open' END,
              CASE WHEN s.status = 'resolved' THEN now() END,
              due - interval '3 days', due - interval '3 days',
              to_tsvector('simple', 'Customer ' || n || ' c-' || n || ' c' || n || '@example.com ' || comment)
       FROM made CROSS JOIN LATERAL (SELECT CASE WHEN e < 0.4 THEN 'open' WHEN e < 0.7 THEN 'assigned'
            WHEN e < 0.9 THEN 'contacted' WHEN e < 0.92 THEN 'snoozed' WHEN e < 0.95 THEN 'reopened'
            ELSE 'resolved' END AS status) s""",
    """INSERT INTO notifier.case_answers (store, response_id, case_id, part, added_at)
       SELECT $1, 'r-' || n, lpad(to_hex(n), 8, '0'), 'opened', now() FROM made""",
    """INSERT INTO notifier.case_watchers (case_id, who)
       SELECT lpad(to_hex(n), 8, '0'), 'kim@example.com' FROM made
       WHERE n % 5000 = 0 AND $1::text IS NOT NULL""",
)


def filters(dice: random.Random) -> dict[str, dict[str, str]]:
    """Each filter of the list, as the inbox asks for it: cases in work, the next clock on top."""
    agent = f"agent{dice.randrange(OWNERS)}@example.com"
    queries: dict[str, dict[str, str]] = {
        "first page": {},
        "owner": {"owner": agent},
        "nobody's": {"owner": "none"},
        "priority, common": {"priority": "normal"},
        "priority, rare": {"priority": "urgent"},
        "team, rare": {"team": "vip"},
        "tier, rare": {"tier": "Gold"},
        "status, rare": {"status": "snoozed"},
        "two statuses": {"status": "snoozed,reopened"},
        "overdue": {"overdue": "true"},
        "due today": {"due": "today"},
        "please call": {"wants_contact": "true"},
        "watched": {"watcher": "kim@example.com"},
        "owner, urgent, overdue": {"owner": agent, "priority": "urgent", "overdue": "true"},
        "a customer's e-mail": {"q": f"c{dice.randrange(1, CASES)}@example.com"},
        **{f"word in {share:.2%}": {"q": word} for word, share in WORDS.items()},
        "two words": {"q": "broken zipper"},
        "word and owner": {"q": "broken", "owner": agent},
    }
    return {name: {"status": "live", **query} for name, query in queries.items()}


def run(*, quick: bool) -> Part:
    """One process of the notifier, one request at a time."""
    requests = 20 if quick else 100
    part = Part("cases")
    figures = Figures(
        f"GET /v1/cases over HTTP, 50 cases a page, {CASES:,} open cases; times in ms",
        ("filter", "cases on the page", "p50", "p99"),
    )
    with Stage() as stage:
        url = stage.database("cases")
        started = time.perf_counter()
        count = asyncio.run(_fill(url))
        filled = time.perf_counter() - started
        part.checks[f"{count:,} cases are open"] = count == CASES
        notifier = stage.service("notifier", url)
        wait_ready(notifier)
        times = asyncio.run(_ask(notifier.port, stage.key(url), requests))
        resident, _ = notifier.resident_mb()
    for name, (shown, taken) in times.items():
        figures.rows.append((name, shown, percentile(taken, 0.5), percentile(taken, 0.99)))
        part.checks[f"{name}: shows cases"] = shown > 0
    part.figures.append(figures)
    part.goals = [
        Goal("first page, p99", _LIMIT_MS, percentile(times["first page"][1], 0.99), "ms"),
        Goal("the slowest filter, p99", _LIMIT_MS, max(percentile(t, 0.99) for _, t in times.values()), "ms"),
    ]
    part.notes = [
        f"{requests} requests of each, {_WARM} before them not counted; client included",
        f"filled by sets in {filled:.0f} s; the process has {resident:.0f} MB",
    ]
    return part


async def _fill(url: str) -> int:
    """The cases with their answers and customers, the indexes made afterwards."""
    db: asyncpg.Connection[Any] = await asyncpg.connect(url)
    try:
        await db.execute("SET work_mem = '128MB'; SET maintenance_work_mem = '256MB'")
        await db.execute("SET synchronous_commit = off; SELECT setseed(0.42)")
        indexes = await db.fetch(
            """SELECT indexname, indexdef FROM pg_indexes i WHERE schemaname = 'notifier'
               AND tablename = ANY($1) AND NOT EXISTS (SELECT 1 FROM pg_constraint c
               WHERE c.conname = i.indexname)""",
            list(_TABLES),
        )
        for index in indexes:
            await db.execute(f"DROP INDEX notifier.{index['indexname']}")
        await db.execute(_MADE.replace("$1::int", str(CASES)))
        for statement in _FILL:
            await db.execute(statement, STORE)
        for index in indexes:
            await db.execute(index["indexdef"])
        await db.execute("DROP TABLE made")
        for table in _TABLES:
            await db.execute(f"VACUUM ANALYZE notifier.{table}")
        return int(
            await db.fetchval(
                "SELECT count(*) FROM notifier.cases WHERE status NOT IN ('closed', 'dismissed')"
            )
        )
    finally:
        await db.close()


async def _ask(port: int, key: str, requests: int) -> dict[str, tuple[int, list[float]]]:
    """For each filter, how many cases the first page has, and the milliseconds of each answer."""
    connection = await http.Connection.open(port)
    dice = random.Random(7)
    pages: dict[str, tuple[int, list[float]]] = {}
    try:
        for number in range(requests + _WARM):
            for name, query in filters(dice).items():
                path = "/v1/cases?" + urlencode(query)
                started = time.perf_counter()
                status, body = await connection.request(http.get(path, key))
                took = (time.perf_counter() - started) * 1000
                if status != 200:
                    raise Failed(f"{path} was answered with {status}: {body.decode()}")
                if number >= _WARM:
                    shown, times = pages.get(name, (0, []))
                    times.append(took)
                    pages[name] = (max(shown, len(orjson.loads(body)["cases"])), times)
    finally:
        connection.close()
    return pages
