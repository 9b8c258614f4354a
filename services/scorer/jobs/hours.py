"""Counts the hours that are over, one process at a time."""

from services.scorer.store import hours
from shared.db import Database, driver
from shared.jobs.rounds import LeasedClockJob

_AT_ONCE = 24


class HourCounts(LeasedClockJob):
    """Keeps `scorer.hours` up with the answers, for at most a tenth of the time.

    A reader that finds an hour missing reads the answers.
    """

    def __init__(
        self,
        database: Database,
        *,
        settled_seconds: float = 60,
        idle_seconds: float = 30,
        worth_answers: int = 64,
    ) -> None:
        super().__init__(database, "scorer", "hours", every_seconds=idle_seconds, busy_share=0.1)
        self._settled = settled_seconds
        self._worth = worth_answers

    async def work(self) -> bool:
        return await self.count_some() == _AT_ONCE

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
