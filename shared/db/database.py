"""The engine with every time-out set, and the only place that commits."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakSet

import asyncpg
import orjson
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

Session = AsyncConnection
"""A connection inside a transaction that somebody else commits."""

# PostgreSQL error classes that say "not now" rather than "never": connection, transaction rollback,
# insufficient resources, operator intervention, system error; and lock_not_available.
_TRANSIENT_CLASSES = ("08", "40", "53", "57", "58")
# We read, then wrote, and somebody else wrote the same in between; reading again shows their row.
_UNIQUE_VIOLATION = "23505"
_QUERY_CANCELED = "57014"
_TRANSIENT_CODES = ("55P03", "25006", "25P03", "25P04", _UNIQUE_VIOLATION)


class Raced(Exception):
    """Somebody else wrote what this transaction was about to write; the work, done again, will see it."""


class Database:
    """One pool. `transaction()` commits when its block ends well and rolls back otherwise."""

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 8,
        statement_timeout_seconds: float = 10,
        application: str = "closeloop",
    ) -> None:
        milliseconds = int(statement_timeout_seconds * 1000)
        self._engine = create_async_engine(
            async_url(url),
            pool_size=pool_size,
            max_overflow=0,
            json_deserializer=orjson.loads,
            pool_timeout=5,
            pool_recycle=1800,
            connect_args={
                "timeout": 5,
                "command_timeout": statement_timeout_seconds + 1,
                "server_settings": {
                    "application_name": application,
                    "statement_timeout": str(milliseconds),
                    # Shorter, so that a wait for a lock has another error than a statement that is too slow.
                    "lock_timeout": str(milliseconds * 4 // 5),
                    "idle_in_transaction_session_timeout": "15000",
                    "timezone": "UTC",
                },
            },
        )

        self._closed = False
        self._connections: WeakSet[asyncpg.Connection[Any]] = WeakSet()
        event.listen(self._engine.sync_engine, "connect", self._connected)
        event.listen(self._engine.sync_engine, "checkout", _not_closed)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Session]:
        """A read-only transaction all of whose statements see the same moment."""
        async with self._engine.connect() as connection:
            session = await connection.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            async with session.begin():
                yield session

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """A read-committed transaction, committed at the end of the block."""
        async with self._engine.begin() as session:
            yield session

    async def ping(self) -> None:
        """Raises when PostgreSQL does not answer within 2 s."""
        async with asyncio.timeout(2), self._engine.connect() as connection:
            await connection.exec_driver_sql("SELECT 1")

    @property
    def pool_in_use(self) -> int:
        return int(self._engine.pool.checkedout())  # type: ignore[attr-defined]

    @property
    def pool_idle(self) -> int:
        return int(self._engine.pool.checkedin())  # type: ignore[attr-defined]

    async def close(self) -> None:
        """Close all connections, for good, within about 1 s: a frozen server must not hold up a shutdown."""
        self._closed = True
        try:
            async with asyncio.timeout(1):
                await self._engine.dispose()
        except TimeoutError:
            await self._engine.dispose(close=False)
        for connection in self._connections:
            connection.terminate()

    def _connected(self, connection: Any, _: object) -> None:
        if self._closed:  # `close` came while it was being opened; the pool ends it when we raise
            raise asyncpg.InterfaceError("the pool is closed")
        self._connections.add(connection.driver_connection)


def _not_closed(connection: Any, _: object, __: object) -> None:
    """Raise when the server has ended the connection: the pool then takes a fresh one.

    This needs no round trip. A ping before each transaction (`pool_pre_ping`) needs three, which is a fifth
    of a small transaction's time.
    """
    if connection.driver_connection.is_closed():
        raise DisconnectionError("the server ended it")


def async_url(url: str) -> str:
    """The URL `postgresql://…` with the driver that SQLAlchemy shall use."""
    for prefix in ("postgresql://", "postgres://"):
        if url.startswith(prefix):
            return "postgresql+asyncpg://" + url.removeprefix(prefix)
    return url


async def asyncpg_connection(session: Session) -> "asyncpg.Connection[Any]":
    """asyncpg's own connection, inside the session's transaction, for statements that must be fast."""
    connection: asyncpg.Connection[Any] = (await session.get_raw_connection()).driver_connection  # type: ignore[assignment]
    if not connection.is_in_transaction():
        # SQLAlchemy opens the transaction with its first statement. Ours must not run outside of it.
        await session.exec_driver_sql("SELECT 1")
    return connection


def is_transient(error: BaseException) -> bool:
    """Whether the same work may succeed later without anybody changing it."""
    if isinstance(error, DBAPIError) and (error.connection_invalidated or isinstance(error, InterfaceError)):
        return True
    if isinstance(_cause(error), asyncpg.InvalidCachedStatementError):  # after a migration
        return True
    code = sqlstate(error)
    if code is not None:
        return code.startswith(_TRANSIENT_CLASSES) or code in _TRANSIENT_CODES
    return isinstance(
        _cause(error),
        Raced | PoolTimeoutError | TimeoutError | OSError | asyncpg.InterfaceError | asyncio.CancelledError,
    )


def is_race(error: BaseException) -> bool:
    """Whether somebody else wrote first what this transaction was about to write."""
    return isinstance(error, Raced) or sqlstate(error) == _UNIQUE_VIOLATION


def is_timeout(error: BaseException) -> bool:
    """Whether a statement took longer than this process allows. A wait for a lock does not count."""
    return sqlstate(error) == _QUERY_CANCELED or isinstance(_cause(error), TimeoutError)


def sqlstate(error: BaseException) -> str | None:
    """PostgreSQL's five-character code of the error; None when the error does not come from the server."""
    cause = _cause(error)
    return str(cause.sqlstate or "") if isinstance(cause, asyncpg.PostgresError) else None


def _cause(error: BaseException) -> BaseException:
    """The driver's own error inside SQLAlchemy's."""
    if isinstance(error, DBAPIError) and error.orig:
        return error.orig.__cause__ or error.orig
    return error
