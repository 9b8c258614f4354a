"""Rounds of work that one replica does at a time."""

import asyncio
import contextlib
import random
import time

from shared.db import Database, Lease
from shared.ops import metrics
from shared.ops.logs import log

_log = log("ops")


class Leased:
    """A job under a lease. What a round does must be harmless twice: a lease is a hint, not a lock.

    A round that takes long is followed by a longer pause: at most `busy_share` of the time is worked.
    """

    def __init__(
        self, database: Database, schema: str, name: str, *, every_seconds: float, busy_share: float = 0.05
    ) -> None:
        self._database = database
        # Kept from one round to the next, also when a pause is at its longest.
        self._lease = Lease(database, schema, name, ttl_seconds=3 * every_seconds + 10, grace_seconds=0)
        self._every = every_seconds
        self._busy_share = busy_share
        self._stopping = asyncio.Event()

    async def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        """Until `stop`; a database that is away makes it wait."""
        while not self._stopping.is_set():
            started, more = time.monotonic(), False
            try:
                if await self._lease.hold():
                    more = bool(await self.work())
                    metrics.JOB_LAST_SUCCESS.labels(self._lease.name).set_to_current_time()
                else:
                    self.idle()
            except Exception as error:  # the next round tries again
                self.idle()
                _log.warning("job.failed", job=self._lease.name, exc_info=error)
            pause = 0.0 if more else self._every * random.uniform(0.9, 1.1)
            wait = max(pause, (time.monotonic() - started) * (1 / self._busy_share - 1))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._stopping.wait()
        self.idle()
        with contextlib.suppress(Exception):  # it runs out by itself
            await self._lease.release()

    async def work(self) -> bool | None:
        """One round; true when there is more to do at once."""
        raise NotImplementedError

    def idle(self) -> None:
        """This replica does not do it now, or could not."""
