"""Resident memory of each process after a load that went through all of them."""

import asyncio
import time

import asyncpg

from bench.collector import records
from bench.latency import SERVICES
from bench.machine import resident_mb
from bench.report import Figures, Goal, Part
from bench.stage import Failed, Running, Stage, run_module, wait_ready
from shared.events.topics import RESPONSES

LIMITS = {"collector": 80.0, "scorer": 120.0}
_CAUGHT_UP_SECONDS = 150.0
_PROGRESS = "SELECT coalesce(sum(next_offset), 0)::bigint FROM {}.progress WHERE topic = $1"


def run(*, quick: bool) -> Part:
    """Load the collector, wait until every consumer caught up, and look."""
    with Stage() as stage:
        url = stage.database("memory")
        key = stage.key(url)
        running = {name: stage.service(name, url, COLLECTOR_RATE_LIMIT_PER_SECOND="0") for name in SERVICES}
        wait_ready(*running.values())
        idle = {name: service.resident_mb()[0] for name, service in running.items()}
        load = run_module(
            "bench.load", running["collector"].port, 64, 3 if quick else 8, key, "memory", timeout_seconds=120
        )
        count = asyncio.run(records(stage.bootstrap, RESPONSES.name))
        asyncio.run(_caught_up(url, count, running))
        figures = Figures(
            f"After {count:,} answers through all four, in MB", ("process", "started", "after", "highest")
        )
        for name, service in running.items():
            figures.rows.append((name, idle[name], *service.resident_mb()))
        figures.rows.append(("kafka", None, *resident_mb(stage.engine_pids()["kafka"])))
        goals = [
            Goal(f"{name}, resident", limit, running[name].resident_mb()[0], "MB")
            for name, limit in LIMITS.items()
        ]
    part = Part("memory", [figures], goals)
    part.checks[f"{load['accepted']:,} answers accepted, {count:,} on the topic"] = load["accepted"] == count
    part.notes = ["MB are 10^6 bytes; resident counts shared libraries in each process"]
    return part


async def _caught_up(url: str, count: int, running: dict[str, Running]) -> None:
    db = await asyncpg.connect(url)
    try:
        until = time.monotonic() + _CAUGHT_UP_SECONDS
        for schema in ("scorer", "segmenter", "notifier"):
            while (applied := await db.fetchval(_PROGRESS.format(schema), RESPONSES.name)) < count:
                if time.monotonic() > until:
                    log = running[schema].log.read_text(encoding="utf-8", errors="replace")[-2000:]
                    raise Failed(
                        f"the {schema} applied {applied:,} of {count:,} within"
                        f" {_CAUGHT_UP_SECONDS:.0f} s\n{log}"
                    )
                _ = running[schema].pid
                await asyncio.sleep(0.2)
    finally:
        await db.close()
