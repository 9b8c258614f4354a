"""What ages out by itself, no later than the log lets go of what it is a copy of."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable

from shared.db import Database, Session
from shared.events.topics import ERASURES
from shared.ops import metrics
from shared.ops.logs import log

_log = log("ops")

_EVERY_SECONDS = 3600.0


class Aging:
    """Takes away what is old, every hour. Harmless in every replica at once.

    `work` does it in one transaction and says of how many rows; `name` is that of the job in the metrics.
    """

    def __init__(
        self,
        database: Database,
        work: Callable[[Session], Awaitable[int]],
        name: str,
        *,
        every_seconds: float = _EVERY_SECONDS,
    ) -> None:
        self._database = database
        self._work = work
        self._name = name
        self._every = every_seconds
        self._stopping = asyncio.Event()

    async def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        """Until `stop`; a database that is away makes it wait."""
        while not self._stopping.is_set():
            try:
                async with self._database.transaction() as session:
                    gone = await self._work(session)
                if gone:
                    _log.info("rows.aged_out", job=self._name, count=gone)
                metrics.JOB_LAST_SUCCESS.labels(self._name).set_to_current_time()
            except Exception as error:  # the next round does it
                _log.warning("rows.not_aged_out", job=self._name, exc_info=error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every * random.uniform(0.9, 1.1)):
                    await self._stopping.wait()


def oldest_erasure_seconds() -> float:
    """How long the oldest erasure waits that this process has read and not applied."""
    ages = [
        sample.value
        for family in metrics.LAG_SECONDS.collect()
        for sample in family.samples
        if sample.labels.get("topic") == ERASURES.name
    ]
    return max(ages, default=0.0)
