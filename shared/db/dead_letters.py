"""The records that a service could not apply, as an operator lists, replays and discards them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import text

from shared.db.database import Session

LetterState = Literal["dead", "replayed", "discarded"]

_COLUMNS = """id, consumer, topic, partition, "offset", reason, detail, key, value, headers,
              correlation_id, dead_at, state, settled_at, topic_id"""
_KEPT_DAYS = 21
_PLACE_DAYS = 30


@dataclass(frozen=True, slots=True)
class StoredLetter:
    """A dead letter as it is stored, with the fields by which a consumer reads a record."""

    id: int
    consumer: str
    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    correlation_id: str
    dead_at: datetime
    state: LetterState
    settled_at: datetime | None
    topic_id: UUID | None
    """Of which log the place is; None: of the one that the group reads."""
    of_former_log: bool
    """Whether that log is not the one that the group reads now."""


class DeadLetters:
    """The table `dead_letters` of one schema, with the letters of former logs that inherit from it.

    A letter is settled once: replayed or discarded.
    """

    def __init__(self, schema: str) -> None:
        self._table = f"{schema}.dead_letters"
        self._columns = f"""{_COLUMNS}, topic_id IS NOT NULL AND EXISTS (
            SELECT 1 FROM {schema}.progress p
            WHERE p.consumer = l.consumer AND p.topic = l.topic AND p.topic_id <> l.topic_id)"""

    async def newest(
        self,
        session: Session,
        *,
        state: LetterState | None = "dead",
        reason: str | None = None,
        limit: int = 1000,
    ) -> list[StoredLetter]:
        """The letters in this state (None: in any), the latest first."""
        rows = await session.execute(
            text(f"""SELECT {self._columns} FROM {self._table} l
                     WHERE (CAST(:state AS text) IS NULL OR state = :state)
                       AND (CAST(:reason AS text) IS NULL OR reason = :reason)
                     ORDER BY id DESC LIMIT :limit"""),
            {"state": state, "reason": reason, "limit": limit},
        )
        return [_buried(row) for row in rows]

    async def ids_to_settle(self, session: Session, *, reason: str | None = None) -> list[int]:
        """The ids of all letters that are neither replayed nor discarded, the oldest first."""
        rows = await session.execute(
            text(f"""SELECT id FROM {self._table}
                     WHERE state = 'dead' AND (CAST(:reason AS text) IS NULL OR reason = :reason)
                     ORDER BY id"""),
            {"reason": reason},
        )
        return [int(row[0]) for row in rows]

    async def find(self, session: Session, letter_id: int) -> StoredLetter | None:
        """One letter, locked until the transaction ends, so that it is not replayed twice at once."""
        rows = await session.execute(
            text(f"SELECT {self._columns} FROM {self._table} l WHERE id = :id FOR UPDATE"), {"id": letter_id}
        )
        row = rows.one_or_none()
        return _buried(row) if row else None

    async def age_out(self, session: Session) -> int:
        """Empty letters after 21 days, as the log drops the record itself then, and delete them after 30.

        An emptied letter stays for that time, so that `closeloop verify` still knows what became of the
        record. Returns how many were emptied.
        """
        await session.execute(
            text(f"DELETE FROM {self._table} WHERE dead_at < now() - make_interval(days => :days)"),
            {"days": _PLACE_DAYS},
        )
        emptied = await session.execute(
            text(f"""UPDATE {self._table} SET key = NULL, value = NULL, headers = '[]', detail = '',
                         state = CASE WHEN state = 'dead' THEN 'discarded' ELSE state END,
                         settled_at = coalesce(settled_at, now())
                     WHERE dead_at < now() - make_interval(days => :days)
                       AND (key IS NOT NULL OR value IS NOT NULL)"""),
            {"days": _KEPT_DAYS},
        )
        return int(emptied.rowcount)

    async def settle(self, session: Session, letter_id: int, state: LetterState) -> bool:
        """Mark a dead letter as replayed or discarded, now. False when it was marked before."""
        settled = await session.execute(
            text(f"""UPDATE {self._table} SET state = :state, settled_at = now()
                     WHERE id = :id AND state = 'dead'"""),
            {"id": letter_id, "state": state},
        )
        return settled.rowcount == 1


def _buried(row: Iterable[Any]) -> StoredLetter:
    values = list(row)
    values[9] = tuple((name, bytes.fromhex(value)) for name, value in values[9])
    return StoredLetter(*values)
