"""Watches that the topics to which a service writes stay the logs that they were.

What it accepts into a topic that was made anew is durable, but the consumers halt before it: that must not
look like a healthy service.
"""

import asyncio
from collections.abc import Sequence

from shared.db import Database, WrittenLogs
from shared.kafka.log_identity import LogMismatch, made_anew, missing
from shared.kafka.producer import Producer
from shared.ops import metrics
from shared.ops.health import NotReady
from shared.ops.logs import log

_log = log("kafka")

_EVERY_SECONDS = 3.0


class LogWatch:
    """Compares the ids of topics with those that the service's schema knows; the first ones are trusted."""

    def __init__(self, database: Database, producer: Producer, schema: str, topics: Sequence[str]) -> None:
        self._database = database
        self._producer = producer
        self._written = WrittenLogs(schema)
        self._topics = tuple(topics)
        self._mismatch: LogMismatch | None = None
        metrics.show_log_faults(self._topics, ())

    async def run(self) -> None:
        """Compare every 3 s, for ever. What cannot be asked leaves the last result as it is."""
        while True:
            await asyncio.sleep(_EVERY_SECONDS)
            try:
                await self.look()
            except Exception as error:  # broker or database away: others say so
                _log.info("logs.not_compared", exc_info=error)

    async def look(self) -> None:
        """Compare once. Raises what the broker or the database raises."""
        logs = await self._producer.logs(self._topics)
        topic_ids = {topic: log_of_topic.topic_id for topic, log_of_topic in logs.items()}
        async with asyncio.timeout(5), self._database.transaction() as session:
            known = await self._written.known(session)
            await self._written.note(
                session, {topic: topic_id for topic, topic_id in topic_ids.items() if topic not in known}
            )
        faults: dict[str, str] = {}
        for topic in self._topics:
            if topic not in topic_ids:
                faults[topic] = missing(topic)
            elif known.get(topic, topic_ids[topic]) != topic_ids[topic]:
                faults[topic] = made_anew(topic, known[topic], topic_ids[topic])
        before = self._mismatch.faults if self._mismatch else {}
        self._mismatch = LogMismatch(faults) if faults else None
        metrics.show_log_faults(self._topics, faults)
        if faults and faults != before:
            _log.critical("logs.differ", reason=str(self._mismatch))

    async def check(self) -> None:
        """Readiness. Raises NotReady while a topic is another log than the one that was written to."""
        if self._mismatch:
            raise NotReady(str(self._mismatch))
