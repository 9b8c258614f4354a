"""What ages out by itself: dead letters, no later than the records that they are copies of."""

import asyncio
import contextlib
import random

from shared.db import Database
from shared.db.dead_letters import DeadLetters
from shared.events.topics import ERASURES
from shared.ops import metrics
from shared.ops.logs import log

_log = log("ops")

_EVERY_SECONDS = 3600.0


class LetterAging:
    """Empties dead letters of 21 days, every hour. Harmless in every replica at once."""

    def __init__(self, database: Database, schema: str, *, every_seconds: float = _EVERY_SECONDS) -> None:
        self._database = database
        self._letters = DeadLetters(schema)
        self._every = every_seconds
        self._stopping = asyncio.Event()

    async def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        """Until `stop`; a database that is away makes it wait."""
        while not self._stopping.is_set():
            try:
                async with self._database.transaction() as session:
                    emptied = await self._letters.age_out(session)
                if emptied:
                    _log.info("letters.aged_out", count=emptied)
                metrics.JOB_LAST_SUCCESS.labels("letters").set_to_current_time()
            except Exception as error:  # the next round does it
                _log.warning("letters.not_aged_out", exc_info=error)
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
