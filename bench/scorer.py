"""The scorer on a full topic, beside its ceiling and beside one transaction an answer."""

import asyncio
import time
from dataclasses import dataclass

import asyncpg

from bench.answers import fill_topic
from bench.report import Figures, Goal, Part
from bench.stage import Failed, Running, Stage, run_module, wait_ready
from services.scorer.counting.store import verification
from shared.events.topics import RESPONSES

DAYS = 30
_WARM_SHARE = 0.1
_LIMIT_SECONDS = 600.0


@dataclass(slots=True)
class CatchUp:
    """One run over the whole topic. CPU in seconds per 100,000 answers, over the part that was timed."""

    answers_a_second: float
    worker_cpu: float
    postgres_cpu: float
    resident_mb: float
    peak_mb: float
    counted: int
    whole_store: int
    bucket_faults: int
    deadlocks: int


def run(*, quick: bool) -> Part:
    """Every run starts from an empty database and reads the same topic from its beginning."""
    count = 60_000 if quick else 200_000
    few = 2_000 if quick else 5_000
    part = Part("scorer")
    figures = Figures(
        f"{count:,} answers of {DAYS} days in 6 partitions, counted in the store and five segments",
        (
            "who", "answers/s", "CPU s / 100,000", "of it worker", "of it PostgreSQL", "times one by one",
            "RSS MB", "peak MB",
        ),
    )  # fmt: skip
    with Stage() as stage:
        asyncio.run(fill_topic(stage.bootstrap, count, days=DAYS))
        ceiling = run_module(
            "bench.peers.consume_only", count, timeout_seconds=300, KAFKA_BOOTSTRAP_SERVERS=stage.bootstrap
        )
        plain, plain_postgres = _one_by_one(stage, few)
        plain_cpu = (plain["cpu"] + plain_postgres) / few * 1e5
        single = _catch_up(stage, 1, count)
        double = _catch_up(stage, 2, count)
    figures.rows += [
        (
            "consume and orjson only", count / ceiling["seconds"], ceiling["cpu"] / count * 1e5,
            ceiling["cpu"] / count * 1e5, 0.0, None, None, None,
        ),
        (
            "one transaction an answer", few / plain["seconds"], plain_cpu, plain["cpu"] / few * 1e5,
            plain_postgres / few * 1e5, 1.0, None, None,
        ),
    ]  # fmt: skip
    for name, load in (("scorer", single), ("two scorers", double)):
        figures.rows.append(
            (
                name,
                load.answers_a_second,
                load.worker_cpu + load.postgres_cpu,
                load.worker_cpu,
                load.postgres_cpu,
                load.answers_a_second / (few / plain["seconds"]),
                load.resident_mb,
                load.peak_mb,
            )
        )
        part.checks[
            f"{name}: {load.counted:,} of {count:,} answers counted, {load.whole_store:,} in the"
            f" whole store's buckets, {load.bucket_faults} buckets wrong, {load.deadlocks} deadlocks"
        ] = (load.counted, load.whole_store, load.bucket_faults, load.deadlocks) == (count, count, 0, 0)
    part.figures.append(figures)
    part.goals = [
        Goal("answers/s, one process", 30_000, single.answers_a_second, "/s", at_least=True),
        Goal(
            "CPU for 100,000 answers, PostgreSQL included", 4.0, single.worker_cpu + single.postgres_cpu, "s"
        ),
        Goal("resident after the load", 120, single.resident_mb, "MB"),
        Goal(
            "two processes beside one",
            1.0,
            double.answers_a_second / single.answers_a_second,
            "times",
            at_least=True,
        ),
    ]
    part.notes = [
        "timed from 10% of the topic to its end; the publisher of scores and the API are in the same process",
        f"one transaction an answer: {few:,} answers only",
        "CPU of PostgreSQL: the server with all backends, checkpointer and autovacuum included",
    ]
    return part


def _one_by_one(stage: Stage, few: int) -> tuple[dict[str, float], float]:
    url = stage.empty_database("one_by_one")
    before = stage.postgres_cpu_seconds()
    result = run_module(
        "bench.peers.one_by_one",
        few,
        timeout_seconds=300,
        DATABASE_URL=url,
        KAFKA_BOOTSTRAP_SERVERS=stage.bootstrap,
    )
    return result, stage.postgres_cpu_seconds() - before


def _catch_up(stage: Stage, processes: int, count: int) -> CatchUp:
    name = f"scorer_{processes}"
    url = stage.database(name)
    measured = asyncio.run(_timed(stage, url, processes, count))
    stage.drop_database(name)
    return measured


async def _timed(stage: Stage, url: str, processes: int, count: int) -> CatchUp:
    """All processes wait at a lock until they share the partitions; nothing of their start is timed."""
    db = await asyncpg.connect(url)
    starting_line = await asyncpg.connect(url)
    scorers: list[Running] = []
    try:
        async with starting_line.transaction():
            await starting_line.execute("LOCK TABLE scorer.answers, scorer.respondents IN EXCLUSIVE MODE")
            scorers = [stage.service("scorer", url, label=f"scorer-{n + 1}") for n in range(processes)]
            await asyncio.to_thread(wait_ready, *scorers)
        warm = await _reached(db, int(count * _WARM_SHARE), scorers)
        started, worker, postgres = _clocks(stage, scorers)
        counted = await _reached(db, count, scorers)
        ended, worker_end, postgres_end = _clocks(stage, scorers)
        timed = counted - warm
        resident = [scorer.resident_mb() for scorer in scorers]
        return CatchUp(
            answers_a_second=timed / (ended - started),
            worker_cpu=(worker_end - worker) / timed * 1e5,
            postgres_cpu=(postgres_end - postgres) / timed * 1e5,
            resident_mb=max(now for now, _ in resident),
            peak_mb=max(peak for _, peak in resident),
            counted=await db.fetchval("SELECT count(*) FROM scorer.answers WHERE series IS NOT NULL"),
            whole_store=await db.fetchval(
                """SELECT sum(detractors + passives + promoters)::bigint FROM scorer.buckets
                   JOIN scorer.series ON id = series WHERE segment = '' AND touchpoint = ''"""
            ),
            bucket_faults=len(await verification.bucket_faults(db)),
            deadlocks=await db.fetchval(
                "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
            ),
        )
    finally:
        for scorer in scorers:
            await asyncio.to_thread(scorer.stop)
        await starting_line.close()
        await db.close()


def _clocks(stage: Stage, scorers: list[Running]) -> tuple[float, float, float]:
    worker = sum(scorer.cpu_seconds() for scorer in scorers)
    return time.perf_counter(), worker, stage.postgres_cpu_seconds()


async def _reached(db: "asyncpg.Connection[asyncpg.Record]", count: int, scorers: list[Running]) -> int:
    """Wait until the stored offsets say that so many answers are counted; returns how many are."""
    deadline = time.monotonic() + _LIMIT_SECONDS
    while time.monotonic() < deadline:
        counted: int = await db.fetchval(
            "SELECT coalesce(sum(next_offset), 0)::bigint FROM scorer.progress WHERE topic = $1",
            RESPONSES.name,
        )
        if counted >= count:
            return counted
        for scorer in scorers:
            _ = scorer.pid  # raises when it ended
        await asyncio.sleep(0.05)
    raise Failed(f"after {_LIMIT_SECONDS:.0f} s only {counted:,} of {count:,} answers are counted")
