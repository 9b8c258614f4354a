"""Facts that must reach Kafka exactly when the transaction that made them commits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from shared.db.database import Session
from shared.events import Envelope, Event, new_id


@dataclass(frozen=True, slots=True)
class OutboxFact:
    """A stored fact that is still to be sent. `id` orders the facts of a key, written under its row lock."""

    id: int
    event_id: str
    type: str
    topic: str
    key: bytes
    body: bytes
    traceparent: str

    def headers(self, source: str) -> list[tuple[str, bytes]]:
        return Envelope.of(
            self.type, source=source, traceparent=self.traceparent, event_id=self.event_id
        ).headers()


class Outbox:
    """The table `outbox` of one schema."""

    def __init__(self, schema: str) -> None:
        self._table = f"{schema}.outbox"

    async def put(self, session: Session, event: Event, *, traceparent: str) -> None:
        """Store a fact to be sent, with an event id that stays the same over every retry."""
        await self.put_all(session, [(event, traceparent)])

    async def put_all(self, session: Session, facts: Sequence[tuple[Event, str]]) -> None:
        """Store facts to be sent in this order, each with its traceparent."""
        if not facts:
            return
        await session.execute(
            text(f"""INSERT INTO {self._table} (event_id, type, topic, key, body, traceparent)
                     VALUES (:event_id, :type, :topic, :key, :body, :traceparent)"""),
            [
                {
                    "event_id": new_id(),
                    "type": event.type,
                    "topic": event.topic.name,
                    "key": event.key(),
                    "body": event.body(),
                    "traceparent": traceparent,
                }
                for event, traceparent in facts
            ],
        )

    async def oldest(self, session: Session, limit: int) -> list[OutboxFact]:
        """The oldest facts still to be sent. Not "id > last seen": ids commit out of order."""
        rows = await session.execute(
            text(f"""SELECT id, event_id, type, topic, key, body, traceparent
                     FROM {self._table} ORDER BY id LIMIT :limit"""),
            {"limit": limit},
        )
        return [OutboxFact(*row) for row in rows]

    async def delete(self, session: Session, ids: Sequence[int]) -> None:
        await session.execute(
            text(f"DELETE FROM {self._table} WHERE id = ANY(CAST(:ids AS bigint[]))"), {"ids": list(ids)}
        )

    async def backlog(self, session: Session) -> tuple[int, datetime | None]:
        """How many facts wait, and when the oldest of them was stored."""
        row = (await session.execute(text(f"SELECT count(*), min(created_at) FROM {self._table}"))).one()
        return int(row[0]), row[1]
