"""Counts the hours that are over, one process at a time."""

import asyncio
import contextlib
import random
import time

from services.scorer.store import hours
from shared.db import Database, Lease, driver
from shared.ops import metrics
from shared.ops.logs import log

_log = log("scorer")

_AT_ONCE = 24
_BUSY_SHARE = 0.1


class HourCounts:
    """Keeps `scorer.hours` up with the answers; a reader that finds an hour missing reads the answers."""

    def __init__(
        self,
        database: Database,
        *,
        settled_seconds: float = 60,
        idle_seconds: float = 30,
        worth_answers: int = 64,
    ) -> None:
        self._database = database
        self._lease = Lease(database, "scorer", "hours", grace_seconds=0)
        self._settled = settled_seconds
        self._idle = idle_seconds
        self._worth = worth_answers
        self._stopping = asyncio.Event()

    async def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        """Until `stop`; takes at most a tenth of the time, and a database that is away makes it wait."""
        while not self._stopping.is_set():
            started = time.monotonic()
            wait = self._idle
            try:
                if await self._lease.hold():
                    if await self.count_some() == _AT_ONCE:
                        wait = 0.0
                    metrics.JOB_LAST_SUCCESS.labels(self._lease.name).set_to_current_time()
            except Exception as error:  # the hours stay due
                _log.warning("hours.not_counted", job=self._lease.name, exc_info=error)
            wait = max(wait * random.uniform(0.8, 1.2), (time.monotonic() - started) * (1 / _BUSY_SHARE - 1))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._stopping.wait()
        with contextlib.suppress(Exception):  # it runs out by itself
            await self._lease.release()

    async def count_some(self) -> int:
        """Count hours that changed and have been left alone for a while; returns how many there were."""
        async with self._database.transaction() as session:
            # What is due, its changes and its answers are seen at one moment.
            await session.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            db = await driver(session)
            found = await hours.due(db, settled_seconds=self._settled, limit=_AT_ONCE)
            if found:
                await hours.count(db, found, worth=self._worth)
        return len(found)
