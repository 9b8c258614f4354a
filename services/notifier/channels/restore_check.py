"""The check at start whether the database went back in time: then deliveries are held."""

import asyncio

from services.notifier.deliveries import holds
from services.notifier.deliveries.holds import Why
from shared.db import Database
from shared.kafka import Brokers, committed_offsets
from shared.ops.logs import log

_log = log("notifier")

_LONGEST_SECONDS = 15.0


class RestoreCheck:
    """Holds all deliveries when the stored offsets are behind what the group told Kafka.

    Only a database that was restored (or emptied) can be: offsets are told to Kafka after they are committed.
    What such a database sends was mostly sent before, so a person decides. Check before the group reads
    anything: five seconds later it has told Kafka the older offsets, and no trace is left.
    """

    def __init__(self, database: Database, brokers: Brokers, group: str) -> None:
        self._database = database
        self._brokers = brokers
        self._group = group

    async def check(self) -> bool:
        """Hold the deliveries if the offsets are behind; returns whether they are.

        Raises when Kafka or PostgreSQL does not answer in time.
        """
        async with asyncio.timeout(_LONGEST_SECONDS):
            # Before the stored ones, which only rise.
            hints = await committed_offsets(self._brokers, self._group)
            async with self._database.transaction() as session:
                stored = await holds.places(session, self._group)
                behind = {place: at - stored.get(place, 0) for place, at in hints.items()}
                forgotten = {place: records for place, records in behind.items() if records > 0}
                if forgotten:
                    await holds.hold(session, Why.RESTORED)
        if forgotten:
            _log.critical(
                "deliveries.held",
                reason="the database is older than what Kafka was told; see docs/runbook.md, 'Restore'",
                partitions=len(forgotten),
                records=sum(forgotten.values()),
            )
        return bool(forgotten)
