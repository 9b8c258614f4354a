"""Work that the clock starts, round after round.

`RepeatedJob` is any such work, `LeasedJob` and `LeasedClockJob` what one replica does at a time, `AgeOutJob`
what takes away old rows, `LeasedGaugeJob` what measures the whole installation.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from shared.db import Database, Lease, Session
from shared.events.topics import ERASURES
from shared.ops import metrics
from shared.ops.logs import log

_log = log("ops")

_AGE_OUT_EVERY_SECONDS = 3600.0


class RepeatedJob:
    """Rounds of work until `stop`, by the clock or when the bell rings. A round that fails is tried again.

    `name` is that of the job in metrics and logs. A round that takes long is followed by a longer pause:
    at most `busy_share` of the time is worked. `apart_seconds`: from the start of one round to the next when
    the bell rings, so that more comes together; a round that has more to do is followed at once.
    """

    def __init__(
        self, name: str, *, every_seconds: float, busy_share: float = 1.0, apart_seconds: float = 0.0
    ) -> None:
        self.name = name
        self._every = every_seconds
        self._busy_share = busy_share
        self._apart = apart_seconds
        self._bell = asyncio.Event()
        self._stopping = False

    def ring(self) -> None:
        """There may be something to do."""
        self._bell.set()

    async def stop(self) -> None:
        self._stopping = True
        self._bell.set()

    async def run(self) -> None:
        """Until `stop`; a database that is away makes it wait, never end."""
        failures = 0
        while not self._stopping:
            self._bell.clear()
            started = time.monotonic()
            not_before = started + self._apart
            try:
                pause = await self.round()
                failures = 0
            except Exception as error:  # the next round tries again
                failures += 1
                pause = self.failed(failures)
                not_before = time.monotonic() + random.uniform(0.1, 0.2)
                _log.warning("job.failed", job=self.name, attempt=failures, exc_info=error)
            pause = max(pause, (time.monotonic() - started) * (1 / self._busy_share - 1))
            if pause and not self._stopping:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._bell.wait()
                if not self._stopping:
                    await asyncio.sleep(not_before - time.monotonic())
        await self.end()

    async def round(self) -> float:
        """Do what there is to do; returns how many seconds to pause then, such as `self.pause()`."""
        raise NotImplementedError

    def failed(self, failures: int) -> float:
        """A round failed, the last of so many; returns how many seconds to pause."""
        return self.pause()

    async def end(self) -> None:
        """There is no next round."""

    def pause(self) -> float:
        """The usual one, in seconds; not the same in every replica."""
        return self._every * random.uniform(0.9, 1.1)

    def succeeded(self) -> None:
        """For the metrics: the job did what it is for."""
        metrics.JOB_LAST_SUCCESS.labels(self.name).set_to_current_time()


def backoff(failures: int) -> float:
    """A pause after so many failures, for what somebody waits for: 0.4 s, then twice as long, to 5 s."""
    return min(5.0, 0.2 * 2.0 ** min(failures, 5)) * random.uniform(0.8, 1.2)


class LeasedJob(RepeatedJob):
    """Rounds that only the owner of a lease does. `busy_share` and `apart_seconds`: see `RepeatedJob`."""

    def __init__(
        self,
        database: Database,
        lease: Lease,
        *,
        every_seconds: float,
        busy_share: float = 1.0,
        apart_seconds: float = 0.0,
    ) -> None:
        super().__init__(
            lease.name, every_seconds=every_seconds, busy_share=busy_share, apart_seconds=apart_seconds
        )
        self._database = database
        self._lease = lease

    async def round(self) -> float:
        if not await self._lease.hold():
            self.idle()
            return self.pause()
        more = await self.work()
        self.succeeded()
        return 0.0 if more else self.pause()

    async def end(self) -> None:
        """Let the lease go, so that a successor need not wait."""
        self.idle()
        with contextlib.suppress(Exception):  # it runs out by itself
            await self._lease.release()

    async def work(self) -> bool | None:
        """One round; true when there is more to do at once."""
        raise NotImplementedError

    def idle(self) -> None:
        """Another replica does it now, or nobody."""


class LeasedClockJob(LeasedJob):
    """A job by the clock. What a round does must be harmless twice: a lease is a hint, not a lock."""

    def __init__(
        self, database: Database, schema: str, name: str, *, every_seconds: float, busy_share: float = 0.05
    ) -> None:
        # Kept from one round to the next, also when a pause is at its longest.
        lease = Lease(database, schema, name, ttl_seconds=3 * every_seconds + 10, grace_seconds=0)
        super().__init__(database, lease, every_seconds=every_seconds, busy_share=busy_share)

    def failed(self, failures: int) -> float:
        self.idle()
        return super().failed(failures)


class AgeOutJob(RepeatedJob):
    """Takes away what is old, every hour. Harmless in every replica at once.

    `work` does it in one transaction and says of how many rows.
    """

    def __init__(
        self,
        database: Database,
        work: Callable[[Session], Awaitable[int]],
        name: str,
        *,
        every_seconds: float = _AGE_OUT_EVERY_SECONDS,
    ) -> None:
        super().__init__(name, every_seconds=every_seconds)
        self._database = database
        self._work = work

    async def round(self) -> float:
        async with self._database.transaction() as session:
            gone = await self._work(session)
        if gone:
            _log.info("rows.aged_out", job=self.name, count=gone)
        self.succeeded()
        return self.pause()


def oldest_erasure_seconds() -> float:
    """How long the oldest erasure waits that this process has read and not applied."""
    ages = [
        sample.value
        for family in metrics.LAG_SECONDS.collect()
        for sample in family.samples
        if sample.labels.get("topic") == ERASURES.name
    ]
    return max(ages, default=0.0)


class GaugeSource(Protocol):
    """What is measured."""

    async def measure(self) -> None:
        """Set the gauges, all of them without a pause between."""

    def forget(self) -> None:
        """Take them away: another replica shows them, or nobody knows them now."""


class LeasedGaugeJob(LeasedClockJob):
    """Gauges about the whole installation: measured by one replica, absent from the metrics of all others.

    While the database is away there are no values rather than old ones.
    """

    def __init__(
        self, database: Database, schema: str, what: GaugeSource, *, every_seconds: float = 15
    ) -> None:
        super().__init__(database, schema, "gauges", every_seconds=every_seconds)
        self._what = what

    async def work(self) -> None:
        await self._what.measure()

    def idle(self) -> None:
        self._what.forget()
