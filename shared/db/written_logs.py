"""To which logs a service writes: the ids of its topics, kept so that a topic made anew is noticed."""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import text

from shared.db.database import Session


class WrittenLogs:
    """The tables `written_logs` and `adopted_logs` of one schema, as a service that only writes uses them."""

    def __init__(self, schema: str) -> None:
        self.schema = schema
        self.writer = f"closeloop-{schema}"

    async def known(self, session: Session) -> dict[str, UUID]:
        """The id of each topic that the service ever wrote to."""
        rows = await session.execute(text(f"SELECT topic, topic_id FROM {self.schema}.written_logs"))
        return {row.topic: row.topic_id for row in rows}

    async def note(self, session: Session, topic_ids: Mapping[str, UUID]) -> None:
        """Store the ids of topics that were never written to; those that are known stay as they are."""
        if topic_ids:
            await session.execute(
                text(f"""INSERT INTO {self.schema}.written_logs (topic, topic_id) VALUES (:topic, :id)
                         ON CONFLICT (topic) DO NOTHING"""),
                [{"topic": topic, "id": topic_id} for topic, topic_id in sorted(topic_ids.items())],
            )

    async def adopt(self, session: Session, topic: str, topic_id: UUID, *, by: str) -> None:
        """Write to this log from now on, and into `adopted_logs` who said so."""
        parameters = {"writer": self.writer, "topic": topic, "id": topic_id, "by": by}
        await session.execute(
            text(f"""
            INSERT INTO {self.schema}.adopted_logs
                (consumer, topic, partition, former_topic_id, topic_id, adopted_by)
            SELECT :writer, topic, -1, topic_id, :id, :by FROM {self.schema}.written_logs WHERE topic = :topic
            """),
            parameters,
        )
        await session.execute(
            text(f"""UPDATE {self.schema}.written_logs SET topic_id = :id, since = now()
                     WHERE topic = :topic"""),
            parameters,
        )
