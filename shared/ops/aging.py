"""What ages out by itself, no later than the log lets go of what it is a copy of."""

from collections.abc import Awaitable, Callable

from shared.db import Database, Session
from shared.events.topics import ERASURES
from shared.jobs.rounds import Rounds
from shared.ops import metrics
from shared.ops.logs import log

_log = log("ops")

_EVERY_SECONDS = 3600.0


class Aging(Rounds):
    """Takes away what is old, every hour. Harmless in every replica at once.

    `work` does it in one transaction and says of how many rows.
    """

    def __init__(
        self,
        database: Database,
        work: Callable[[Session], Awaitable[int]],
        name: str,
        *,
        every_seconds: float = _EVERY_SECONDS,
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
