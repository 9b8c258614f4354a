"""Gauges about the whole installation: measured by one replica, and absent from the metrics of all others."""

import asyncio
import contextlib
import random
import time
from typing import Protocol

from shared.db import Database, Lease
from shared.ops import metrics
from shared.ops.logs import log

_log = log("ops")

_BUSY_SHARE = 0.05


class Measured(Protocol):
    """What is measured."""

    async def measure(self) -> None:
        """Set the gauges, all of them without a pause between."""

    def forget(self) -> None:
        """Take them away: another replica shows them."""


class LeasedGauges:
    """A job that measures under a lease, every so often, for at most a twentieth of the time."""

    def __init__(self, database: Database, schema: str, what: Measured, *, every_seconds: float = 15) -> None:
        ttl = 3 * every_seconds + 10
        self._lease = Lease(database, schema, "gauges", ttl_seconds=ttl, grace_seconds=0)
        self._what = what
        self._every = every_seconds
        self._stopping = asyncio.Event()

    async def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        """Until `stop`. While the database is away there are no values rather than old ones."""
        while not self._stopping.is_set():
            started = time.monotonic()
            try:
                if await self._lease.hold():
                    await self._what.measure()
                    metrics.JOB_LAST_SUCCESS.labels(self._lease.name).set_to_current_time()
                else:
                    self._what.forget()
            except Exception as error:  # the next round tries again
                self._what.forget()
                _log.warning("gauges.not_measured", job=self._lease.name, exc_info=error)
            took = time.monotonic() - started
            wait = max(self._every * random.uniform(0.9, 1.1), took * (1 / _BUSY_SHARE - 1))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._stopping.wait()
        self._what.forget()
        with contextlib.suppress(Exception):  # it runs out by itself
            await self._lease.release()
