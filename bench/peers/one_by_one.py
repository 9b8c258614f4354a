"""The scorer as it is first written: a transaction an answer, several statements, the offset in it.

`python -m bench.peers.one_by_one COUNT`. Day buckets of the store and five segments, as the product has.
"""

import json
import os
import sys
import time
from datetime import datetime
from typing import Any

import asyncpg
import orjson
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.events.topics import RESPONSES
from shared.kafka.topics import PARTITIONS

TABLES = """
    CREATE TABLE answers (
        response_id text PRIMARY KEY, customer text, score int, answered_at timestamptz, body text
    );
    CREATE INDEX ON answers (answered_at);
    CREATE TABLE buckets (
        segment text, day date, n int, promoters int, detractors int, PRIMARY KEY (segment, day)
    );
    CREATE TABLE progress (partition int PRIMARY KEY, next_offset bigint);
"""
INSERT = """INSERT INTO answers VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING RETURNING 1"""
COUNT = """INSERT INTO buckets AS b VALUES ($1, $2, 1, $3, $4) ON CONFLICT (segment, day) DO UPDATE SET
    n = b.n + 1, promoters = b.promoters + excluded.promoters,
    detractors = b.detractors + excluded.detractors"""
MOVE = """INSERT INTO progress VALUES ($1, $2) ON CONFLICT (partition) DO UPDATE SET next_offset = $2"""


async def apply(db: "asyncpg.Connection[Any]", partition: int, offset: int, raw: bytes) -> None:
    event = orjson.loads(raw)
    answered_at = datetime.fromisoformat(event["answered_at"])
    score = event["score"]
    country, line = event["segments"]["country"], event["segments"]["product_line"]
    touchpoint = event["touchpoint"]
    async with db.transaction():
        new = await db.fetchval(
            INSERT,
            event["response_id"],
            event.get("customer", {}).get("ref"),
            score,
            answered_at,
            raw.decode(),
        )
        if new:
            for segment in (
                "", f"country:{country}", f"country:{country},touchpoint:{touchpoint}", f"line:{line}",
                "tier:unknown", f"touchpoint:{touchpoint}",
            ):  # fmt: skip
                await db.execute(COUNT, segment, answered_at.date(), int(score >= 9), int(score <= 6))
        await db.execute(MOVE, partition, offset + 1)


async def consume(count: int) -> dict[str, float]:
    """Count so many answers from the beginning of the topic; the clocks start with the first."""
    db = await asyncpg.connect(os.environ["DATABASE_URL"])
    client = AIOKafkaConsumer(bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"])
    await client.start()
    try:
        await db.execute(TABLES)
        places = [TopicPartition(RESPONSES.name, number) for number in range(PARTITIONS)]
        client.assign(places)
        await client.seek_to_beginning(*places)
        started, cpu, seen = time.perf_counter(), time.process_time(), 0
        while seen < count:
            for place, records in (await client.getmany(timeout_ms=5000, max_records=100)).items():
                for record in records:
                    await apply(db, place.partition, record.offset, record.value)
                seen += len(records)
        elapsed, used = time.perf_counter() - started, time.process_time() - cpu
        counted = await db.fetchval("SELECT n FROM (SELECT sum(n) AS n FROM buckets WHERE segment = '') x")
        return {"answers": seen, "counted": counted, "seconds": elapsed, "cpu": used}
    finally:
        await client.stop()
        await db.close()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(uvloop.run(consume(int(sys.argv[1])))) + "\n")
