"""`python -m bench.storage [ANSWERS]`: what a million answers take on the disks of both engines."""

import asyncio
import sys
import time
from collections.abc import Mapping

import asyncpg

from bench.answers import fill_topic
from bench.stage import Failed, Running, Stage, wait_ready
from shared.events.topics import RESPONSES

CONSUMERS = ("scorer", "segmenter", "notifier")
DAYS = 30
LIMIT_SECONDS = 1800

_BEHIND = """SELECT min(n)::bigint FROM (
    SELECT coalesce(sum(next_offset), 0) AS n FROM {}.progress WHERE topic = $1) one"""
_SIZES = """SELECT n.nspname, sum(pg_relation_size(c.oid))::bigint, sum(pg_indexes_size(c.oid))::bigint,
                   sum(pg_total_relation_size(c.oid))::bigint
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind = 'r' AND n.nspname = ANY($1) GROUP BY 1 ORDER BY 1"""
_TABLES = """SELECT n.nspname || '.' || c.relname, pg_total_relation_size(c.oid)
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind = 'r' AND n.nspname = ANY($1) ORDER BY 2 DESC LIMIT 8"""


async def applied(url: str, count: int, services: Mapping[str, Running]) -> None:
    """Until every consumer has applied them all; prints when each of them had."""
    db = await asyncpg.connect(url)
    started, waiting = time.monotonic(), dict(services)
    try:
        while waiting:
            for name, service in list(waiting.items()):
                _ = service.pid  # raises when it ended
                if await db.fetchval(_BEHIND.format(name), RESPONSES.name) >= count:
                    took = time.monotonic() - started
                    print(f"{name:<10} {count / took:>8,.0f} answers/s, {service.cpu_seconds():.1f} s of CPU")
                    del waiting[name]
            if time.monotonic() - started > LIMIT_SECONDS:
                raise Failed(f"not applied: {', '.join(waiting)}")
            await asyncio.sleep(0.2)
    finally:
        await db.close()


async def sizes(url: str, count: int) -> None:
    db = await asyncpg.connect(url)
    try:
        await db.execute("VACUUM (ANALYZE)")
        total = 0
        for schema, heap, indexes, whole in await db.fetch(_SIZES, list(CONSUMERS)):
            total += whole
            print(
                f"{schema:<10} {_mb(whole, count)} (tables {_mb(heap, count)}, indexes {_mb(indexes, count)})"
            )
        print(f"PostgreSQL {_mb(total, count)}")
        for table, size in await db.fetch(_TABLES, list(CONSUMERS)):
            print(f"  {table:<24} {_mb(size, count)}")
    finally:
        await db.close()


def _mb(size: int, count: int) -> str:
    return f"{size / count:,.0f} MB"  # bytes for each answer are megabytes for each million


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with Stage() as stage:
        url = stage.database("storage")
        asyncio.run(fill_topic(stage.bootstrap, count, days=DAYS))
        services = {name: stage.service(name, url) for name in CONSUMERS}
        wait_ready(*services.values())
        asyncio.run(applied(url, count, services))
        print(f"for each million answers, measured with {count:,}:")
        for topic, size in sorted(stage.topic_bytes().items()):
            print(f"Kafka {topic:<24} {_mb(size, count)}")
        asyncio.run(sizes(url, count))


if __name__ == "__main__":
    main()
