"""PostgreSQL: transactions, and the tables that every service has beside its own."""

from shared.db.database import (
    Database,
    Raced,
    Session,
    asyncpg_connection,
    is_race,
    is_timeout,
    is_transient,
    sqlstate,
)
from shared.db.inbox import DeadLetter, Inbox, Position, StoredPlace
from shared.db.lease import Lease
from shared.db.outbox import Outbox, OutboxFact
from shared.db.written_logs import WrittenLogs

__all__ = [
    "Database",
    "DeadLetter",
    "Inbox",
    "Lease",
    "Outbox",
    "OutboxFact",
    "Position",
    "Raced",
    "Session",
    "StoredPlace",
    "WrittenLogs",
    "asyncpg_connection",
    "is_race",
    "is_timeout",
    "is_transient",
    "sqlstate",
]
