"""How long a rolling score takes, from 100,000 to 10,000,000 answers, beside a plain count in SQL."""

import asyncio
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import asyncpg
import orjson

from bench import filling, http
from bench.answers import COUNTRIES, LINES, TOUCHPOINTS
from bench.percentiles import percentile
from bench.report import Figures, Goal, Part
from bench.stage import STORE, Failed, Stage, wait_ready
from services.scorer.counting.store import verification
from shared.feedback.windows import WINDOWS

_PEER_SECONDS = 40.0
_SETTLE_SECONDS = 12.0

PLAIN = """SELECT count(*) FILTER (WHERE grp = 1), count(*) FILTER (WHERE grp = 0),
        count(*) FILTER (WHERE grp = -1)
    FROM scorer.answers WHERE store = $1 AND series IS NOT NULL AND answered_at > $2 AND answered_at <= $3
    AND $4 = ANY(series)"""


@dataclass(frozen=True, slots=True)
class Question:
    """One score that is asked for; `as_of` of None: the latest policy, now."""

    segment: str
    touchpoint: str
    window: str
    as_of: datetime | None

    def path(self) -> str:
        parameters = {"segment": self.segment, "touchpoint": self.touchpoint, "window": self.window}
        if self.as_of is None:
            parameters["policy"] = "latest"
        else:
            parameters |= {"policy": "all", "as_of": self.as_of.isoformat()}
        return "/v1/scores?" + urlencode(parameters)


def questions(number: int, *, latest: bool, seed: int) -> list[Question]:
    """Random declared segments and windows, as of random moments of the year."""
    dice = random.Random(seed)
    segments = [
        ("", ""),
        ("tier:unknown", ""),
        *[(f"country:{country}", "") for country in COUNTRIES],
        *[(f"product_line:{line}", "") for line in LINES],
        *[("", touchpoint) for touchpoint in TOUCHPOINTS],
        *[(f"country:{country}", touchpoint) for country in COUNTRIES for touchpoint in TOUCHPOINTS],
    ]
    now = datetime.now(UTC)
    return [
        Question(
            *dice.choice(segments),
            dice.choice(list(WINDOWS)),
            None if latest else now - timedelta(days=filling.DAYS) * dice.random(),
        )
        for _ in range(number)
    ]


def run(*, quick: bool) -> Part:
    """A database of each size in turn; the scorer's process answers over HTTP, one request at a time."""
    sizes = (100_000, 1_000_000) if quick else (100_000, 1_000_000, 10_000_000)
    requests = 300 if quick else 1000
    part = Part("query")
    figures = Figures(
        "GET /v1/scores over HTTP, 365 days, random declared segments, windows and moments; times in ms",
        (
            "answers", "all p50", "all p99", "latest now p50", "latest now p99",
            "plain SQL count p50", "plain SQL count p99", "CPU a GET", "of it PostgreSQL", "filled in s",
        ),
    )  # fmt: skip
    p99: dict[int, float] = {}
    cpu: dict[int, float] = {}
    with Stage() as stage:
        for size in sizes:
            name = f"answers_{size}"
            url = stage.database(name)
            started = time.perf_counter()
            faults = asyncio.run(_fill(url, size))
            filled = time.perf_counter() - started
            part.checks[f"{size:,} answers: {faults} buckets differ from a recount"] = faults == 0
            scorer = stage.service("scorer", url)
            wait_ready(scorer)
            time.sleep(_SETTLE_SECONDS)  # the publisher computes every score once
            key = stage.key(url)
            before, postgres = scorer.cpu_seconds(), stage.postgres_cpu_seconds()
            every = asyncio.run(_ask(scorer.port, key, questions(requests, latest=False, seed=size)))
            latest = asyncio.run(_ask(scorer.port, key, questions(requests // 2, latest=True, seed=size)))
            postgres = (stage.postgres_cpu_seconds() - postgres) / (requests + requests // 2 + 40) * 1000
            cpu[size] = (scorer.cpu_seconds() - before) / (requests + requests // 2 + 40) * 1000 + postgres
            plain, equal = asyncio.run(_plainly(url, scorer.port, key, requests // 5))
            part.checks[f"{size:,} answers: {len(plain)} scores equal the plain count"] = equal
            scorer.stop()
            stage.drop_database(name)
            p99[size] = max(percentile(every, 0.99), percentile(latest, 0.99))
            figures.rows.append(
                (
                    size,
                    *[percentile(times, share) for times in (every, latest, plain) for share in (0.5, 0.99)],
                    cpu[size],
                    postgres,
                    filled,
                )
            )
    part.figures.append(figures)
    part.goals = [
        Goal(f"p99 at {size:,} answers, the slower policy", 10, value, "ms") for size, value in p99.items()
    ]
    part.goals.append(
        Goal(
            f"flat: CPU of a GET at {sizes[-1]:,} beside {sizes[0]:,} answers",
            2,
            cpu[sizes[-1]] / cpu[sizes[0]],
            "times",
        )
    )
    part.notes = [
        f"{requests:,} questions of policy=all with as_of, {requests // 2:,} of policy=latest now;"
        " client included",
        "the plain count reads the scorer's own covering index on (store, answered_at), without HTTP",
        "'flat' is read as at most twice the CPU, scorer and PostgreSQL; the goal names no number",
        "filled by sets rather than through the topic; unlogged tables, which reading does not notice",
    ]
    return part


async def _fill(url: str, size: int) -> int:
    db = await asyncpg.connect(url)
    try:
        await filling.fill(db, size)
        return len(await verification.bucket_faults(db))
    finally:
        await db.close()


async def _ask(port: int, key: str, batch: list[Question]) -> list[float]:
    """Milliseconds of each answer, after a few that warm up."""
    connection = await http.Connection.open(port)
    times = []
    try:
        for number, question in enumerate([*batch[:20], *batch]):
            started = time.perf_counter()
            status, body = await connection.request(http.get(question.path(), key))
            if status != 200:
                raise Failed(f"{question.path()} was answered with {status}: {body.decode()}")
            if number >= 20:
                times.append((time.perf_counter() - started) * 1000)
    finally:
        connection.close()
    return times


async def _plainly(url: str, port: int, key: str, most: int) -> tuple[list[float], bool]:
    """Milliseconds of plain counts within a time, and whether the scorer says the same."""
    db: asyncpg.Connection[Any] = await asyncpg.connect(url)
    connection = await http.Connection.open(port)
    times: list[float] = []
    equal = True
    until = time.monotonic() + _PEER_SECONDS
    try:
        for question in questions(most, latest=False, seed=1):
            series = await db.fetchval(
                "SELECT id FROM scorer.series WHERE store = $1 AND segment = $2 AND touchpoint = $3",
                STORE,
                question.segment,
                question.touchpoint,
            )
            upto = question.as_of
            assert upto is not None
            started = time.perf_counter()
            row = await db.fetchrow(PLAIN, STORE, upto - WINDOWS[question.window], upto, series)
            times.append((time.perf_counter() - started) * 1000)
            _, body = await connection.request(http.get(question.path(), key))
            score = orjson.loads(body)
            counts = [score[name] or 0 for name in ("promoters", "passives", "detractors")]
            equal = equal and row is not None and counts == list(row)
            if time.monotonic() > until:
                break
    finally:
        connection.close()
        await db.close()
    return times, equal
