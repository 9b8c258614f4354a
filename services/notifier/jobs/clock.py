"""What becomes due without anybody doing anything."""

import asyncio
import random
from collections.abc import Mapping
from datetime import UTC, datetime

from services.notifier.domain import wake
from services.notifier.facts import fact_of
from services.notifier.settings import Alerts
from services.notifier.store import cases, deliveries
from shared.db import Database, Outbox
from shared.events.envelope import new_traceparent
from shared.ops import metrics
from shared.ops.logs import log

_log = log("notifier")

SYSTEM = "system"

_STRAND_AFTER_SECONDS = 600


class Clock:
    """Wakes cases whose snooze is over, and gives up on deliveries whose channel is gone.

    Any number of replicas may run it: a row that another one holds is skipped.
    """

    def __init__(
        self, database: Database, alerts: Mapping[str, Alerts], *, every_seconds: float = 10
    ) -> None:
        self._database = database
        self._targets = [(store, name) for store, section in alerts.items() for name in section.targets]
        self._every = every_seconds
        self._outbox = Outbox("notifier")
        self._stopping = asyncio.Event()

    async def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        while not self._stopping.is_set():
            try:
                await self.tick()
                metrics.JOB_LAST_SUCCESS.labels("clock").set_to_current_time()
            except Exception as error:  # the next tick tries again
                _log.warning("clock.failed", exc_info=error)
            try:
                async with asyncio.timeout(self._every * random.uniform(0.8, 1.2)):
                    await self._stopping.wait()
            except TimeoutError:
                pass

    async def tick(self) -> int:
        """Returns how many cases woke."""
        async with self._database.transaction() as session:
            now = datetime.now(UTC)
            changes = [wake(case, now) for case in await cases.snoozed_out(session, 500)]
            await cases.save(session, [change.case for change in changes])
            await cases.add_history(
                session,
                [
                    cases.HistoryRow(c.case.case_id, now, SYSTEM, entry)
                    for c in changes
                    for entry in c.entries
                ],
            )
            await self._outbox.put_all(
                session, [(fact_of(change, "", now), new_traceparent()) for change in changes]
            )
        async with self._database.transaction() as session:
            stranded = await deliveries.strand(session, self._targets, after_seconds=_STRAND_AFTER_SECONDS)
        if stranded:
            _log.warning("deliveries.stranded", count=stranded)
        return len(changes)
