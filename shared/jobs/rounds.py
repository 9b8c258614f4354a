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
    """Does a round of work again and again until `stop`: by the clock, or soon after `ring`.

    A round that fails is tried again. `name` is that of the job in metrics and logs. `busy_share`: at most
    this share of the time is worked, so a long round is followed by a long pause. `apart_seconds`: the least
    time from the start of one round to the next after `ring`, so that more work comes together; a round that
    says that there is more to do is followed at once.
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
        """Wake the job: there may be something to do."""
        self._bell.set()

    async def stop(self) -> None:
        """Ask for the end; a round that has begun is finished."""
        self._stopping = True
        self._bell.set()

    async def run(self) -> None:
        """Do rounds until `stop`. Raises nothing: when the database is away, the next round tries again."""
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
        """Do the work that waits; returns the seconds to pause then, such as `self.pause()`."""
        raise NotImplementedError

    def failed(self, failures: int) -> float:
        """Called after a round that failed, as one of so many in a row; returns the seconds to pause."""
        return self.pause()

    async def end(self) -> None:
        """Called once after the last round."""

    def pause(self) -> float:
        """The usual pause in seconds, a little different in every replica."""
        return self._every * random.uniform(0.9, 1.1)

    def succeeded(self) -> None:
        """Note in the metrics that a round ended well."""
        metrics.JOB_LAST_SUCCESS.labels(self.name).set_to_current_time()


def backoff(failures: int) -> float:
    """The pause in seconds after so many failures of urgent work: 0.4, then twice as long each time, to 5."""
    return min(5.0, 0.2 * 2.0 ** min(failures, 5)) * random.uniform(0.8, 1.2)


class LeasedJob(RepeatedJob):
    """A job that only the owner of a lease does. `busy_share` and `apart_seconds`: see `RepeatedJob`."""

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
        """Release the lease, so that the next owner need not wait."""
        self.idle()
        with contextlib.suppress(Exception):  # the lease runs out by itself
            await self._lease.release()

    async def work(self) -> bool | None:
        """Do one round as the owner; returns True when there is more to do at once."""
        raise NotImplementedError

    def idle(self) -> None:
        """Called when this replica does not own the lease."""


class LeasedClockJob(LeasedJob):
    """A job by the clock under a lease named as the job.

    Two replicas may do a round at the same time, because a lease is no lock: a round must be harmless twice.
    """

    def __init__(
        self, database: Database, schema: str, name: str, *, every_seconds: float, busy_share: float = 0.05
    ) -> None:
        # Long enough to be kept from one round to the next, also when the pause is at its longest.
        lease = Lease(database, schema, name, ttl_seconds=3 * every_seconds + 10, grace_seconds=0)
        super().__init__(database, lease, every_seconds=every_seconds, busy_share=busy_share)

    def failed(self, failures: int) -> float:
        self.idle()
        return super().failed(failures)


class AgeOutJob(RepeatedJob):
    """Removes old rows every hour. Harmless in every replica at once.

    `work` removes them in the session's transaction and returns how many there were.
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
            removed = await self._work(session)
        if removed:
            _log.info("rows.aged_out", job=self.name, count=removed)
        self.succeeded()
        return self.pause()


def oldest_erasure_seconds() -> float:
    """The age of the oldest erasure that this process has still to apply, from the lag of its topic."""
    ages = [
        sample.value
        for family in metrics.LAG_SECONDS.collect()
        for sample in family.samples
        if sample.labels.get("topic") == ERASURES.name
    ]
    return max(ages, default=0.0)


class GaugeSource(Protocol):
    """Gauges that a job sets."""

    async def measure(self) -> None:
        """Set all gauges, without an await between the first and the last."""

    def forget(self) -> None:
        """Remove the gauges from the metrics: another replica shows them, or nobody can know them now."""


class LeasedGaugeJob(LeasedClockJob):
    """Gauges about the whole installation: measured by one replica, absent from the metrics of all others.

    While the database is away there are no values rather than old ones.
    """

    def __init__(
        self, database: Database, schema: str, gauges: GaugeSource, *, every_seconds: float = 15
    ) -> None:
        super().__init__(database, schema, "gauges", every_seconds=every_seconds)
        self._gauges = gauges

    async def work(self) -> None:
        await self._gauges.measure()

    def idle(self) -> None:
        self._gauges.forget()
